"""What kept a session from being opened, in words that lead to the setting to change.

In: a `WireError` of an opening, and how the server was spoken to; or a refusal of a mail.
Out: a hint; empty where there is nothing to say. Knows nothing of: sockets, logs.

Options are named as in ``MAILERS``, and beside them the settings of before. What a server says
where no reply is due is quoted only before the sign-in: nothing of ours can be in it then.
"""

import re
import socket
import ssl

from otpmail.smtp.errors import (
    BrokenError,
    InsecureChannelError,
    Phase,
    ProtocolError,
    RefusedError,
    TimedOutError,
    UnsupportedError,
    WireError,
)

HOST, PORT = "host/EMAIL_HOST", "port/EMAIL_PORT"
USE_TLS, USE_SSL = "use_tls/EMAIL_USE_TLS", "use_ssl/EMAIL_USE_SSL"
SIGN_IN = "username/EMAIL_HOST_USER and password/EMAIL_HOST_PASSWORD"
SENDER = "OTPMAIL_FROM or DEFAULT_FROM_EMAIL"

OTHERS = {
    b"* ": "this port is IMAP's",
    b"+OK": "this port is POP3's",
    b"-ERR": "this port is POP3's",
    b"HTTP/": "this port is a web server's",
    b"SSH-": "this port is SSH's",
}
"""How servers begin that speak something else."""

TLS_RECORD = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")
"""The first octets of TLS (RFC 8446, 5.1)."""

CERTIFICATES = {
    # OpenSSL's X509_V_ERR_*
    9: "it is not valid yet: is this host's clock right?",
    10: "renew the server's certificate, or set this host's clock",
    **dict.fromkeys((18, 19, 20, 21), "SSL_CERT_FILE must name the authority that signed it"),
    **dict.fromkeys((62, 64), f"{HOST} must be a name that the certificate has"),
}

NEEDS_TLS = re.compile(rb"STARTTLS|\bTLS\b|encrypt", re.IGNORECASE)
NEEDS_SIGN_IN = re.compile(rb"\bauth|\brelay|log ?in|sign.?in|credential", re.IGNORECASE)

AUTHENTICATION_REQUIRED = 530
ENCRYPTION_REQUIRED = 538
"""RFC 4954, 6."""

QUOTED = 60
"""Characters of what a server said."""


def of_opening(error: WireError, *, security: str) -> str:
    """Tell what to look at when no session could be opened.

    ``security`` is how it was to be kept from others: ``none``, ``starttls`` or ``tls``.
    """
    match error.phase:
        case Phase.CONNECT:
            return _of_connecting(error)
        case Phase.BANNER | Phase.EHLO:
            return _joined(_of_greeting(error, security), _quote(error.said))
        case Phase.TLS:
            return _joined(_of_tls(error, security), _quote(error.said))
        case Phase.STARTTLS if isinstance(error, UnsupportedError | RefusedError):
            return f"another {PORT} may offer it, or speak TLS at once: {USE_SSL}"
        case Phase.AUTH:
            return _of_sign_in(error, security)
        case _:
            return ""


def of_refusal(error: RefusedError) -> str:
    """Tell what to look at when a server does not take a mail that another would."""
    said, code = error.reply.message, error.reply.code
    if code == AUTHENTICATION_REQUIRED or error.reply.enhanced == (5, 7, 0):
        return f"set {USE_TLS if NEEDS_TLS.search(said) else SIGN_IN}"
    if code // 100 != 5:  # noqa: PLR2004 - RFC 5321, 4.2.1
        return ""
    if error.phase is Phase.MAIL:
        return f"does this server know the sender? {SENDER}"
    if error.phase is Phase.RCPT and NEEDS_SIGN_IN.search(said):
        return f"does it relay for who signs in? {SIGN_IN}, or {HOST}"
    return ""


def _of_connecting(error: WireError) -> str:
    if isinstance(error.__cause__, socket.gaierror | UnicodeError):
        return f"{HOST} is not known, or the resolver is away"
    if isinstance(error, TimedOutError):
        return f"{HOST}, {PORT}, or a firewall between"
    return f"{HOST} or {PORT}"


def _of_greeting(error: WireError, security: str) -> str:
    if isinstance(error, RefusedError):
        return f"does this server take mail from here? {HOST}"
    if security != "tls" and TLS_RECORD.match(error.said):
        return f"this port speaks TLS: {USE_SSL}"
    if other := next((told for sign, told in OTHERS.items() if error.said.startswith(sign)), None):
        return f"{other}: {PORT}"
    if error.said or not isinstance(error, BrokenError):
        return f"is this a mail server? {HOST}, {PORT}"
    if security == "tls":
        return f"is this a mail server, and alive? {HOST}, {PORT}"
    return f"a port that speaks TLS is silent: {USE_SSL}; or {PORT}"


def _of_tls(error: WireError, security: str) -> str:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return CERTIFICATES.get(cause.verify_code, "make the server's certificate anew")
    if isinstance(error, ProtocolError):
        return f"this port begins without TLS: {USE_TLS} in place of {USE_SSL}, or {PORT}"
    if security == "tls" and isinstance(error, BrokenError):
        return f"does this port speak TLS? {USE_TLS} in place of {USE_SSL}, or {PORT}"
    if isinstance(error, InsecureChannelError) and not isinstance(cause, ssl.SSLError):
        return "ssl_certfile/EMAIL_SSL_CERTFILE, ssl_keyfile/EMAIL_SSL_KEYFILE"
    return ""


def _of_sign_in(error: WireError, security: str) -> str:
    match error:
        case RefusedError() if error.reply.code in {AUTHENTICATION_REQUIRED, ENCRYPTION_REQUIRED}:
            return f"set {USE_TLS}"
        case RefusedError() if error.reply.code // 100 == 5:  # noqa: PLR2004 - RFC 5321, 4.2.1
            return SIGN_IN
        case UnsupportedError() if security == "none":
            return f"many offer it under TLS alone: {USE_TLS}"
        case UnsupportedError():
            return f"another {PORT} may offer it; or leave {SIGN_IN} empty"
        case _:
            return ""


def _quote(said: bytes) -> str:
    line = re.sub(r"[^\x20-\x7e]+", " ", said.decode("ascii", "replace")).strip()[:QUOTED]
    line = re.sub(r"\S+@\S*", "*", line)
    return f"the server said {line!r}" if line and not TLS_RECORD.match(said) else ""


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))
