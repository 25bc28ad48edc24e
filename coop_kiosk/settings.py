"""All settings of the kiosk, each from the environment, with a default that works on one machine.

``NAME_FILE`` names a file that holds the value of ``NAME``, for secrets that are mounted.
"""

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import dj_database_url
import django
from environs import FileAwareEnv, validate

from mobile_api.middleware import MAX_BODY_BYTES

os.umask(0o077)  # database, its -wal and -shm, logs: what is made from now on is its owner's alone
BASE_DIR = Path(__file__).resolve().parent.parent
env = FileAwareEnv(strip_whitespace=True)

DEBUG = env.bool("DEBUG", False)
if DEBUG:
    SECRET_KEY = env.str("SECRET_KEY", "for development only")
else:  # the kiosk does not start without a secret of its own
    SECRET_KEY = env.str("SECRET_KEY", validate=validate.Length(min=1))
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.staticfiles",
    "ninja",
    "otpmail",
    "mobile_api",
]
MIDDLEWARE = [
    "mobile_api.middleware.problems_only",
    "django.middleware.security.SecurityMiddleware",
    *(
        ["django.middleware.csp.ContentSecurityPolicyMiddleware"]
        if django.VERSION >= (6, 0)
        else []
    ),
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "coop_kiosk.urls"
WSGI_APPLICATION = "coop_kiosk.wsgi.application"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
ASGI_APPLICATION = "coop_kiosk.asgi.application"
APPEND_SLASH = False  # an API answers 404 rather than redirect a POST
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # straight out of the packages: no collectstatic to forget

# Set behind a proxy that ends TLS and always sets this header itself.
BEHIND_TLS_PROXY = env.bool("BEHIND_TLS_PROXY", False)
if BEHIND_TLS_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = ["^healthz$"]  # asked from inside, without TLS
    SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", 31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", True)
    SECURE_HSTS_PRELOAD = env.bool("SECURE_HSTS_PRELOAD", True)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS_PROXY
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_HTTPONLY = True
SECURE_REFERRER_POLICY = "no-referrer"
SECURE_CSP = {  # Django 6.0 and later; no inline script, and nothing of another origin
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "connect-src": ["'self'"],
    "form-action": ["'self'"],
    "base-uri": ["'none'"],
    "frame-ancestors": ["'none'"],
}
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

# Networks of the proxies that tell the client's address in X-Forwarded-For.
PROXIES: list[str] = env.list("TRUSTED_PROXIES", [])
TRUSTED_PROXIES = [ip_network(proxy) for proxy in PROXIES]
# Kiosks by the SHA-256 of the key that each sends: digest=name,digest=name.
KIOSKS: dict[str, str] = env.dict("KIOSKS", {})
# Sign-ins of one number that may fail an hour and a day: at one client, and at all others together.
SIGN_INS_HERE = env.list("SIGN_INS_HERE", [5, 20], subcast=int)
SIGN_INS_ANYWHERE = env.list("SIGN_INS_ANYWHERE", [30, 100], subcast=int)
# The same of one client, with whatever numbers: a kiosk is many people's, and has few that fail.
SIGN_INS_CLIENT = env.list("SIGN_INS_CLIENT", [60, 200], subcast=int)
# PINs that a process looks at at once; each takes 100 MB while it does.
HASHES_AT_ONCE = env.int("HASHES_AT_ONCE", 2)
SIGN_OUT_IDLE_SECONDS = env.int("SIGN_OUT_IDLE_SECONDS", 900)
# From so much on in any currency, in its major unit, a code has two digits more.
LONG_CODE_FROM = env.int("LONG_CODE_FROM", 1000)

DATABASES = {
    "default": dj_database_url.parse(
        env.str("DATABASE_URL", f"sqlite:///{BASE_DIR / 'kiosk.sqlite3'}"),
        conn_max_age=None,
        conn_health_checks=True,
    )
}
# NORMAL is for those who accept to lose the last promises in a power cut.
SYNCHRONOUS = env.str("SQLITE_SYNCHRONOUS", "FULL", validate=validate.OneOf(["FULL", "NORMAL"]))
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A commit is on disk before the answer leaves; writers queue up instead of failing.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": f"PRAGMA journal_mode=WAL; PRAGMA synchronous={SYNCHRONOUS}",
    }
