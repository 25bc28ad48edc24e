"""A delivery's life, from its row to its last attempt; nobody else writes that row.

A delivery is put in the ``outbox``. A ``courier`` does one round: it reads what it holds
(``leases``, ``holders``), checks whether it is still valid and has it rendered (``payload``: a
code's mail in ``rendering``, a project's own in ``serialization``, over ``typed_json`` and
``verbatim_policy``), sends it through ``otpmail.routes`` (``awaiting_session`` until a session
stands), and writes down what came of it (``dispositions``, ``retries``, ``settling``;
``pending_writes`` while the database is away).

In: ids of deliveries and who holds their leases. Out: rows, signals.
Knows nothing of: threads, timers, brokers.
"""
