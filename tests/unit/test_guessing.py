"""What the docs say of guessing follows from the settings in force."""

import itertools
from pathlib import Path

from otpmail import conf
from otpmail.conf import Settings

DOC = Path(__file__).parents[2] / "docs/explanation/guessing.md"
DAY = 86_400


def default(name):
    return Settings.__dict__[name]


def waits():
    """The waits of somebody who never rests."""
    first, longest = default("LOCKOUT_SECONDS")
    return (min(first * 2**number, longest) for number in itertools.count())


def bursts(seconds):
    """How often they find room for new challenges in so many seconds: at once, after each wait."""
    starts = itertools.accumulate(waits(), initial=0)
    return len(list(itertools.takewhile(lambda start: start < seconds, starts)))


def worst_day():
    open_guesses = default("OPEN_CHALLENGES") * default("GUESSES")
    return 2 * default("LOCKOUT_FAILURES")[1] + open_guesses * bursts(DAY)


def average_day():
    """The best of all rhythms: so many bursts, then rest until the waits are short again."""
    open_guesses = default("OPEN_CHALLENGES") * default("GUESSES")
    rest = default("LOCKOUT_SECONDS")[1]
    ends = list(itertools.islice(itertools.accumulate(waits()), 30))
    rhythms = [DAY * number / (end + rest) for number, end in enumerate(ends, start=1)]
    without_rest = DAY / rest
    return default("LOCKOUT_FAILURES")[1] + round(open_guesses * max(*rhythms, without_rest))


def row(who, guesses, digits):
    return f"| {who} | {guesses} | 1 in {10**digits // guesses:,} |"


def test_the_table_of_guesses_follows_from_the_defaults():
    guesses, digits, long = default("GUESSES"), default("DIGITS"), default("LONG_DIGITS")
    mails = 2 * default("RECIPIENT_QUOTA")[1]
    wanted = [
        row("at one challenge, whatever is resent or reissued", guesses, digits),
        row("at one challenge with a long code", guesses, long),
        row("in one owner's stolen session, on its worst day", worst_day(), digits),
        row("the same, if all its codes are long", worst_day(), long),
        row("there, for months, on an average day", average_day(), digits),
        row("before sign-in, at one address, on its worst day", mails * guesses, long),
    ]
    told = [line for line in DOC.read_text().splitlines() if "| 1 in " in line]
    assert told == wanted, "\n".join(["write this table:", *wanted])


def test_what_a_further_purpose_adds_follows_from_the_defaults():
    added = default("OPEN_CHALLENGES") * default("GUESSES") * bursts(DAY)
    assert f"adds\n  {added} guesses" in DOC.read_text()


def test_the_kiosk_runs_on_these_numbers(settings):
    for name in ("GUESSES", "DIGITS", "LONG_DIGITS", "LOCKOUT_FAILURES", "LOCKOUT_SECONDS"):
        assert not hasattr(settings, f"OTPMAIL_{name}")
    assert default("GUESSES") == conf.settings.of("transfer").GUESSES
