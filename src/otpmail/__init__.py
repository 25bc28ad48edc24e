"""One-time codes by e-mail, for Django.

Two ways lead through the package, and the file names tell them. Both begin at ``challenges``.

Out: ``issuing`` writes a challenge and its delivery in the caller's transaction; on commit
``engines`` is woken; ``courier`` does one round: ``messages`` derives the code and renders the
mail, ``routes`` hands it to a mail server, ``outbox`` records the outcome, ``signals`` tells of it.

Back: ``checking`` counts the guess, compares, and consumes the challenge in the same transaction as
what the code confirms.

This module imports nothing: Django's apps are not ready when it is read.
"""

__version__ = "0.1.0"
