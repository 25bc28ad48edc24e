"""What an operator reads, exports and deletes; nothing here sends.

``stats`` and ``metrics`` tell how mail stands, ``retention`` deletes what is over, ``privacy``
tells and erases what is kept of a person, ``restoring`` is for a dump, ``retiring`` for a key.

In: the time, a person, a key. Out: numbers, rows that are gone.
Knows nothing of: pages, commands.
"""
