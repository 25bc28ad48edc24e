"""What an operator reads, exports and deletes; nothing here sends.

``stats`` and ``metrics`` tell how mail stands (Prometheus by ``metrics_view``), ``retention``
deletes what is over (``deleting`` goes past a held row), ``privacy`` tells and erases what is kept
of a person, ``restoring`` is for a dump, ``retiring`` for a key.

In: the time, a person, a key. Out: numbers, rows that are gone.
Knows nothing of: commands.
"""
