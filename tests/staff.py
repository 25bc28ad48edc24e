"""Somebody who may look at everything, and what the admin's pages show them."""

from collections.abc import Iterator

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Permission
from django.test import Client

STATS = "delivery/stats"
MODELS = ["challenge", "delivery", "auditentry", "suppression"]


def staff() -> Client:
    """Sign in who may view each row of otpmail, and nothing else."""
    create_permissions(apps.get_app_config("otpmail"), verbosity=0)  # tests do without them
    user = get_user_model().objects.create_user("operator", is_staff=True)
    views = {"content_type__app_label": "otpmail", "codename__startswith": "view"}
    user.user_permissions.set(Permission.objects.filter(**views))
    return signed_in(user)


def superuser() -> Client:
    """Sign in who may do everything that can be done."""
    return signed_in(get_user_model().objects.create_superuser("root"))


def signed_in(user: object) -> Client:
    """Give what stands for the user's browser."""
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    return client


def pages(client: Client) -> Iterator[str]:
    """Show every list and every row, and how mail stands."""
    yield shown(client, STATS)
    for model in MODELS:
        yield shown(client, model)
        for row in apps.get_model("otpmail", model).objects.all():
            yield shown(client, f"{model}/{row.pk}/change")


def shown(client: Client, path: str, **query: str) -> str:
    """Show a page."""
    answer = client.get(f"/admin/otpmail/{path}/", query)
    assert answer.status_code == 200, answer
    return str(answer.content.decode())
