"""What may be shown of a value, and to whom: masked, redacted, on one line.

In: an address, a text, an id. Out: text.
Knows nothing of: rows, mails.
"""
