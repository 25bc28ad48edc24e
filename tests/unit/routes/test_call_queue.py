"""Calls from other threads are done in one thread, and nobody waits for a thread that gave up."""

import threading

from otpmail.routes.call_queue import CallQueue
from tests.waiting import wait_until


def asking(calls, answers, question=lambda: True):
    thread = threading.Thread(target=lambda: answers.append(calls.ask(question)))
    thread.start()
    return thread


def taken(calls):
    while (call := calls.get(seconds=1)) is None:
        pass
    return call


def test_question_is_answered_by_who_made_the_queue():
    calls, answers, where = CallQueue(), [], []
    thread = asking(calls, answers, lambda: bool(where.append(threading.get_ident())) or True)
    taken(calls)()
    thread.join()
    assert (answers, where) == ([True], [threading.get_ident()])
    assert calls.ask(lambda: True)


def test_question_that_was_taken_and_not_answered_is_a_no_at_the_end():
    """As where a fault strikes between the two: who asked would wait for ever."""
    calls, answers = CallQueue(), []
    threads = [asking(calls, answers) for _ in range(3)]
    taken(calls)
    wait_until(lambda: len(calls._unanswered) == 3)
    calls.end()
    for thread in threads:
        thread.join()
    assert answers == [False] * 3


def test_after_the_end_nothing_is_taken():
    calls, done, answers = CallQueue(), [], []
    assert calls.put(lambda: done.append("before"))
    calls.end()
    assert not calls.put(lambda: done.append("after"))
    asking(calls, answers).join()
    assert (done, answers) == (["before"], [False])
