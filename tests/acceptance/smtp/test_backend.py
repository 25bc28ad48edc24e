"""Django's mails through the backend: what callers of Django's own would see, and the outcomes."""

import smtplib
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes, policy

import django
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.core.signals import setting_changed

from otpmail.backends import pools, smtp
from otpmail.backends.smtp import EmailBackend
from otpmail.outcomes import Blame, Kind
from tests.ruled import Ruled
from tests.scripted import OFFER_ALL, OFFER_NOTHING, Talk, scripted


@pytest.fixture(autouse=True)
def _no_pools():
    yield
    smtp.close_pools()


def backend(server, **options) -> EmailBackend:
    options.setdefault("host", server.host)
    options.setdefault("min_warm", 0)
    options.setdefault("timeout", 30)
    return EmailBackend(alias="default", port=server.port, **options)


def message(number: int = 0, *, to: tuple[str, ...] = ("bob@example.org",)) -> EmailMessage:
    return EmailMessage(f"Mail {number}", "Body", "Alice <alice@example.org>", to)


def taking_all(bodies: list[bytes]):
    def script(talk: Talk):
        talk.greet()
        while True:
            bodies.append(talk.take_chunked(b"250 2.0.0 queued as 4ABC for bob@example.org\r\n"))

    return script


def answering(*replies: bytes, offer: bytes = OFFER_NOTHING):
    """Say these replies to one command each, then wait."""

    def script(talk: Talk):
        talk.greet(offer)
        for reply in replies:
            talk.hear()
            talk.say(reply + b"\r\n")
        talk.wait_for_end()

    return script


def test_sessions_outlive_the_backend_that_opened_them():
    bodies: list[bytes] = []
    with scripted(taking_all(bodies)) as server:
        for number in range(3):
            assert backend(server).send_messages([message(number)]) == 1
        assert len(server.talks) == 1
    assert len(bodies) == 3


def test_a_mail_arrives_as_django_wrote_it():
    bodies: list[bytes] = []
    mail = EmailMultiAlternatives(
        "Votre café", "Texte: café", "Ängström <alice@bücher.example>", ["Bob <bob@example.org>"]
    )
    mail.attach_alternative("<p>café</p>", "text/html")
    with scripted(taking_all(bodies)) as server:
        assert backend(server).send_messages([mail]) == 1
        assert server.talks[0].heard[1:3] == [
            b"MAIL FROM:<alice@xn--bcher-kva.example> BODY=8BITMIME",
            b"RCPT TO:<bob@example.org>",
        ]
    read = message_from_bytes(bodies[0], policy=policy.default)
    assert read["Subject"] == "Votre café"
    assert read.get_body(("plain",)).get_content().strip() == "Texte: café"
    assert read.get_body(("html",)).get_content().strip() == "<p>café</p>"


def test_making_a_backend_opens_and_reads_nothing():
    made = EmailBackend(
        alias="default", host="nowhere.invalid", use_ssl=True, ssl_certfile="/nowhere/at/all"
    )
    assert made.port == 465
    assert pools._pools == {}


def test_other_options_have_another_pool():
    with scripted(taking_all([])) as server:
        assert backend(server).pool is backend(server).pool
        assert backend(server).pool is not backend(server, timeout=6).pool
        assert backend(server).pool is not backend(server, max_age=6).pool


@pytest.mark.parametrize("setting", ["MAILERS", "EMAIL_HOST"])
def test_the_pools_are_dropped_when_the_settings_change(setting):
    with scripted(taking_all([])) as server:
        made = backend(server)
        made.send_messages([message()])
        setting_changed.send(sender=None, setting="LANGUAGE_CODE", value="", enter=True)
        assert "1 idle" in repr(made.pool)
        dropped = made.pool
        setting_changed.send(sender=None, setting=setting, value="", enter=True)
        assert dropped.closed
        made.send_messages([message()])
        assert len(server.talks) == 2


def test_open_tells_whether_it_was_needed_and_raises_if_it_cannot():
    with scripted(taking_all([])) as server:
        with backend(server) as made:
            assert made.open() is False
            assert made.send_messages([message(), message()]) == 2
        assert made.open() is True
        made.close()
        assert len(server.talks) == 1
    with pytest.raises(ConnectionRefusedError):
        backend(server).open()
    assert backend(server, fail_silently=True).open() is None
    assert backend(server, fail_silently=True).send_messages([message(), message()]) == 0


def test_a_message_to_nobody_is_not_sent():
    with scripted(taking_all([])) as server:
        assert backend(server).send_messages([]) == 0
        assert backend(server).send_messages([message(to=())]) == 0
        (outcome,) = backend(server).send_outcomes([message(to=())])
        assert outcome.kind is Kind.PERMANENT
        assert server.talks == []


