"""Mail backends for Django's ``MAILERS``, which name them by their path.

``smtp`` is Django's SMTP backend over sessions that stay open, of use without the rest of otpmail:
``servers`` reads its options, ``pools`` keeps its sessions, ``translation`` stands between Django's
mails and `otpmail.smtp`, ``validity`` asks whether one is still valid. ``mailjet`` is Anymail's,
mended. ``outbox`` puts any mail into a row, once ``roundtrip`` has shown that the row makes the
same mail again. ``flatten`` writes usual mails to bytes, and ``policies`` the headers of others,
faster.

In: Django's messages. Out: mails that were handed on, or rows.
Knows nothing of: challenges, routes.
"""
