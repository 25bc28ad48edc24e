"""A project with Django's own test runner, and codes on a database of their own."""
