"""What Django leaves to each database, each in one place.

``database`` is where the rows are and what time it is there. ``statements`` are written once
(``sql_text``), and then values are bound to them; ``upserts`` are those that the ORM cannot write.
``append_only`` tables, ``open_index``, ``nullable_cascade`` are parts of models; ``arguments`` of
calls are looked at before any database is; ``compat`` is what differs between the Djangos and
Pythons.

In: models. Out: what they are made of, and run on.
Knows nothing of: which models.
"""
