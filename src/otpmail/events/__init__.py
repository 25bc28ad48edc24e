"""What is told of a mail after a server took it.

``providers`` takes what webhooks bring, ``handling`` is what follows from it.

In: a provider's event. Out: a report on the delivery's row, a suppression, one more mail.
Knows nothing of: how a mail is sent.
"""
