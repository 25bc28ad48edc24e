"""A table of which rows are added, and nothing else: what it tells is past.

In: a model, by its base. Out: `TypeError` for whoever would change or delete a row of it.
Knows nothing of: which tables, and what their database refuses besides.
"""

from typing import Any, ClassVar, NoReturn

from django.db import models


class _Rows[M: "AppendOnly"](models.QuerySet[M]):
    def update(self, **_: Any) -> NoReturn:
        """Refuse."""
        raise TypeError(self.model.REFUSAL)

    def delete(self) -> NoReturn:
        """Refuse."""
        raise TypeError(self.model.REFUSAL)


class AppendOnly(models.Model):
    """The base of such a model. ``REFUSAL`` is what is said to who would change it."""

    REFUSAL: ClassVar[str]

    objects = _Rows.as_manager()

    class Meta:
        """No table of its own."""

        abstract = True

    def save(self, **options: Any) -> None:
        """Add it, once."""
        super().save(**options | {"force_insert": True})

    def delete(self, **_: Any) -> NoReturn:  # type: ignore[override]
        """Refuse."""
        raise TypeError(self.REFUSAL)