# PostgreSQL: connections that a process shares, one for each web thread, courier and sweep (17).
if pool_size := env.int("DATABASE_POOL", 0):
    DATABASES["default"] |= {
        "CONN_MAX_AGE": 0,
        "OPTIONS": {"pool": {"min_size": 1, "max_size": pool_size}},
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# A PIN is short, so it is kept slowly; Argon2 is dear to who tries them all, and not to a kiosk.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]

USE_TZ = True
TIME_ZONE = env.str("TIME_ZONE", "UTC")
LANGUAGE_CODE = env.str("LANGUAGE_CODE", "en")

MAILERS = {
    "default": {
        "BACKEND": "otpmail.backends.smtp.EmailBackend",
        "OPTIONS": {
            "host": env.str("EMAIL_HOST", "localhost"),
            "port": env.int("EMAIL_PORT", 25),
            "username": env.str("EMAIL_HOST_USER", ""),
            "password": env.str("EMAIL_HOST_PASSWORD", ""),
            "use_tls": env.bool("EMAIL_USE_TLS", False),
            "use_ssl": env.bool("EMAIL_USE_SSL", False),
            "timeout": env.int("EMAIL_TIMEOUT", 10),
            "min_warm": 2,
        },
    }
}
# A provider's HTTP API as one more route: a backend's path, and Anymail's settings in JSON.
ANYMAIL = {"REQUESTS_TIMEOUT": 10} | cast("dict[str, Any]", env.json("ANYMAIL", {}))
if provider_backend := env.str("EMAIL_PROVIDER_BACKEND", ""):
    INSTALLED_APPS.append("anymail")
    MAILERS["provider"] = {"BACKEND": provider_backend}
EMAIL_USE_LOCALTIME = True
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "Cooperative Kiosk <kiosk@localhost>")

OTPMAIL_ENGINE = env.str("OTPMAIL_ENGINE", "otpmail.engines.threads.ThreadsEngine")
OTPMAIL_ROUTES = env.list("OTPMAIL_ROUTES", ["default"])
OTPMAIL_SWEEP_SECONDS = env.float("OTPMAIL_SWEEP_SECONDS", 1)
OTPMAIL_DRAIN_SECONDS = env.float("OTPMAIL_DRAIN_SECONDS", 10)  # gunicorn.conf.py waits longer
OTPMAIL_PURPOSES = {
    "transfer": {
        "FACTS": "mobile_api.email_utils.facts",
        "SAMPLE": {"amount_minor": 1250, "currency": "EUR", "payee_number": "1", "payee_name": "A"},
    }
}
OTPMAIL_BASE_URL = env.str("OTPMAIL_BASE_URL", "")  # the kiosk's own address, for links in mails
OTPMAIL_METRICS_TOKEN = env.str("OTPMAIL_METRICS_TOKEN", "")  # GET /codes/metrics; empty: nobody's
OTPMAIL_OPEN_CHALLENGES = env.int("OTPMAIL_OPEN_CHALLENGES", 3)
# An hour's and a day's, "10,20"; empty for no end.
OTPMAIL_RECIPIENT_QUOTA = env.list("OTPMAIL_RECIPIENT_QUOTA", [10, 20], subcast=int)
OTPMAIL_CLIENT_QUOTA = env.list("OTPMAIL_CLIENT_QUOTA", [60, 300], subcast=int)
OTPMAIL_KEYS: dict[str, str] = env.dict("OTPMAIL_KEYS", {})  # id=key,id=key; the first is current
# id,id: what stands under them ends.
OTPMAIL_REVOKED_KEYS: list[str] = env.list("OTPMAIL_REVOKED_KEYS", [])

CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", "")  # amqp://… or redis://…, for the Celery engine
CELERY_DB_REUSE_MAX = 1_000  # tasks of a thread that share its database connection

LOG_DIR = Path(env.str("LOG_DIR", str(BASE_DIR / "logs")))
LOG_DIR.mkdir(parents=True, exist_ok=True)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "format": "{asctime} {levelname} {name} [{process}] {message}",
            "style": "{",
        }
    },
    "handlers": {
        "file": {
            # Several processes write to it: the standard library's would rotate it under them.
            "class": "concurrent_log_handler.ConcurrentRotatingFileHandler",
            "filename": str(LOG_DIR / "django.log"),
            "maxBytes": 10_000_000,
            "backupCount": 5,
            "formatter": "line",
        },
        "console": {"class": "logging.StreamHandler", "formatter": "line"},
    },
    "root": {"handlers": ["file", "console"], "level": "INFO"},
}
