"""What keeps threads going whatever is raised in them, and a log from feeding itself.

``loop`` repeats a step, ``logmails`` knows the mails that a log handler makes.

In: steps that are done again and again, records of a log. Out: threads that go on.
Knows nothing of: mails, rows.
"""
