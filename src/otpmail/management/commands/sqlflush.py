"""``manage.py sqlflush``: Django's own, with the statements that ``flush`` runs besides."""

from typing import Any, override

from django.core.management.commands import sqlflush
from django.db import connections

from otpmail.db import append_only


class Command(sqlflush.Command):
    """Prints all of what ``flush`` would run."""

    @override
    def handle(self, **options: Any) -> str:
        before, after = append_only.lift(connections[options["database"]])
        return "\n".join([*before, super().handle(**options), *after])
