"""The cooperative's HTTP API: members, accounts, and transfers that a mailed code confirms."""
