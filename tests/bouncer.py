"""A real PgBouncer in transaction mode before the PostgreSQL of the tests."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import connection

from tests.mailserver import free_port
from tests.missing import missing
from tests.waiting import wait_until

CONFIG = """
[databases]
* = host={host} port={to} user={user}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
pool_mode = transaction
server_reset_query =
ignore_startup_parameters = extra_float_digits
"""


@contextlib.contextmanager
def bouncing() -> Iterator[str]:
    """Run one until the block ends. Gives the URL that leads through it to the test database."""
    if shutil.which("pgbouncer") is None:
        missing("Debian's package pgbouncer")
    named: dict[str, Any] = connection.settings_dict
    port, user = free_port(), named["USER"]
    with tempfile.TemporaryDirectory(prefix="bouncer-") as home:
        Path(home).chmod(0o755)  # it does not run as root
        config = Path(home) / "pgbouncer.ini"
        config.write_text(CONFIG.format(host=named["HOST"], to=named["PORT"], user=user, port=port))
        process = subprocess.Popen(
            ["pgbouncer", "--quiet", *(["--user", "nobody"] if os.geteuid() == 0 else []), config]
        )
        try:
            wait_until(lambda: _listens(port))
            yield f"postgres://{user}@127.0.0.1:{port}/{named['NAME']}"
        finally:
            process.terminate()
            process.wait(10)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
