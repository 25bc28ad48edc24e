"""Whatever a server says, a mail has an end, in time, and it is one of ours."""

import random
import time

import pytest

from otpmail.smtp.client import deliver
from otpmail.smtp.errors import WireError
from otpmail.smtp.handshake import Server
from otpmail.smtp.mails import Sent
from otpmail.smtp.session import Timeouts
from tests.mailings import a_mail, a_pool, at, in_seconds
from tests.scripted import OFFER_ALL, OFFER_PIPELINING, Talk, scripted

WORDS = [
    b"250 ok\r\n",
    b"250-more\r\n",
    b"354 go on\r\n",
    b"334 aGk=\r\n",
    b"421 bye\r\n",
    b"450 later\r\n",
    b"503 bad\r\n",
    b"550 no\r\n",
    b"250",
    b"\r\n",
    b"\n",
    b"\0",
    b"\xff" * 10,
    b"x" * 3000,
    OFFER_ALL,
]


@pytest.mark.parametrize("seed", range(40))
def test_no_servers_words_raise_anything_but_the_wires_own_errors(seed):
    dice = random.Random(seed)

    def script(talk: Talk):
        if dice.random() < 0.8:
            talk.greet(dice.choice([OFFER_ALL, OFFER_PIPELINING]))
        for _ in range(dice.randrange(12)):
            if dice.random() < 0.4:
                talk.hear()
            talk.say(dice.choice(WORDS))
        if dice.random() < 0.5:
            talk.cut()

    with scripted(script) as server:
        place: Server = at(server, timeouts=Timeouts.all(0.2))
        start = time.monotonic()
        with a_pool(server, server=place) as pool:
            mails = [a_mail(number) for number in range(4)]
            ends = deliver(pool, mails, window=dice.choice([1, 3]), deadline=in_seconds(2))
            assert "0 busy, 0 opening" in repr(pool)
        assert time.monotonic() - start < 30
    assert all(isinstance(end, Sent | WireError) for end in ends)
