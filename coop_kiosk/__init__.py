"""The cooperative's kiosk: the first user of otpmail, and the proof that it works."""

from importlib.util import find_spec

if find_spec("celery"):  # optional: the engine decides whether anything uses it
    from coop_kiosk.celery import app as celery_app

    __all__ = ["celery_app"]
