import subprocess
import sys

WITHOUT = """
import pkgutil, sys
sys.modules.update(dict.fromkeys(["anymail", "requests", "urllib3", "botocore", "boto3"]))
import django, otpmail
django.setup()
needs_it = {"otpmail.events.webhooks", "otpmail.backends.mailjet"}
needs_more = {"otpmail.engines.celery", "otpmail.engines.tasks"}  # settings of their own
for module in pkgutil.walk_packages(otpmail.__path__, "otpmail."):
    if module.name not in needs_it | needs_more and ".migrations" not in module.name:
        __import__(module.name)
from django.core.management import call_command
call_command("check")
import coop_kiosk.urls
assert not needs_it & set(sys.modules)
"""

WITH = """
import django, sys
django.setup()
assert "otpmail.events.webhooks" in sys.modules
assert not {"requests", "urllib3", "boto3", "botocore"} & set(sys.modules)
"""


def run(script):
    env = {"DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": "src:."}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_all_but_the_events_works_without_anymail():
    run(WITHOUT)


def test_anymail_that_is_installed_and_not_used_loads_nothing_else():
    run(WITH)
