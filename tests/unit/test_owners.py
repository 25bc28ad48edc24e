import subprocess
import sys

from otpmail import owners


def test_own_process_lives():
    assert not owners.is_dead(owners.new())


def test_two_holders_in_one_process_differ():
    assert owners.new() != owners.new()


def test_ended_process_is_dead():
    made = subprocess.run(
        [sys.executable, "-c", "from otpmail import owners; print(owners.new())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert owners.is_dead(made.stdout.strip())


def test_process_number_used_again_is_dead():
    host, pid, started, fence = owners.new().split("/")
    assert owners.is_dead(f"{host}/{pid}/{int(started) - 1}/{fence}")


def test_other_host_is_never_judged():
    _, pid, _, fence = owners.new().split("/")
    assert not owners.is_dead(f"elsewhere/{pid}/1/{fence}")


def test_foreign_text_is_never_judged():
    assert not owners.is_dead("celery@host")
