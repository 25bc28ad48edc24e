"""What the pages tell a project. A receiver that raises takes back what it was told of.

In: nothing. Out: signals, of which the sender is the user model. Knows nothing of: who listens.
"""

from django.dispatch import Signal

signed_up = Signal()
"""``request``, ``user``: a user was made for an address that was proven. Sent inside the
transaction that uses the code up, before the user is signed in.
"""

address_proven = Signal()
"""``request``, ``user``, ``address``, ``before``: a user has a new address, which was proven, and
had another before. Sent inside the transaction that uses the code up.
"""
