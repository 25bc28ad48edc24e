"""What may be shown of a value, and to whom: masked, redacted, on one line.

``redaction`` takes codes out of what others say, ``one_line`` is a value in a mail, ``references``
name a request to a person, ``languages`` and ``zones`` are those of the person.

In: a text, an id, a moment. Out: text.
Knows nothing of: rows, mails.
"""
