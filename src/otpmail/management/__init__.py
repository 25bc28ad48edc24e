"""What an operator runs.

``migrated`` says how a command ends where tables are missing, ``person`` what those have in common
that are for one person's rows.
"""