REFUSALS = [
    ((b"550 5.1.0 no",), smtplib.SMTPSenderRefused, Kind.PERMANENT, Blame.ROUTE),
    ((b"451 4.3.0 later",), smtplib.SMTPSenderRefused, Kind.TRANSIENT, Blame.ROUTE),
    ((b"552 5.3.4 too big",), smtplib.SMTPSenderRefused, Kind.PERMANENT, Blame.CAPABILITY),
    ((b"250 ok", b"550 5.1.1 no"), smtplib.SMTPRecipientsRefused, Kind.PERMANENT, Blame.MAIL),
    ((b"250 ok", b"450 later"), smtplib.SMTPRecipientsRefused, Kind.TRANSIENT, Blame.MAIL),
    ((b"250 ok", b"250 ok", b"554 no"), smtplib.SMTPDataError, Kind.PERMANENT, Blame.MAIL),
]


@pytest.mark.parametrize(("replies", "raised", "kind", "blame"), REFUSALS)
def test_a_refusal_is_raised_as_by_django_and_told_as_an_outcome(replies, raised, kind, blame):
    with scripted(answering(*replies)) as server, pytest.raises(raised) as caught:
        backend(server).send_messages([message()])
    code, text = int(replies[-1][:3]), replies[-1][4:]
    if raised is smtplib.SMTPRecipientsRefused:
        assert caught.value.recipients == {"bob@example.org": (code, text)}
    else:
        assert (caught.value.smtp_code, caught.value.smtp_error) == (code, text)
    with scripted(answering(*replies)) as server:
        assert backend(server, fail_silently=True).send_messages([message()]) == 0
    with scripted(answering(*replies)) as server:
        (outcome,) = backend(server).send_outcomes([message()])
    assert (outcome.kind, outcome.blame, outcome.code) == (kind, blame, code)


def test_a_refused_sign_in_is_the_routes_fault():
    script = answering(b"535 5.7.8 no", offer=b"250-scripted\r\n250 AUTH PLAIN\r\n")
    options = {"username": "tim", "password": "tanstaaf"}
    with scripted(script) as server, pytest.raises(smtplib.SMTPAuthenticationError):
        backend(server, **options).open()
    with scripted(script) as server:
        (outcome,) = backend(server, **options).send_outcomes([message()])
    assert (outcome.kind, outcome.blame, outcome.code) == (Kind.PERMANENT, Blame.ROUTE, 535)
    assert "tanstaaf" not in outcome.reply


def test_a_server_that_turns_us_away_is_the_routes_fault():
    def script(talk: Talk):
        talk.say(b"554 no service\r\n")
        talk.wait_for_end()

    with scripted(script) as server:
        with pytest.raises(smtplib.SMTPConnectError):
            backend(server).send_messages([message()])
        (outcome,) = backend(server).send_outcomes([message()])
    assert (outcome.kind, outcome.blame) == (Kind.PERMANENT, Blame.ROUTE)


def test_a_refused_greeting_or_starttls_is_told_as_by_django():
    def refuses_ehlo(talk: Talk):
        talk.say(b"220 scripted\r\n")
        talk.hear()
        talk.say(b"550 go away\r\n")

    with scripted(refuses_ehlo) as server, pytest.raises(smtplib.SMTPHeloError):
        backend(server).open()
    script = answering(b"454 not now", offer=b"250-scripted\r\n250 STARTTLS\r\n")
    with scripted(script) as server, pytest.raises(smtplib.SMTPResponseException) as caught:
        backend(server, use_tls=True).open()
    assert caught.value.smtp_code == 454


def test_a_mail_too_large_for_the_server_may_fit_another():
    script = answering(offer=b"250-scripted\r\n250 SIZE 10\r\n")
    with scripted(script) as server:
        with pytest.raises(smtplib.SMTPSenderRefused) as caught:
            backend(server).send_messages([message()])
        (outcome,) = backend(server).send_outcomes([message()])
    assert caught.value.smtp_code == 552
    assert (outcome.kind, outcome.blame) == (Kind.PERMANENT, Blame.CAPABILITY)


