"""What is counted, masked and suppressed is what a mail server is told."""

import itertools
from email.utils import parseaddr
from io import StringIO

import pytest
from django.core.mail import EmailMessage
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from otpmail import challenges, routes
from otpmail.addresses import canonical
from otpmail.addresses.mailboxes import mailbox_of
from otpmail.addresses.requester import NOBODY, Client
from otpmail.db import compat, database
from otpmail.limits import rates, suppressions
from otpmail.limits.counters import Allowance
from otpmail.models import AuditEntry, Challenge, Counter, Delivery, DeliveryEvent
from otpmail.operations import privacy
from otpmail.results import Cap, InvalidAddress, Issued, OverCap
from tests import mailserver
from tests.mailserver import DJANGOS_BACKEND, OUR_BACKEND
from tests.rounds import tried

pytestmark = pytest.mark.django_db(transaction=True)

SUBJECTS = itertools.count()
WIDE = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})


class Ears(mailserver.MailServer):
    """Keeps what each RCPT names."""

    def begin_anew(self) -> None:
        super().begin_anew()
        self.named: list[str] = []

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        self.named.append(address)
        return await super().handle_RCPT(server, session, envelope, address, options)


@pytest.fixture
def ears(settings):
    with mailserver.running(Ears(), enable_SMTPUTF8=True) as server:
        mailserver.route_to(settings, server.port)
        yield server
        routes.close()


def issue(recipient, **changes):
    """Promise a code to somebody else each time: nothing is continued."""
    named = {"purpose": "sign-in", "owner": str(next(SUBJECTS)), "recipient": recipient}
    return challenges.issue(**named | changes)


# One form


spellings = st.one_of(
    st.from_regex(r"[a-zA-Z0-9.+_-]{1,12}", fullmatch=True),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=8),
    st.from_regex(r'"([a-z .+@]|\\[a-z"])+"', fullmatch=True),
)
domains = st.sampled_from(
    [
        "example.org",
        "EXAMPLE.org",
        "straße.example",
        "STRASSE.example",
        "xn--strae-oqa.example",
        "bu\u0308cher.example",
        "example。org",
        "example.org".translate(WIDE),
        "gmail.com",
        "[192.0.2.1]",
        "[IPv6:2001:DB8::1]",
    ]
)


@examples(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spellings, domains)
@example('"victim"', "example.org")
@example(r'"v\ictim"', "example.org")
@example("a..b", "docomo.ne.jp")
@example("user", "straße.de")
@example("ju\u0308rgen", "example.org")
def test_what_the_wire_writes_is_what_is_counted(ears, settings, local, domain):
    settings.OTPMAIL_RECIPIENT_QUOTA = (1000, 1000)
    Counter.objects.all().delete()
    ears.begin_anew()
    issued = issue(f"{local}@{domain}")
    if isinstance(issued, InvalidAddress):
        return
    (named,) = ears.named
    challenge = Challenge.objects.get(pk=issued.challenge_id)
    assert challenge.recipient == named == canonical(named)
    counted = Allowance("recipient", mailbox_of(named), (1000, 1000))
    assert [row.pk for row in Counter.objects.filter(kind="recipient")] == [counted.key()]
    (to,) = ears.mails[0]["To"].addresses  # in UTF-8, which Python's parser leaves as it is
    assert to.addr_spec.encode(errors="surrogateescape").decode() == named
    assert issued.recipient.rpartition("@")[2] == named.rpartition("@")[2]


@examples(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spellings, domains)
@example('"=?utf-8?q?victim?= x"', "example.org")
@example('"a b"', "straße.example")
@example("a..b.", "docomo.ne.jp")
def test_djangos_backend_writes_it_too(ears, settings, local, domain):
    mailserver.route_through(settings, DJANGOS_BACKEND, host=ears.host, port=ears.port, timeout=30)
    ears.begin_anew()
    issued = issue(f"{local}@{domain}")
    if not isinstance(issued, InvalidAddress):
        assert ears.named == [Challenge.objects.get(pk=issued.challenge_id).recipient]


@pytest.mark.parametrize(
    "recipient",
    ["a@b\u2028.com", "a@b", "", None, b"alice@example.org", "a\0@example.org", "\ud800"],
)
def test_what_is_no_address_is_told_at_the_door(recipient):
    assert isinstance(issue(recipient), InvalidAddress)
    assert not Challenge.objects.exists()


