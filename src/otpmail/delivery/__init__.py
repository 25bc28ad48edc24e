"""A delivery's life, from its row to its last attempt; nobody else writes that row.

A delivery is put in the ``outbox``. A ``courier`` does one round: it reads what it holds
(``leases``, on ``lease_rows``, and ``holders``) or is given it (``fresh_rows``), has each made a
mail (``preparing``, of its ``payload``: a code's mail in ``rendering``, a project's own in
``serialization``, over ``typed_json`` and ``verbatim_policy``), sends them through
``otpmail.routes`` (``awaiting_session`` until a session stands), and has written down what came of
each (``recording``, after ``dispositions`` and ``retries``, by ``settling``; ``pending_writes``
while the database is away). ``round_results`` is what its steps return.

In: ids of deliveries and who holds their leases. Out: rows, signals.
Knows nothing of: threads, timers, brokers.
"""
