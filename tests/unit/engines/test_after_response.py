"""What a thread's request set off begins at its end, and in any other thread at once."""

import os
import subprocess
import sys
import threading

import pytest
from django.core.signals import request_finished, request_started

from otpmail.engines import after_response
from tests.workers import ROOT


@pytest.fixture
def done():
    request_finished.send(sender=None)  # of a test whose request was never told to be over
    yield (done := [])
    request_finished.send(sender=None)
    after_response.call_all()
    assert len(done) == len(set(done))  # each once


def elsewhere(act):
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()


def test_outside_a_request_it_is_done_at_once(done):
    after_response.call(lambda: done.append("mine"))
    assert done == ["mine"]


def test_in_a_request_it_waits_for_the_end(done):
    request_started.send(sender=None)
    after_response.call(lambda: done.append("first"))
    after_response.call(lambda: done.append("second"))
    assert done == []
    request_finished.send(sender=None)
    assert done == ["first", "second"]


def test_another_threads_request_has_an_end_of_its_own(done):
    request_started.send(sender=None)
    after_response.call(lambda: done.append("mine"))
    elsewhere(lambda: after_response.call(lambda: done.append("of no request")))
    elsewhere(lambda: request_finished.send(sender=None))
    assert done == ["of no request"]


def test_sweep_does_what_waits(done):
    request_started.send(sender=None)
    after_response.call(lambda: done.append("mine"))
    elsewhere(after_response.call_all)
    assert done == ["mine"]


def test_request_whose_end_was_never_told_ends_with_the_next(done):
    request_started.send(sender=None)
    after_response.call(lambda: done.append("of before"))
    request_started.send(sender=None)
    assert done == ["of before"]


def test_no_more_waits_than_there_is_room_for(done, monkeypatch):
    monkeypatch.setattr(after_response, "MOST", 2)
    request_started.send(sender=None)
    for number in range(3):
        after_response.call(lambda number=number: done.append(number))
    assert done == [2]


FORK = """
import os
import django
django.setup()
from otpmail.engines import after_response
after_response.request_started.send(sender=None)
after_response.call(lambda: print("done", flush=True))
if os.fork() == 0:
    after_response.call_all()
    os._exit(0)
os.wait()
after_response.call_all()
"""


def test_forked_child_does_nothing_of_its_parents():
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "done\n"
