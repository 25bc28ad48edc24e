from otpmail.smtp.deadlines import NEVER, Deadline


def test_never_leaves_all_time():
    assert NEVER.left() is None
    assert Deadline.after(None) == NEVER
    assert NEVER.sooner(None).left() is None


def test_a_passed_deadline_leaves_nothing():
    assert Deadline.after(-1).left() == 0.0


def test_a_step_never_outlives_the_whole():
    whole = Deadline.after(10)
    assert whole.sooner(60) == whole
    assert whole.sooner(1).at < whole.at
    assert whole.sooner(None) == whole
