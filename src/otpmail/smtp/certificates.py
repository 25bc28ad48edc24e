"""A TLS context is made of files, and made anew once one of them has changed.

In: a client's certificate and key, if it has them; the authorities that the system trusts.
Out: an ``ssl.SSLContext`` for the next session. Knows nothing of: sessions, servers.

Certificates are renewed while the process runs. What was read is asked of the files' times, sizes
and numbers, so a session costs some ``stat`` calls. There is no lock: two threads that see a change
at once both make a context, and either is good.
"""

import contextlib
import logging
import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

HASHED = re.compile(r"[0-9a-f]{8}\.r?\d+")
"""How OpenSSL names what it reads in a directory of authorities (openssl-rehash)."""

type Seen = dict[str, tuple[int, int, int] | None]
"""Of each path its time of change (ns), size and inode; ``None`` if it cannot be looked at."""


class Certificates:
    """The files of one client, and the context that was last made of them."""

    def __init__(self, certfile: str | None = None, keyfile: str | None = None) -> None:
        self._certfile = certfile
        self._keyfile = keyfile
        self._made: tuple[Seen, ssl.SSLContext] | None = None
        self._failing = False

    def context(self) -> ssl.SSLContext:
        """Give the context of the files as they are now.

        While they cannot be used, as when a key was renewed and its certificate not yet, the last
        good context stays; each call tries again, and the log tells it once. Raises ``OSError``
        (``ssl.SSLError`` is one) if there never was a good one.
        """
        last, seen = self._made, self._look()  # looked at before they are read: never missed
        if last is not None and last[0] == seen:
            self._failing = False
            return last[1]
        try:
            context = self._make()
            if last is not None and (last[0].get(_bundle()) or seen[_bundle()]):
                # OpenSSL passes over a bundle that it cannot read, and would trust nobody.
                context.load_verify_locations(_bundle())
        except (OSError, ValueError) as error:
            if last is None:
                raise
            self._report_failure(error)
            return last[1]
        self._made = (seen, context)
        if last is not None:
            self._failing = False
            logger.info("Email: TLS files were renewed; new sessions use them")
        return context

    def _make(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._certfile:
            context.load_cert_chain(self._certfile, self._keyfile)
        return context

    def _look(self) -> Seen:
        own = filter(None, (self._certfile, self._keyfile))
        return {path: _stat(path) for path in (*own, *_authorities())}

    def _report_failure(self, error: Exception) -> None:
        is_news, self._failing = not self._failing, True
        if is_news:
            words = getattr(error, "reason", None) or getattr(error, "strerror", None)
            logger.warning(
                "Email: renewed TLS files cannot be used, the former stay: %s (%s)",
                words or type(error).__name__,
                self._certfile or _bundle(),
            )


def _stat(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _authorities() -> Iterator[str]:
    """Give what ``ssl.create_default_context`` reads: the bundle, directories and their files."""
    yield _bundle()
    paths = ssl.get_default_verify_paths()
    directories = os.environ.get(paths.openssl_capath_env, paths.openssl_capath)
    for directory in directories.split(os.pathsep):
        yield directory
        with contextlib.suppress(OSError, ValueError), os.scandir(directory) as files:
            yield from (file.path for file in files if HASHED.fullmatch(file.name))


def _bundle() -> str:
    """Give the path of the one file with all authorities, whether it exists or not."""
    paths = ssl.get_default_verify_paths()
    return os.environ.get(paths.openssl_cafile_env, paths.openssl_cafile)
