"""What has had its time is deleted: tokens that are over, answers that nobody asks for again.

For a timer, once a day. Members, transfers and the ledger are books, and stay.
"""

from datetime import datetime, timedelta
from typing import Any, override

from django.core.management.base import BaseCommand
from django.db.models import Q, QuerySet
from django.utils import timezone

from mobile_api.models import IdempotencyKey, Token

KEEP_TOKENS = timedelta(days=30)
"""After their end; until then one can see when each was good."""

KEEP_ANSWERS = timedelta(days=7)
"""A client that repeats a request does so within minutes. Later its key makes another request."""

BATCH = 1000
"""Rows a statement: the kiosk writes in between."""


class Command(BaseCommand):
    """Deletes in batches, so that nobody waits long."""

    help = "Deletes tokens that ended 30 days ago, and answers kept for repeats for 7 days."

    @override
    def handle(self, *_: Any, **__: Any) -> None:
        now = timezone.now()
        tokens = _delete(Token.objects.filter(_ended(now - KEEP_TOKENS)))
        answers = _delete(IdempotencyKey.objects.filter(created_at__lt=now - KEEP_ANSWERS))
        self.stdout.write(f"Deleted {tokens} tokens and {answers} answers.")


def _ended(before: datetime) -> Q:
    return Q(expires_at__lt=before) | Q(revoked_at__lt=before)


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while found := list(rows.values_list("pk", flat=True)[:BATCH]):
        deleted += rows.filter(pk__in=found).delete()[0]
    return deleted
