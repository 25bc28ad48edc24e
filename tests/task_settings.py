"""The kiosk with ``django.tasks``, on the backend that the environment names."""

from coop_kiosk.settings import *  # noqa: F403
from coop_kiosk.settings import INSTALLED_APPS, env

INSTALLED_APPS = [*INSTALLED_APPS, "django_tasks_db", "django_rq"]
TASKS = {
    "otpmail": {
        "BACKEND": env.str("TASKS_BACKEND", "django_tasks_db.DatabaseBackend"),
        "QUEUES": ["otpmail", "otpmail.mail"],
    }
}
RQ_QUEUES = {
    queue: {"URL": env.str("RQ_URL", "redis://127.0.0.1:6379/15")}
    for queue in TASKS["otpmail"]["QUEUES"]
}