def test_an_address_that_is_not_ascii_goes_by_smtputf8_or_not_at_all():
    mail = message(to=("jürgen@bücher.example",))

    def script(talk: Talk):
        talk.greet(OFFER_ALL.replace(b"250 CH", b"250-SMTPUTF8\r\n250 CH"))
        talk.take_chunked()
        assert talk.heard[1].endswith(b" SMTPUTF8")
        assert talk.heard[2] == "RCPT TO:<jürgen@xn--bcher-kva.example>".encode()

    with scripted(script) as server:
        assert backend(server).send_messages([mail]) == 1
    with scripted(answering()) as server:
        (outcome,) = backend(server).send_outcomes([mail])
    assert (outcome.kind, outcome.blame) == (Kind.PERMANENT, Blame.CAPABILITY)
    assert "rgen" not in outcome.reply


def test_sessions_can_be_opened_before_the_first_mail():
    opened = threading.Event()

    def script(talk: Talk):
        talk.greet()
        opened.set()
        talk.take_chunked()

    with scripted(script) as server:
        backend(server, min_warm=1).warm()
        assert opened.wait(60)


def test_missing_starttls_is_not_passed_over():
    with scripted(answering()) as server:
        with pytest.raises(smtplib.SMTPNotSupportedError):
            backend(server, use_tls=True).send_messages([message()])
        (outcome,) = backend(server, use_tls=True).send_outcomes([message()])
    assert (outcome.kind, outcome.blame) == (Kind.PERMANENT, Blame.ROUTE)


def test_an_untrusted_certificate_is_told_as_by_django(localhost_certificate):
    def script(talk: Talk):
        talk.encrypt(localhost_certificate.server())

    with scripted(script) as server:
        made = backend(server, host="localhost", use_ssl=True)
        with pytest.raises(ssl.SSLCertVerificationError):
            made.send_messages([message()])
        (outcome,) = made.send_outcomes([message()])
    assert (outcome.kind, outcome.blame) == (Kind.TRANSIENT, Blame.ROUTE)


def test_a_trusted_certificate_is_taken(localhost_certificate, monkeypatch):
    def script(talk: Talk):
        talk.encrypt(localhost_certificate.server())
        talk.greet()
        talk.take_chunked()

    monkeypatch.setenv("SSL_CERT_FILE", str(localhost_certificate.cert))
    with scripted(script) as server:
        assert backend(server, host="localhost", use_ssl=True).send_messages([message()]) == 1


def test_an_accepted_mail_keeps_the_servers_words_with_addresses_masked():
    with scripted(taking_all([])) as server:
        (outcome,) = backend(server).send_outcomes([message()])
    assert outcome.kind is Kind.ACCEPTED
    assert outcome.code == 250
    assert outcome.reply == "2.0.0 queued as 4ABC for b***@example.org"


def test_a_partly_refused_mail_is_accepted_and_says_so():
    replies = (b"250 ok", b"550 nobody", b"250 ok", b"354 go on")

    def script(talk: Talk):
        talk.greet(OFFER_NOTHING)
        for reply in replies:
            talk.hear()
            talk.say(reply + b"\r\n")
        talk.hear_body()
        talk.say(b"250 taken\r\n")

    with scripted(script) as server:
        mail = message(to=("nobody@example.org", "bob@example.org"))
        (outcome,) = backend(server).send_outcomes([mail])
    assert outcome.kind is Kind.ACCEPTED
    assert outcome.reply == "taken; 1 of the recipients refused: 550 nobody"


def test_a_server_that_cannot_be_reached_is_a_transient_fault_of_the_route():
    with scripted(taking_all([])) as server:
        pass
    (outcome,) = backend(server).send_outcomes([message()])
    assert (outcome.kind, outcome.blame) == (Kind.TRANSIENT, Blame.ROUTE)


def test_no_reply_after_the_mail_was_written_is_unknown():
    def script(talk: Talk):
        talk.greet()
        talk.wait_for_end()

    with scripted(script) as server:
        (outcome,) = backend(server).send_outcomes([message()], timeout=0.3)
    assert (outcome.kind, outcome.blame) == (Kind.UNKNOWN, Blame.ROUTE)


def test_a_reply_missing_is_told_to_djangos_callers_as_a_disconnect():
    def script(talk: Talk):
        talk.greet()
        talk.take_chunked(b"")

    with scripted(script) as server, pytest.raises(smtplib.SMTPServerDisconnected):
        backend(server).send_messages([message()])


def test_one_bad_message_does_not_keep_the_others_from_leaving():
    bodies: list[bytes] = []
    with scripted(taking_all(bodies)) as server:
        outcomes = backend(server).send_outcomes(
            [
                message(1),
                message(2, to=("not an address",)),
                message(3, to=("a@b.c\nRSET",)),
                message(4),
            ]
        )
    kinds = [outcome.kind for outcome in outcomes]
    assert kinds == [Kind.ACCEPTED, Kind.PERMANENT, Kind.PERMANENT, Kind.ACCEPTED]
    assert outcomes[1].blame is Blame.MAIL
    assert "not an address" not in outcomes[1].reply
    assert len(bodies) == 2


