"""May it happen? Each limit is one atomic statement, taken or refused, never read and then written.

``guesses_and_resends`` of a challenge, ``lockout`` of an owner, ``rates`` of an address and of who
asks (over ``counters``), ``suppressions`` of addresses that take no mail.

In: what is counted, for whom, the time. Out: whether there was room, or when there is.
Knows nothing of: codes, mails.
"""
