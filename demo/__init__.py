"""See it work: a kiosk, a mail server, and a member who moves money with a mailed code."""
