"""A database of a benchmark's own on a PostgreSQL server, dropped at the end."""

import contextlib
import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg

SERVER = "postgres://postgres@127.0.0.1:5432/postgres"


@contextlib.contextmanager
def database(server: str = SERVER) -> Iterator[str]:
    """Make one until the block ends. Gives its URL."""
    name = f"otpmail_bench_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
