"""One file a question; see README.md beside this."""