@pytest.mark.parametrize(
    "spelt",
    [
        '"victim"@example.org',
        r'"v\ictim"@example.org',
        '"victim+x y"@example.org',
        "victim+x@example.org",
        "VICTIM@EXAMPLE.ORG",
        "victim@example.org".translate(WIDE),
        "victim@example｡org",
    ],
)
def test_a_spelling_has_no_quota_of_its_own(settings, spelt):
    settings.OTPMAIL_RECIPIENT_QUOTA = (1, 1)
    assert isinstance(issue("victim@example.org"), Issued)
    assert issue(spelt, owner="mallory").cap is Cap.RECIPIENT


def test_a_domain_uses_up_no_other_domains_quota(settings):
    settings.OTPMAIL_RECIPIENT_QUOTA = (1, 1)
    assert isinstance(issue("user@straße.de"), Issued)
    assert isinstance(issue("user@strasse.de"), Issued)
    assert isinstance(issue("user@xn--strae-oqa.de"), OverCap)


@pytest.mark.parametrize(
    "spelt", ["Victim@example.org".translate(WIDE), '"victim"@EXAMPLE.org', "victim@example。org"]
)
def test_a_suppressed_address_is_mailed_under_no_spelling(mailoutbox, spelt):
    issued = issue("victim@example.org")
    challenge = Challenge.objects.get(pk=issued.challenge_id)
    suppressions.suppress(challenge.recipient, DeliveryEvent.BOUNCED, since=database.now())
    mailoutbox.clear()
    assert issue(spelt).delivery.status == "failed"
    assert mailoutbox == []
    call_command("otpmail_lift", spelt, stdout=StringIO())
    issue(spelt)
    assert len(mailoutbox) == 1


@pytest.mark.parametrize("command", ["otpmail_lift", "otpmail_erase", "otpmail_export"])
def test_commands_refuse_what_is_no_address(command):
    with pytest.raises(CommandError, match="not a domain name"):
        call_command(command, "alice@nowhere")


def test_a_persons_rows_are_found_by_each_spelling():
    issue("user@straße.de")
    issue("JÜRGEN@example.org")
    assert len(privacy.export(recipient='"USER"@STRAßE.de')) == 1
    assert privacy.erase(recipient="user@xn--strae-oqa.de").count == 1
    assert privacy.erase(recipient="jürgen@example.org").count == 1


@pytest.mark.parametrize("sender", ["codes@straße.example", "Größe AG. <codes@straße.example>"])
def test_envelope_headers_and_message_id_name_one_domain(ears, settings, sender):
    settings.OTPMAIL_FROM = sender
    issue("user@straße.example")
    (mail,) = ears.mails
    written = "xn--strae-oqa.example"
    assert ears.named == [f"user@{written}"]
    assert parseaddr(mail["X-MailFrom"] or mail["From"])[1] == f"codes@{written}"
    assert mail["To"] == f"user@{written}"
    assert mail["Message-ID"].endswith(f"@{written}>")
    assert AuditEntry.objects.first().recipient == f"u***@{written}"


@pytest.mark.parametrize(
    ("written", "bare"),
    [
        ("Straße <info@straße.example>", "info@xn--strae-oqa.example"),
        ("info@straße.example", "info@xn--strae-oqa.example"),
        ("Example Inc. <shop@example.org>", "shop@example.org"),
        ("a..b@docomo.ne.jp", "a..b@docomo.ne.jp"),
        ("Taro <abc.@ezweb.ne.jp>", "abc.@ezweb.ne.jp"),
    ],
)
def test_other_mail_names_one_domain_in_its_envelope_and_its_headers(ears, written, bare):
    message = EmailMessage("H", "W", written, [written], cc=[written], reply_to=[written])
    compat.mailer("default").send_messages([message])
    (mail,) = ears.mails
    assert ears.named == [bare]  # who is named twice is asked for once
    for header in ("From", "To", "Cc", "Reply-To"):
        assert parseaddr(str(mail[header]))[1] == bare


