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
    InvalidArgumentError,
    Phase,
    ProtocolError,
    RefusedError,
    TimedOutError,
    TlsFileError,
    TokenError,
    UnsupportedError,
    WireError,
)

HOST, PORT = "host/EMAIL_HOST", "port/EMAIL_PORT"
USE_TLS, USE_SSL = "use_tls/EMAIL_USE_TLS", "use_ssl/EMAIL_USE_SSL"
SIGN_IN = "username/EMAIL_HOST_USER and password/EMAIL_HOST_PASSWORD"
PASSWORD = "password/EMAIL_HOST_PASSWORD"  # noqa: S105 - an option's name
TOKEN = "token, a callable or its dotted path"  # noqa: S105 - an option's name
CERTFILE, KEYFILE = "ssl_certfile/EMAIL_SSL_CERTFILE", "ssl_keyfile/EMAIL_SSL_KEYFILE"
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

WANTS_CERTIFICATE = re.compile(
    r"CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|ALERT_ACCESS_DENIED"
    r"|ALERT_(?:NO|BAD|UNKNOWN|UNSUPPORTED)_C|ALERT_CERTIFICATE_|ALERT_DECRYPT_ERROR"
)
"""OpenSSL's reasons when the server takes no client without a certificate, or not with this one."""

OUT_OF_DATE = re.compile(
    r"PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|NO_PROTOCOLS|INAPPROPRIATE_FALLBACK|TOO_(?:SMALL|WEAK)"
    r"|INSUFFICIENT_SECURITY|NO_(?:SHARED|SUITABLE)|LEGACY|WRONG_(?:SIGNATURE|CIPHER|SSL_VERSION)"
)
"""Its reasons when both ends have no version or cipher in common."""

TAKES_PASSWORDS = re.compile(rb"\b(?:PLAIN|LOGIN|CRAM-MD5)\b")
TAKES_TOKENS = re.compile(rb"\bXOAUTH2\b")

NO_MAIL = frozenset({500, 502, 503, 530})
"""What servers answer to EHLO and HELO that speak FTP or LMTP, which also greet with 220."""

FTP = re.compile(rb"USER and PASS|USER first|log(?:ged)? ?in|\bFTP", re.IGNORECASE)

NEEDS_TLS = re.compile(rb"STARTTLS|\bTLS\b|encrypt", re.IGNORECASE)
NEEDS_SIGN_IN = re.compile(rb"\bauth|\brelay|log ?in|sign.?in|credential", re.IGNORECASE)

AUTHENTICATION_REQUIRED = 530
ENCRYPTION_REQUIRED = 538
"""RFC 4954, 6."""

QUOTED = 60
"""Characters of what a server said."""


def of_opening(error: WireError, *, security: str = "none", encrypted: bool = False) -> str:
    """Tell what to look at when no session could be opened.

    ``security`` is how it was to be kept from others: ``none``, ``starttls`` or ``tls``;
    ``encrypted``, whether TLS stood.
    """
    match error.phase:
        case Phase.CONNECT:
            return _of_connecting(error)
        case Phase.BANNER | Phase.EHLO:
            return _joined(_of_greeting(error, security, encrypted=encrypted), _quote(error.said))
        case Phase.TLS:
            return _joined(_of_tls(error, security), _quote(error.said))
        case Phase.STARTTLS if isinstance(error, UnsupportedError | RefusedError):
            return f"another {PORT} may offer it, or speak TLS at once: {USE_SSL}"
        case Phase.AUTH:
            return _of_sign_in(error, security)
        case _:
            return ""


def with_reply(error: BaseException) -> str:
    """Tell an opening's error with what the server said: no mail can be in it."""
    said = _quote(error.reply.message, 3 * QUOTED) if isinstance(error, RefusedError) else ""
    return _joined(str(error), said)


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


def _of_greeting(error: WireError, security: str, *, encrypted: bool) -> str:
    if isinstance(error, RefusedError):
        if error.phase is Phase.EHLO and error.reply.code in NO_MAIL:
            is_ftp = FTP.search(error.reply.message)
            return f"this port is FTP's: {PORT}" if is_ftp else f"is this port SMTP's? {PORT}"
        return f"does this server take mail from here? {HOST}"
    if security != "tls" and TLS_RECORD.match(error.said):
        return f"this port speaks TLS: {USE_SSL}"
    if other := next((told for sign, told in OTHERS.items() if error.said.startswith(sign)), None):
        return f"{other}: {PORT}"
    if error.said or not isinstance(error, BrokenError):
        return f"is this a mail server? {HOST}, {PORT}"
    if encrypted:
        if told := _of_alert(error):
            return told
        certificate = f"does it want a client's certificate? {CERTFILE}"
        return f"is this a mail server? {HOST}, {PORT}; {certificate}"
    return f"a port that speaks TLS is silent: {USE_SSL}; or {PORT}"


def _of_alert(error: WireError) -> str:
    reason = getattr(error.__cause__, "reason", None) or ""
    if WANTS_CERTIFICATE.search(reason):
        return f"does the server want a client's certificate, or another one? {CERTFILE}"
    if OUT_OF_DATE.search(reason):
        return f"the server's TLS is older than this host takes: update it, or another {HOST}"
    return f"{HOST} must be a name that the server has" if "UNRECOGNIZED_NAME" in reason else ""


def _of_tls(error: WireError, security: str) -> str:
    cause = error.__cause__
    if isinstance(error, TlsFileError):
        return f"{CERTFILE}, {KEYFILE}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return CERTIFICATES.get(cause.verify_code, "make the server's certificate anew")
    if isinstance(error, ProtocolError):
        return f"this port begins without TLS: {USE_TLS} in place of {USE_SSL}, or {PORT}"
    if security == "tls" and isinstance(error, BrokenError):
        return f"does this port speak TLS? {USE_TLS} in place of {USE_SSL}, or {PORT}"
    return _of_alert(error)


def _of_sign_in(error: WireError, security: str) -> str:
    match error:
        case RefusedError() if error.reply.code in {AUTHENTICATION_REQUIRED, ENCRYPTION_REQUIRED}:
            return f"set {USE_TLS}"
        case RefusedError() if error.reply.code // 100 == 5:  # noqa: PLR2004 - RFC 5321, 4.2.1
            return SIGN_IN
        case UnsupportedError():
            return _of_mechanisms(error.said, security)
        case TokenError():
            return TOKEN
        case InvalidArgumentError():
            return f"{SIGN_IN}, or {TOKEN}"
        case _:
            return ""


def _of_mechanisms(offered: bytes, security: str) -> str:
    if TAKES_TOKENS.search(offered):
        return f"it takes no password: {TOKEN}, in place of {PASSWORD}"
    if TAKES_PASSWORDS.search(offered):
        return f"it takes no token: {PASSWORD} in place of it"
    if security == "none":
        return f"many offer it under TLS alone: {USE_TLS}"
    return f"another {PORT} may offer it; or leave {SIGN_IN} empty"


def _quote(said: bytes, length: int = QUOTED) -> str:
    line = re.sub(r"\S+@\S*", "*", said.decode("ascii", "replace"))
    line = re.sub(r"[^\x20-\x7e]+", " ", line).strip()[:length]
    return f"the server said {line!r}" if line and not TLS_RECORD.match(said) else ""


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))
