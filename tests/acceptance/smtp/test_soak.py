"""No mail is lost on connections that are cut at random, and none is doubled without doubt.

``benchmarks/wire.py --soak`` does the same with 10,000.
"""

import os
from collections import Counter

import pytest

from tests.acceptance.smtp import sink
from tests.acceptance.smtp.soak import Soak
from tests.mailings import eventually


@pytest.fixture(scope="module")
def server():
    with sink.running() as running:
        yield running


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.mark.parametrize(
    ("way", "window"), [("chunked", 1), ("chunked", 16), ("pipelined", 1), ("plain", 1)]
)
def test_every_mail_is_accepted_and_doubled_only_where_in_doubt(server, way, window):
    before = open_files()
    server.set(cut_after=40, seed=7)
    server.take()
    run = Soak(server, threads=4, window=window, way=way)
    run.send(500)
    counts, accepted = server.take()
    run.close()
    assert counts.connections > 20
    copies = Counter(accepted)
    assert len(copies) == 500
    assert {mail for mail, count in copies.items() if count > 1} <= run.doubtful
    # The keeper may be opening some as it ends.
    assert eventually(lambda: "0 idle, 0 busy, 0 opening" in repr(run.pool))
    assert eventually(lambda: open_files() <= before)
