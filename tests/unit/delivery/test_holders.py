import subprocess
import sys

from otpmail.delivery import holders


def test_own_process_lives():
    assert not holders.is_dead(holders.new())


def test_two_holders_in_one_process_differ():
    assert holders.new() != holders.new()


def test_ended_process_is_dead():
    made = subprocess.run(
        [sys.executable, "-c", "from otpmail.delivery import holders; print(holders.new())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert holders.is_dead(made.stdout.strip())


def test_process_number_used_again_is_dead():
    host, pid, started, fence = holders.new().split("/")
    assert holders.is_dead(f"{host}/{pid}/{int(started) - 1}/{fence}")


def test_other_host_is_never_judged():
    _, pid, _, fence = holders.new().split("/")
    assert not holders.is_dead(f"elsewhere/{pid}/1/{fence}")


def test_foreign_text_is_never_judged():
    assert not holders.is_dead("celery@host")
