"""Delivery events: what a provider reports of a mail after it took it.

``webhooks`` takes what comes in, ``handling`` is what follows from it.

In: a provider's event. Out: an event in the delivery's row, a suppression, one more mail.
Knows nothing of: how a mail is sent.
"""
