"""Where providers' events may come in: only where nobody can call without a secret.

In: Anymail's settings. Out: those of Anymail's URLs that are safe to open.
Knows nothing of: events.
"""

from collections.abc import Mapping

from django.urls import URLPattern

SIGNED = {
    "MAILERSEND_SIGNING_SECRET": "mailersend",
    "MAILGUN_WEBHOOK_SIGNING_KEY": "mailgun",
    "POSTAL_WEBHOOK_KEY": "postal",
    "RESEND_SIGNING_SECRET": "resend",
    "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": "sendgrid",
}
"""The settings by which a provider signs its events."""

ENDING = "/tracking/"


def open_urls(anymail: Mapping[str, object]) -> list[URLPattern]:
    """Give all URLs if a shared secret guards them, else those of the providers that sign."""
    signing = {f"{SIGNED[name]}{ENDING}" for name in SIGNED if anymail.get(name)}
    if not (signing or anymail.get("WEBHOOK_SECRET")):
        return []
    from anymail.urls import urlpatterns  # an optional package

    from otpmail.events.webhooks import tolerant

    known = {str(pattern.pattern): pattern for pattern in urlpatterns}
    wanted = known if anymail.get("WEBHOOK_SECRET") else signing
    return [
        URLPattern(known[path].pattern, tolerant(known[path].callback), name=known[path].name)
        for path in sorted(wanted)
        if path.endswith(ENDING)
    ]
