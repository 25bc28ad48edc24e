"""What an operator runs. ``migrated`` says how a command ends where tables are missing."""
