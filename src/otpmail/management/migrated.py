"""A command that ends with a remedy on a database whose tables are not those of this version."""

from typing import override

from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from otpmail.db import database


class MigratedCommand(BaseCommand):
    """The base of commands that read or write rows."""

    requires_migrations_checks = True

    @override
    def check_migrations(self) -> None:
        """Look at otpmail's migrations alone, where its rows are."""
        alias = database.alias()
        executor = MigrationExecutor(connections[alias])
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes("otpmail"))
        if plan:
            where = "" if alias == "default" else f" --database {alias}"
            missing = ", ".join(migration.name for migration, _ in plan)
            raise CommandError(
                f"otpmail's tables are not those of this version: run manage.py migrate{where}. "
                f"Not applied: {missing}."
            )
