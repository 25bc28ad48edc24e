"""One-time codes by e-mail, for Django.

Two ways lead through the package, and its folders tell them. Both begin at ``challenges``.

Out: ``challenges.issuing`` writes a challenge and its delivery in the caller's transaction; on
commit ``engines`` is woken; ``delivery.courier`` does one round: ``delivery.rendering`` derives the
code and renders the mail, ``routes`` hands it to a mail server, ``delivery.outbox`` records the
outcome, ``signals`` tells of it.

Back: ``challenges.checking`` counts the guess, compares, and consumes the challenge in the same
transaction as what the code confirms.

This module imports nothing: Django's apps are not ready when it is read.
"""

__version__ = "0.1.0"
