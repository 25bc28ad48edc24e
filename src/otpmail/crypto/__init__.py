"""Keys, and what is computed with them: pure functions, no rows, no clock.

``keys`` is the ring; ``derive`` makes a code out of it, ``challenge_codes`` those of a challenge;
``transaction_data`` is what a code stands for, as bytes, and ``linking`` one keyed digest of it;
``encryption`` is of mails at rest, and ``cancel_link`` signs the link in a mail.

In: secrets, values. Out: digests, codes, tokens.
Knows nothing of: challenges, mails, databases.
"""