class PanicError(BaseException):
    """What an extension in Rust raises: no Exception."""


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise PanicError


class BrokenMessage(EmailMessage):
    error: BaseException

    def message(self, **_):
        raise self.error


def broken(error: BaseException) -> EmailMessage:
    mail = BrokenMessage("Mail", "Body", "alice@example.org", ["bob@example.org"])
    mail.error = error
    return mail


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("bob@example.org"), Kind.PERMANENT),
        (KeyError("x"), Kind.TRANSIENT),
        (OSError("attachment"), Kind.TRANSIENT),
        (MemoryError(), Kind.TRANSIENT),
        (RecursionError(), Kind.TRANSIENT),
        (PanicError("bob@example.org"), Kind.TRANSIENT),
        (GeneratorExit(), Kind.TRANSIENT),
        (SpeechlessError(), Kind.TRANSIENT),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_message_raises_is_its_own_outcome_and_no_fault_of_the_route(error, kind):
    bodies: list[bytes] = []
    with scripted(taking_all(bodies)) as server:
        ends = backend(server).send_outcomes([message(1), broken(error), message(2)])
    assert [end.kind for end in ends] == [Kind.ACCEPTED, kind, Kind.ACCEPTED]
    assert ends[1].blame is Blame.MAIL
    assert ends[1].reply.startswith(type(error).__name__)
    assert "bob@" not in ends[1].reply
    assert len(bodies) == 2


@pytest.mark.parametrize("order", [KeyboardInterrupt, SystemExit])
def test_an_order_to_end_goes_through_in_the_main_thread_and_is_an_outcome_in_another(order):
    with scripted(taking_all([])) as server:
        with pytest.raises(order):
            backend(server).send_outcomes([broken(order())])
        with ThreadPoolExecutor(1) as threads:
            (end,) = threads.submit(backend(server).send_outcomes, [broken(order())]).result()
    assert (end.kind, end.blame) == (Kind.TRANSIENT, Blame.MAIL)


@pytest.mark.parametrize("wrong", [None, 7, PanicError, TypeError, SystemExit])
def test_a_token_that_is_none_is_an_outcome_of_the_route(wrong):
    def token():
        if isinstance(wrong, type):
            raise wrong("secret")
        return wrong

    def script(talk: Talk):
        talk.greet(b"250-scripted\r\n250 AUTH XOAUTH2\r\n")
        talk.wait_for_end()

    with scripted(script) as server:
        made = backend(server, username="tim", token=token)
        with ThreadPoolExecutor(1) as threads:
            (end,) = threads.submit(made.send_outcomes, [message()]).result()
        assert "0 busy, 0 opening" in repr(made.pool)
    assert (end.kind, end.blame) == (Kind.TRANSIENT, Blame.ROUTE)
    assert (wrong if isinstance(wrong, type) else type(wrong)).__name__ in end.reply
    assert "secret" not in end.reply


def test_an_invalid_address_raises_as_in_django():
    with scripted(taking_all([])) as server, pytest.raises(ValueError, match="Invalid address"):
        backend(server, fail_silently=True).send_messages([message(to=("a@b.c, d@e.f",))])


def test_a_mail_not_wanted_any_more_is_not_written_and_has_no_outcome():
    asked: list[EmailMessage] = []

    def no(mail: EmailMessage) -> bool:
        asked.append(mail)
        return False

    def script(talk: Talk):
        talk.greet()
        talk.wait_for_end()

    mail = message()
    with scripted(script) as server:
        assert backend(server).send_outcomes([mail], still_valid=no) == [None]
        assert server.talks[0].heard[1:] == []
    assert asked == [mail]


@pytest.mark.parametrize("offer", [OFFER_ALL, OFFER_NOTHING])
@pytest.mark.parametrize("error", [PanicError, OSError, SystemExit])
def test_of_whom_nobody_can_say_whether_he_is_wanted_is_not_sent_and_the_others_are(error, offer):
    def is_still_valid(mail: EmailMessage) -> bool:
        if mail is mails[1]:
            raise error("the database is away")
        return True

    mails = [message(number) for number in range(4)]
    ruled = Ruled(offer=offer)
    with scripted(ruled) as server, ThreadPoolExecutor(1) as threads:
        made = backend(server)
        ends = threads.submit(made.send_outcomes, mails, still_valid=is_still_valid).result()
        assert "1 idle, 0 busy" in repr(made.pool)
    assert [end.kind for end in ends] == [
        Kind.ACCEPTED, Kind.TRANSIENT, Kind.ACCEPTED, Kind.ACCEPTED
    ]  # fmt: skip
    assert ends[1].blame is Blame.CAPABILITY
    assert error.__name__ in ends[1].reply
    assert len(ruled.mails) == 3


