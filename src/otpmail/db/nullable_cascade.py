"""``CASCADE`` for a foreign key that may be null, where null means something else.

In: what Django's collector of deletions passes. Out: the rows that go with the one deleted.
Knows nothing of: which tables.

On MariaDB Django's own sets such a key to null first, since constraints cannot wait there, and the
row's other laws refuse that.
"""

from typing import Any


def cascade_nullable(collector: Any, field: Any, rows: Any, _using: str) -> None:
    """Delete the rows, before their parent."""
    collector.collect(
        rows,
        source=field.remote_field.model,
        source_attr=field.name,
        fail_on_restricted=False,
    )
