"""An index of the few rows that are still open, on every database.

In: the condition that makes a row open, and the columns that it names. Out: a partial index; on
MariaDB, which has none, a full one that is led by those columns.
Knows nothing of: which tables.

Django would leave the condition out there, and the query for what is due would walk over every
mail that was ever settled.
"""

from typing import Any, override

from django.core.checks import CheckMessage
from django.db import models
from django.db.models import Model


class OpenIndex(models.Index):
    """Partial where that is known; else ``lead`` columns come first."""

    def __init__(self, *, lead: tuple[str, ...] = (), **named: Any) -> None:
        super().__init__(**named)
        self.lead = lead

    @override
    def deconstruct(self) -> tuple[str, Any, dict[str, Any]]:
        path, expressions, named = super().deconstruct()
        return path, expressions, named | {"lead": self.lead}

    @override
    def create_sql(
        self, model: type[Model], schema_editor: Any, using: str = "", **named: Any
    ) -> Any:
        if schema_editor.connection.features.supports_partial_indexes:
            return super().create_sql(model, schema_editor, using, **named)
        full = models.Index(fields=[*self.lead, *self.fields], name=self.name)
        return full.create_sql(model, schema_editor, using, **named)

    def check(self, model: type[Model], connection: Any) -> list[CheckMessage]:
        """Say what Django says, but for W037: here no condition is lost."""
        said: list[CheckMessage] = super().check(model, connection)
        return [message for message in said if message.id != "models.W037"]
