"""A delivery's life, from its row to its last attempt; nobody else writes that row.

A delivery is put in the ``outbox``. A ``courier`` does one round: it reads what it holds
(``leases``, ``holders``), looks whether it is still of use and has it rendered (``payload``: a
code's mail in ``rendering``, a project's own in ``serialization``, over ``typed_json`` and
``verbatim_policy``), hands it to ``otpmail.routes`` (``awaiting_session`` while no session stands), and writes down
what came of it (``dispositions``, ``retries``, ``settling``; ``pending_writes`` while the database is
away).

In: ids of deliveries and who holds their leases. Out: rows, signals.
Knows nothing of: threads, timers, brokers.
"""
