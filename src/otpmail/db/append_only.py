"""A table of which rows are added, and nothing else: what it tells is past.

In: a model, by its base. Out: `TypeError` for whoever would change or delete a row of it. And: the
statements that lift the locks which a migration laid in the database, for ``flush`` alone.
Knows nothing of: which tables, what their triggers say.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, NoReturn, Self, override

from django.db.backends.base.base import BaseDatabaseWrapper

from otpmail.db.database import Row, RowManager, RowSet

LOCKS = ("append_only", "no_update", "no_delete", "no_replace", "no_truncate", "next_only")
"""A trigger that guards such a table is named after it and one of these: ``<table>_<lock>``."""

_NAMES = ", ".join(["%s"] * len(LOCKS))
_SQLITE = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name IN (%s)"
_POSTGRESQL = (
    "SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(%%s) AND tgenabled = 'O' "
    "AND tgname IN (%s)"
)


class _Rows[M: "AppendOnly"](RowSet[M]):
    @override
    def update(self, **_: Any) -> NoReturn:
        raise TypeError(self.model.REFUSAL)

    @override
    def delete(self) -> NoReturn:
        raise TypeError(self.model.REFUSAL)

    def bulk_create(self, objs: Iterable[M], *args: Any, **options: Any) -> list[M]:
        """Add rows; refuse to change what is there."""
        if options.get("update_conflicts"):
            raise TypeError(self.model.REFUSAL)
        return super().bulk_create(objs, *args, **options)


class _Manager[M: "AppendOnly"](RowManager[M]):
    _queryset_class = _Rows


class AppendOnly(Row):
    """The base of such a model. ``REFUSAL`` is what is said to who would change it."""

    REFUSAL: ClassVar[str]

    objects: ClassVar[_Manager[Self]] = _Manager()

    class Meta(Row.Meta):
        abstract = True

    @override
    def save(self, **options: Any) -> None:
        if options.get("update_fields") or options.get("force_update"):
            raise TypeError(self.REFUSAL)
        super().save(**options | {"force_insert": True})

    @override
    def delete(self, **_: Any) -> NoReturn:  # type: ignore[override]
        raise TypeError(self.REFUSAL)


def lift(connection: BaseDatabaseWrapper) -> tuple[list[str], list[str]]:
    """Give the statements that let ``flush`` empty such tables, and those that lock them again.

    They belong into one transaction with what empties the tables. Not so on MariaDB, where DDL
    commits: there the tables are emptied by the first of them, which fires no trigger.
    """
    tables = _tables(connection) & set(connection.introspection.table_names())
    give = {"sqlite": _lift_sqlite, "postgresql": _lift_postgresql, "mysql": _lift_mariadb}
    before: list[str] = []
    after: list[str] = []
    for table in sorted(tables) if connection.vendor in give else ():
        off, on = give[connection.vendor](connection, table)
        before += off
        after += on
    return before, after


def _tables(connection: BaseDatabaseWrapper) -> set[str]:
    migrated = connection.introspection.get_migratable_models()
    return {model._meta.db_table for model in migrated if issubclass(model, AppendOnly)}


def _lift_sqlite(connection: BaseDatabaseWrapper, table: str) -> tuple[list[str], list[str]]:
    with connection.cursor() as cursor:
        cursor.execute(_SQLITE % _NAMES, _names(table))
        found = cursor.fetchall()
    drops = [f"DROP TRIGGER {connection.ops.quote_name(name)};" for name, _ in found]
    return drops, [f"{sql};" for _, sql in found]


def _lift_postgresql(connection: BaseDatabaseWrapper, table: str) -> tuple[list[str], list[str]]:
    quote = connection.ops.quote_name
    with connection.cursor() as cursor:
        cursor.execute(_POSTGRESQL % _NAMES, [quote(table), *_names(table)])
        found = [quote(name) for (name,) in cursor.fetchall()]
    off, on = (
        [f"ALTER TABLE {quote(table)} {verb} TRIGGER {name};" for name in found]
        for verb in ("DISABLE", "ENABLE")
    )
    return off, on


def _lift_mariadb(connection: BaseDatabaseWrapper, table: str) -> tuple[list[str], list[str]]:
    return [f"TRUNCATE {connection.ops.quote_name(table)};"], []


def _names(table: str) -> list[str]:
    return [f"{table}_{lock}" for lock in LOCKS]
