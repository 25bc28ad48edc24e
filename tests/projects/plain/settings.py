"""Two databases, of which one has otpmail's tables."""

SECRET_KEY = "a secret that only this project knows, of more than fifty characters"
INSTALLED_APPS = ["otpmail"]
DATABASES = {
    name: {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": ":memory:",
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
    }
    for name in ("default", "codes")
}
DATABASE_ROUTERS = ["tests.projects.plain.settings.Router"]
TEMPLATES = [
    {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True},
]
DEFAULT_FROM_EMAIL = "codes@example.org"
MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
OTPMAIL_ENGINE = "tests.engines.Deaf"


class Router:
    """Codes lie apart."""

    def db_for_read(self, model, **hints):
        return "codes" if model._meta.app_label == "otpmail" else "default"

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **hints):
        return (db == "codes") == (app_label == "otpmail")


class Split(Router):
    """What was done lies apart from what it was done with."""

    def db_for_write(self, model, **hints):
        return "default" if model.__name__ == "AuditEntry" else "codes"
