"""What keeps threads going whatever is raised in them, and a log from feeding itself.

In: steps that are done again and again, records of a log. Out: threads that go on.
Knows nothing of: mails, rows.
"""