def test_whom_a_message_leaves_out_is_left_out_whatever_the_domain(ears):
    class Filtered(EmailMessage):
        def recipients(self):
            return [one for one in super().recipients() if one != "bob@straße.example"]

    both = ["alice@straße.example", "bob@straße.example"]
    compat.mailer("default").send_messages([Filtered("Hello", "World", "a@example.org", both)])
    assert ears.named == ["alice@xn--strae-oqa.example"]


# Mailboxes whose names are not ASCII


def two_routes(settings, first, second, backend=OUR_BACKEND):
    mailserver.routes_to(settings, a=first.port, b=second.port)
    settings.MAILERS["a"]["BACKEND"] = backend
    if backend == DJANGOS_BACKEND:
        settings.MAILERS["a"]["OPTIONS"].pop("min_warm")


@pytest.mark.parametrize("backend", [OUR_BACKEND, DJANGOS_BACKEND])
def test_a_route_without_smtputf8_leaves_it_to_the_next(settings, backend):
    with (
        mailserver.running(Ears(), enable_SMTPUTF8=False) as plain,
        mailserver.running(Ears(), enable_SMTPUTF8=True) as international,
    ):
        two_routes(settings, plain, international, backend)
        issue("jürgen@example.org")
        assert tried() == [("a", "permanent"), ("b", "accepted")]
        assert (plain.named, international.named) == ([], ["jürgen@example.org"])
        assert routes.circuit_statuses()["a"].faults == 0
        routes.close()


def test_a_name_that_no_route_takes_fails_and_closes_none(settings):
    with mailserver.running(Ears(), enable_SMTPUTF8=False) as plain:
        mailserver.route_to(settings, plain.port)
        issue("jürgen@example.org")
        assert Delivery.objects.get().state == "failed"
        issue("bob@example.org")
        assert plain.named == ["bob@example.org"]
        assert routes.circuit_statuses()["default"].faults == 0
        routes.close()


def test_a_name_that_no_backend_takes_is_told_at_the_door(settings):
    mailserver.route_through(settings, DJANGOS_BACKEND, host="127.0.0.1", port=1)
    assert "letters that no mail server here takes" in issue("jürgen@example.org").reason


# Who asks


def asked(client):
    room = rates.MailLimits(client, database.now())
    return room.check("alice@example.org") or room.take()


@pytest.fixture
def two_an_hour(settings):
    settings.OTPMAIL_CLIENT_QUOTA = (2, 2)


def test_what_is_no_address_is_one_client(two_an_hour):
    assert [asked(Client(address=f"no address {number}")) for number in range(2)] == [None, None]
    assert asked(Client(address="\0\ud800")).cap is Cap.CLIENT
    assert asked(NOBODY) is None


def taken(pattern, count):
    """How many of so many networks get a mail each, until one does not."""
    results = [asked(Client(address=pattern.format(number))) for number in range(count)]
    return [result is None for result in results]


def test_a_customer_with_a_56_has_four_times_the_allowance(two_an_hour):
    assert taken("2001:db8:1:12{:02x}::1", 10) == [True] * 8 + [False] * 2
    assert asked(Client(address="2001:db8:1:1300::1")) is None


def test_a_customer_with_a_48_has_sixteen_times_the_allowance(two_an_hour):
    assert taken("2001:db8:1:{:02x}00::1", 34) == [True] * 32 + [False] * 2
    assert asked(Client(address="2001:db8:2::1")) is None


def test_who_is_refused_for_a_wider_network_takes_nothing(two_an_hour):
    taken("2001:db8:1:12{:02x}::1", 8)
    before = sorted(Counter.objects.values_list("pk", "day_until"))
    refused = Client(address="2001:db8:1:12ff::1")
    assert asked(refused).cap is Cap.CLIENT
    after = sorted(Counter.objects.values_list("pk", "day_until"))
    own = Allowance("client", refused.counted_as, ()).key()
    assert [row for row in after if row[0] != own] == before


@pytest.mark.parametrize("address", ["\0\ud800 6.6.6.6", "x" * 1000])
def test_what_is_no_address_is_not_written_down(address):
    issue("alice@example.org", client=Client(address=address))
    assert AuditEntry.objects.first().address == ""


def test_an_address_is_written_down_without_its_port():
    issue("alice@example.org", client=Client(address="[2001:db8::1]:443"))
    assert AuditEntry.objects.first().address == "2001:db8::1"
