"""The HTTP API as a Django app."""

from django.apps import AppConfig


class MobileApiConfig(AppConfig):
    """Connects the receivers once the models are there."""

    name = "mobile_api"
    verbose_name = "The cooperative's HTTP API"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect what needs the models."""
        from mobile_api import receivers  # noqa: F401 - registers them
