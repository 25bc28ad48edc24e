"""The way to the mail server is shut for one process, forgets, or leads to a dead address first."""

import contextlib
import math
import socket
import time
from typing import ClassVar

from benchmarks.cable import Cable
from benchmarks.faults.base import EMBEDDED, Fault
from benchmarks.laws import Allowance
from benchmarks.site import Kept
from benchmarks.trial import Stage, Trial
from demo.machine import ROOT
from tests.mailserver import free_port

BOTH = (*EMBEDDED, "celery-redis")


class OneSided(Fault):
    """One of two processes that send is refused by the mail server's port; the other is well."""

    name = "one-sided"
    on = {"postgres": BOTH, "sqlite": ("worker",)}
    short = {"sqlite": ("worker",)}
    allowance = Allowance(code_seconds=4)
    lasts_seconds: ClassVar[float] = 8
    _line: Cable

    def prepare(self, stage: Stage) -> None:
        """Give one process a line of its own."""
        self._line = stage.mail_line(stage.sender)

    def befall(self, trial: Trial) -> None:  # noqa: ARG002
        """Close it for a while."""
        self._line.down()
        time.sleep(self.lasts_seconds)
        self._line.up()


class OneSidedSilent(OneSided):
    """One of two processes that send gets no answer from the mail server."""

    name = "one-sided-silent"
    on = {"postgres": EMBEDDED}
    short = {}
    # What was written into the silence waits for the reply's time-out, ten seconds: it may have
    # been taken. That is a code a courier, and no other.
    allowance = Allowance(code_seconds=12)

    def befall(self, trial: Trial) -> None:  # noqa: ARG002
        """Silence it for a while; what was sent into it is lost when it is over."""
        self._line.is_silent = True
        time.sleep(self.lasts_seconds)
        self._line.is_silent = False
        self._line.cut()


class OneSidedPassword(OneSided):
    """One of two processes that send has a wrong password for the mail server, for good."""

    name = "one-sided-password"
    on = {"postgres": EMBEDDED}
    short = {}
    allowance = Allowance(code_seconds=4, after_seconds=4)

    def prepare(self, stage: Stage) -> None:
        """Let it sign in at a server that refuses it."""
        port = free_port()
        command = ["-m", "benchmarks.mailservers", f"{port}=535"]
        server = Kept(command, stage.environment, stage.home / "refusing.out", port)
        stage.undo.enter_context(server).wait()
        mine = {"EMAIL_PORT": str(port), "EMAIL_HOST_USER": "site", "EMAIL_HOST_PASSWORD": "wrong"}
        stage.own[stage.sender] = mine

    def befall(self, trial: Trial) -> None:  # noqa: ARG002
        """Wait: it is there all the time."""
        time.sleep(self.lasts_seconds)


class OldTemplate(OneSidedPassword):
    """One of two processes that send is of before an upgrade, and lacks a template."""

    name = "old-template"
    on = {"postgres": EMBEDDED}

    def prepare(self, stage: Stage) -> None:
        """Give it older settings."""
        stage.own[stage.sender] = {"DJANGO_SETTINGS_MODULE": "benchmarks.projects.old"}


class OldKey(OneSidedPassword):
    """One of two processes that send does not know the key that the kiosks use now."""

    name = "old-key"
    on = {"postgres": ("worker",)}

    def prepare(self, stage: Stage) -> None:
        """Give it an older ring."""
        old, new = (f"{name}={letter * 43}=" for name, letter in (("old", "A"), ("new", "E")))
        stage.environment["OTPMAIL_KEYS"] = f"{new},{old}"
        stage.own[stage.sender] = {"OTPMAIL_KEYS": old}


class DeadAddress(Fault):
    """The mail server's name has two addresses, the first dead, and sessions do not last."""

    name = "dead-address"
    on = {"postgres": ("worker",), "sqlite": ("threads",)}
    allowance = Allowance(code_seconds=4, after_seconds=4)
    _line: Cable

    def prepare(self, stage: Stage) -> None:
        """Fill the first address's backlog, so that it answers no SYN any more."""
        self._line = stage.mail_line()
        here = ("127.0.0.2", self._line.port)
        dead = stage.undo.enter_context(socket.create_server(here, backlog=0))
        for _ in range(3):
            client = stage.undo.enter_context(contextlib.closing(socket.socket()))
            client.setblocking(False)
            client.connect_ex(dead.getsockname())
        path = [str(ROOT / "benchmarks" / "resolver"), stage.environment["PYTHONPATH"]]
        stage.environment |= {
            "PYTHONPATH": ":".join(filter(None, path)),
            "EMAIL_HOST": "mail.test",
        }

    def befall(self, trial: Trial) -> None:  # noqa: ARG002
        """Cut the sessions now and then, so that new ones are needed."""
        for _ in range(3):
            self._line.cut()
            time.sleep(3)


class NatMail(Fault):
    """Sessions to the mail server that idle for two seconds are forgotten, and no end is told.

    What is sent into one is lost after the mail's timeout and a retry: 5 s, 2.2 s, and a second.
    """

    name = "nat-mail"
    on = {"postgres": ("worker",), "sqlite": ("threads",)}
    allowance = Allowance(code_seconds=8.2)
    _line: Cable

    def prepare(self, stage: Stage) -> None:
        """Lay the lines of all."""
        self._line = stage.mail_line()

    def befall(self, trial: Trial) -> None:
        """Let them rest, and ask again."""
        self._line.idle_seconds = 2
        for _ in range(2):
            trial.load.rests = True
            time.sleep(4)
            trial.load.rests = False
            time.sleep(2)
        self._line.idle_seconds = math.inf
        self._line.cut()


class NatListen(Fault):
    """The sessions on which workers listen are forgotten when they idle for two seconds.

    The sweep comes every five, and a code is not to wait for it.
    """

    name = "nat-listen"
    on = {"postgres": ("worker",)}
    environment = {"OTPMAIL_SWEEP_SECONDS": "5"}
    allowance = Allowance(code_seconds=2)
    before_seconds: ClassVar[float] = 3
    _line: Cable

    def prepare(self, stage: Stage) -> None:
        """Lay a line from the workers to the database."""
        port = stage.database.port
        self._line = stage.lay(port, mark=b"LISTEN ")
        url = stage.database.url(stage.name).replace(f":{port}/", f":{self._line.port}/")
        for name in ("worker0", "worker1"):
            stage.own[name] = {"DATABASE_URL": url}

    def befall(self, trial: Trial) -> None:
        """Let them rest, and ask again."""
        self._line.idle_seconds = 2
        trial.load.rests = True
        time.sleep(5)
        trial.load.rests = False
        time.sleep(8)
        self._line.idle_seconds = math.inf
        self._line.cut()
