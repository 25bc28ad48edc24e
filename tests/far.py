"""A far host whose way can be cut without a word: a network namespace behind a pair of cables.

A cut drops what is sent, in either direction, and tells nobody: no RST, no ICMP, no end.
"""

import contextlib
import itertools
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NOBODY = "02:00:00:00:00:99"
"""A hardware address that no cable's end has."""

_numbers = itertools.count()


def available() -> bool:
    """Whether this process may make a network namespace."""
    if os.geteuid() != 0 or not hasattr(os, "setns"):
        return False
    probe = f"otpmail-probe-{os.getpid()}"
    made = _ip("netns", "add", probe, check=False)
    _ip("netns", "del", probe, check=False)
    return made


def _ip(*words: str, check: bool = True) -> bool:
    try:
        done = subprocess.run(["ip", *words], check=check, capture_output=True)
    except FileNotFoundError:
        return False
    return done.returncode == 0


@dataclass
class Far:
    """The far host. ``near`` and ``address`` are the two ends of the way to it."""

    name: str
    near: str
    address: str
    cable: str

    def listen(self) -> socket.socket:
        """Give a socket that listens there."""
        made: list[socket.socket] = []

        def enter() -> None:
            with Path("/run/netns", self.name).open() as namespace:
                os.setns(namespace.fileno(), os.CLONE_NEWNET)
            made.append(socket.create_server((self.address, 0), backlog=64))

        thread = threading.Thread(target=enter)  # a namespace is a thread's
        thread.start()
        thread.join()
        return made[0]

    def cut(self) -> None:
        """Drop all that is sent from now on, both ways."""
        _ip("neigh", "replace", self.address, "lladdr", NOBODY, "dev", self.cable)
        _ip("-n", self.name, "neigh", "replace", self.near, "lladdr", NOBODY, "dev", "far")

    def forget(self, port: int) -> None:
        """Drop all of one connection, by its near port, as a NAT does that forgot it."""
        for way in (["from", self.near, "sport"], ["to", self.near, "dport"]):
            _ip("-n", self.name, "rule", "add", "pref", "1", *way, str(port), "ipproto", "tcp",
                "blackhole")  # fmt: skip


@contextlib.contextmanager
def far_host() -> Iterator[Far]:
    """Have a far host until the block ends."""
    number = os.getpid() % 4096 * 16 + next(_numbers) % 16
    net = f"198.{18 + number // 16384 % 2}.{number // 64 % 256}."  # RFC 2544: of no network
    low = number % 64 * 4
    far = Far(f"otpmail-{number}", f"{net}{low + 1}", f"{net}{low + 2}", f"otpmail{number}")
    _ip("netns", "add", far.name)
    try:
        _ip("link", "add", far.cable, "type", "veth", "peer", "name", "far", "netns", far.name)
        _ip("addr", "add", f"{far.near}/30", "dev", far.cable)
        _ip("link", "set", far.cable, "up")
        _ip("-n", far.name, "addr", "add", f"{far.address}/30", "dev", "far")
        _ip("-n", far.name, "link", "set", "far", "up")
        # Its own addresses are looked up after our rules, and not before all.
        _ip("-n", far.name, "rule", "add", "pref", "2", "lookup", "local")
        _ip("-n", far.name, "rule", "del", "pref", "0")
        # Else what arrives on a known connection is looked up nowhere, and no rule is asked.
        knob = "/proc/sys/net/ipv4/ip_early_demux"
        _ip("netns", "exec", far.name, "sh", "-c", f"echo 0 > {knob}")
        yield far
    finally:
        _ip("netns", "del", far.name, check=False)  # the cable goes with it
        _ip("link", "del", far.cable, check=False)
