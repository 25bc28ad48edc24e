"""A real Postfix of a test's own: its own directory, its own free ports, Debian's binaries.

It offers each way of sending on a port of its own, STARTTLS with a throw-away certificate, and
sign-in (SASL). It puts mail for example.org into a Maildir; ``nobody@example.org`` does not exist.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mailserver import free_port

DAEMONS = Path("/usr/lib/postfix/sbin")
USER, PASSWORD, REALM = "tim", "tanstaaf", "mail.example.org"

MAIN = """\
compatibility_level = 3.6
queue_directory = {home}/spool
data_directory = {home}/data
command_directory = /usr/sbin
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {home}/log
maillog_file_prefixes = {home}
myhostname = {realm}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_transport = discard
default_transport = discard
relay_transport = discard
alias_maps =
virtual_mailbox_domains = example.org
virtual_mailbox_maps = regexp:{home}/boxes
virtual_mailbox_base = {home}/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtputf8_enable = yes
message_size_limit = 1000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtpd_peername_lookup = no
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = {realm}
cyrus_sasl_config_path = {home}/etc/sasl
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
"""

MASTER = """\
{full}      inet n - n - - smtpd -o smtpd_tls_security_level=may -o smtpd_sasl_auth_enable=yes
{pipelining} inet n - n - - smtpd -o smtpd_discard_ehlo_keywords=chunking
{plain}     inet n - n - - smtpd -o smtpd_discard_ehlo_keywords=chunking,pipelining,8bitmime
{tls}       inet n - n - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes
{brief}     inet n - n - - smtpd -o smtpd_timeout=1s
{few}       inet n - n - - smtpd -o smtpd_recipient_limit=3
{late}      inet n - n - - smtpd -o smtpd_recipient_limit=3
    -o smtpd_discard_ehlo_keywords=chunking,pipelining
{rated}     inet n - n - - smtpd -o smtpd_client_message_rate_limit=2
    -o smtpd_client_event_limit_exceptions=
{named}     inet n - n - - smtpd -o smtpd_helo_required=yes
    -o smtpd_helo_restrictions=reject_non_fqdn_helo_hostname
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

SASL = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {home}/sasldb2
mech_list: PLAIN LOGIN CRAM-MD5
"""

WAYS = ("full", "pipelining", "plain", "tls", "brief", "few", "late", "rated", "named")


@dataclass(frozen=True, slots=True)
class Place:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Postfix:
    home: Path
    ports: dict[str, int]

    def at(self, way: str) -> Place:
        return Place("localhost", self.ports[way])

    def arrived(self, token: str, count: int = 1, seconds: float = 60.0) -> list[bytes]:
        """Wait for so many mails that hold the token; returns them, and more if there are."""
        end = time.monotonic() + seconds
        while True:
            mails = [path.read_bytes() for path in (self.home / "mail").glob("box/new/*")]
            found = [mail for mail in mails if token.encode() in mail]
            if len(found) >= count or time.monotonic() > end:
                return found
            time.sleep(0.05)

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()


def available() -> bool:
    return os.geteuid() == 0 and shutil.which("postfix") is not None


@contextlib.contextmanager
def running(cert: Path, key: Path) -> Iterator[Postfix]:
    home = Path(tempfile.mkdtemp(prefix="postfix-"))
    ports = dict(zip(WAYS, (free_port() for _ in WAYS), strict=True))
    try:
        write_home(home, ports, cert, key)
        command = ["postfix", "-c", str(home / "etc")]
        with (home / "out").open("wb") as out:
            process = subprocess.Popen([*command, "start-fg"], stdout=out, stderr=out)
        try:
            for port in ports.values():
                wait_for(port, process, home)
            yield Postfix(home, ports)
        finally:
            subprocess.run([*command, "stop"], check=False, capture_output=True)
            process.wait(20)
    finally:
        shutil.rmtree(home)


def write_home(home: Path, ports: dict[str, int], cert: Path, key: Path) -> None:
    owner = pwd.getpwnam("postfix")
    home.chmod(0o755)  # Postfix's own user has to reach in
    for name in ("etc", "spool", "data", "mail"):
        (home / name).mkdir()
    shutil.copy(cert, home / "cert.pem")
    shutil.copy(key, home / "key.pem")
    for name in ("data", "mail"):
        shutil.chown(home / name, "postfix", "postfix")
    (home / "boxes").write_text("!/^nobody@/ box/\n")
    (home / "etc" / "sasl").mkdir()
    (home / "etc" / "sasl" / "smtpd.conf").write_text(SASL.format(home=home))
    subprocess.run(
        ["saslpasswd2", "-p", "-c", "-f", home / "sasldb2", "-u", REALM, USER],
        input=PASSWORD.encode(),
        check=True,
    )
    shutil.chown(home / "sasldb2", "postfix")
    facts = {
        "home": home,
        "daemons": DAEMONS,
        "realm": REALM,
        "uid": owner.pw_uid,
        "gid": owner.pw_gid,
        "cert": home / "cert.pem",
        "key": home / "key.pem",
    }
    (home / "etc" / "main.cf").write_text(MAIN.format(**facts))
    places = {way: f"127.0.0.1:{port}" for way, port in ports.items()}
    (home / "etc" / "master.cf").write_text(MASTER.format(**places))


def wait_for(port: int, process: subprocess.Popen[bytes], home: Path) -> None:
    for _ in range(2400):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    log = home / "log"
    words = (home / "out").read_text() + (log.read_text() if log.exists() else "")
    raise RuntimeError(f"Postfix does not answer: {words}")