def test_mails_given_together_are_in_flight_together_and_asked_for_one_by_one():
    bodies: list[bytes] = []

    def script(talk: Talk):
        talk.greet()
        bodies.extend(talk.hear_chunked() for _ in range(2))
        talk.say((b"250 ok\r\n" * 3 + b"250 taken\r\n") * 2)
        talk.wait_for_end()

    mails = [message(number) for number in range(3)]
    with scripted(script) as server:
        outcomes = backend(server).send_outcomes(
            mails, still_valid=lambda mail: mail is not mails[1]
        )
    kinds = [outcome and outcome.kind for outcome in outcomes]
    assert kinds == [Kind.ACCEPTED, None, Kind.ACCEPTED]
    assert [b"Mail 1" in body for body in bodies] == [False, False]


def test_the_first_refusal_ends_a_batch_as_in_django_and_with_a_window_does_not():
    def script(talk: Talk):
        talk.greet()
        for number in range(3):
            talk.take_chunked(b"554 no\r\n" if number == 1 else b"250 taken\r\n")
        talk.wait_for_end()

    for window, taken in ((1, 2), (10, 3)):
        with scripted(script) as server:
            with pytest.raises(smtplib.SMTPDataError):
                backend(server, window=window).send_messages([message(n) for n in range(3)])
            assert sum(line.startswith(b"BDAT") for line in server.talks[0].heard) == taken


def test_pipelining_can_be_forbidden():
    def script(talk: Talk):
        talk.greet(OFFER_ALL)
        talk.take_stepwise()

    with scripted(script) as server:
        assert backend(server, pipelining=False).send_messages([message()]) == 1


def token() -> str:
    return "secret"


def test_a_token_is_named_by_its_dotted_path():
    expected = b"AUTH XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgc2VjcmV0AQE="

    def script(talk: Talk):
        talk.greet(b"250-scripted\r\n250 AUTH XOAUTH2\r\n")
        assert talk.hear() == expected
        talk.say(b"235 ok\r\n")
        talk.take_stepwise()

    with scripted(script) as server:
        made = backend(server, username="tim", token=f"{__name__}.token")
        assert made.send_messages([message()]) == 1


def test_a_token_whose_path_leads_nowhere_is_an_outcome_of_the_route():
    def script(talk: Talk):
        talk.greet(b"250-scripted\r\n250 AUTH XOAUTH2\r\n")
        talk.wait_for_end()

    with scripted(script) as server:
        made = backend(server, username="tim", token="nowhere.at.all")
        (outcome,) = made.send_outcomes([message()])
    assert (outcome.kind, outcome.blame) == (Kind.PERMANENT, Blame.ROUTE)
    assert outcome.is_lasting
    assert "ModuleNotFoundError" in outcome.reply


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"host": "a", "use_tls": True, "use_ssl": True},
        {"host": "a", "pool_size": 0},
        {"host": "a", "window": 0},
    ],
)
def test_wrong_options_are_improperly_configured(options):
    with pytest.raises(ImproperlyConfigured):
        EmailBackend(alias="default", **options)


@pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS came with Django 6.1")
class TestMailers:
    def test_an_entry_of_mailers_makes_the_backend(self, settings):
        from django.core.mail import mailers

        bodies: list[bytes] = []
        with scripted(taking_all(bodies)) as server:
            settings.MAILERS = {
                "codes": {
                    "BACKEND": "otpmail.backends.smtp.EmailBackend",
                    "OPTIONS": {"host": server.host, "port": server.port, "min_warm": 0},
                }
            }
            message().send(using="codes")
            assert mailers["codes"].send_messages([message()]) == 1
            assert len(server.talks) == 1
        assert len(bodies) == 2

    def test_an_unknown_option_is_told(self):
        from django.core.mail import InvalidMailer

        with pytest.raises(InvalidMailer, match="pol_size"):
            EmailBackend(alias="codes", host="a", pol_size=3)


@pytest.mark.skipif(django.VERSION >= (6, 1), reason="EMAIL_* is of before MAILERS")
def test_the_older_settings_make_the_backend(settings):
    bodies: list[bytes] = []
    with scripted(taking_all(bodies)) as server:
        settings.EMAIL_BACKEND = "otpmail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.host, server.port
        assert message().send() == 1
        assert message().send() == 1
        assert len(server.talks) == 1
    assert len(bodies) == 2
