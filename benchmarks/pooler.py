"""PgBouncer before a PostgreSQL server, in transaction mode.

In: the server's port. Out: the pooler's, good until the block ends.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.postgres import USER
from demo import machine
from tests.mailserver import free_port

PROGRAM = "/usr/sbin/pgbouncer"
INI = """[databases]
{name} = host=127.0.0.1 port={to} dbname={name} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 500
ignore_startup_parameters = extra_float_digits
"""


def is_there() -> bool:
    """Tell whether this machine has it."""
    return Path(PROGRAM).exists()


@contextlib.contextmanager
def running(to: int, name: str) -> Iterator[int]:
    """Run one until the block ends."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="otpmail-pooler-") as scratch:
        home = Path(scratch)
        home.chmod(0o755)
        ini = home / "pgbouncer.ini"
        ini.write_text(INI.format(name=name, to=to, port=port, user=USER))
        # It refuses to run as root.
        as_user = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
        with (home / "log").open("ab") as log:
            process = subprocess.Popen(
                [*as_user, PROGRAM, str(ini)], stdout=log, stderr=log, start_new_session=True
            )
        try:
            machine.wait_for(port, process, home / "log")
            yield port
        finally:
            machine.kill(process)
