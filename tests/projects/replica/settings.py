"""Writes go to one database, reads to another that lags for ever."""

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.projects.replica"]
ROOT_URLCONF = "tests.projects.replica.urls"
DATABASES["default"].setdefault("TEST", {})
if DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3":
    DATABASES["default"]["TEST"] = {"NAME": f"test_{DATABASES['default']['NAME']}_replica"}
DATABASES["replica"] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": ":memory:",
    "OPTIONS": {"transaction_mode": "IMMEDIATE"},
}
DATABASE_ROUTERS = ["tests.projects.replica.settings.Router"]
OTPMAIL_BASE_URL = "https://bank.example"
OTPMAIL_PURPOSES = {
    "transfer": {"FACTS": "mobile_api.email_utils.facts"},
}


class Router:
    """Says nothing of writes: Django writes an instance where its hint came from, else default."""

    def db_for_read(self, model, **hints):
        elsewhere = ("auth", "contenttypes", "sessions", "admin", "mobile_api")
        return None if model._meta.app_label in elsewhere else "replica"

    def allow_migrate(self, db, app_label, **hints):
        return db == "default"

    def allow_relation(self, one, other, **hints):
        return True  # as Django's own example of a replica does
