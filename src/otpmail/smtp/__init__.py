"""An SMTP client whose mail costs one round trip where the server allows it.

It stands on Python's standard library alone: no Django, and nothing of otpmail but itself.
It writes no address, password or body into an exception's words or a log line.

From the outside in: a ``pool`` keeps sessions warm (in its ``chore_thread``, with ``backoff``
between its tries), ``handshake`` opens one (``connecting`` finds the server by ``resolving`` and
``connection_attempts``, ``certificates`` are what TLS trusts and shows, ``signing`` goes through
the mechanisms of ``auth``; one that was refused has a ``sign_in_backoff`` unless ``tokens`` gives a
new token, and ``hints`` name the setting to change). ``client`` sends, ``transmission`` splits a
mail among transactions, ``sending`` puts mails through a ``session``, ``dialogue`` is what is said
of each, ``mail_replies``, ``refusals`` and ``conclusion`` read what came of it, ``mails`` prepares
a mail for what the server can do (``content`` its bytes, ``addresses`` its paths) and ``modes``
remembers what it cannot. ``commands`` and ``replies`` are the protocol's two directions,
``channel`` is the socket, ``tcp_path`` what TCP knows of it and ``deadlines`` the time it has.
``errors`` are all that can go wrong.

In: servers, mails. Out: for each mail its end.
Knows nothing of: outcomes, routes, rows.
"""
