import pytest

from otpmail.smtp import auth
from otpmail.smtp.auth import Credentials, choose
from otpmail.smtp.errors import BrokenError, InvalidArgumentError, UnsupportedError

TIM = Credentials(username="tim", password="tanstaaftanstaaf")


def names(credentials: Credentials, *offered: str, encrypted: bool = True) -> list[str]:
    return [name for name, _ in choose(credentials, offered, encrypted=encrypted)]


def test_under_tls_the_way_of_one_round_trip_comes_first():
    assert names(TIM, "CRAM-MD5", "LOGIN", "PLAIN") == ["PLAIN", "LOGIN", "CRAM-MD5"]


def test_in_the_clear_the_way_that_hides_the_password_comes_first():
    assert names(TIM, "PLAIN", "CRAM-MD5", encrypted=False) == ["CRAM-MD5", "PLAIN"]


def test_a_token_is_never_sent_as_a_password():
    with_token = Credentials(username="tim", token=lambda: "secret")
    assert names(with_token, "PLAIN", "XOAUTH2") == ["XOAUTH2"]
    with pytest.raises(UnsupportedError):
        names(with_token, "PLAIN", "LOGIN")


def test_a_server_without_a_known_way_is_told_so():
    with pytest.raises(UnsupportedError):
        names(TIM, "GSSAPI")


def test_plain_says_name_and_password_at_once():
    assert next(auth.plain(TIM)) == b"\0tim\0tanstaaftanstaaf"


def test_plain_takes_no_nul():
    with pytest.raises(InvalidArgumentError):
        next(auth.plain(Credentials(username="a\0b", password="c")))


def test_login_answers_two_questions():
    talk = auth.login(TIM)
    assert next(talk) is None
    assert talk.send(b"Username:") == b"tim"
    assert talk.send(b"Password:") == b"tanstaaftanstaaf"


def test_cram_md5_answers_as_the_rfc_says():
    """RFC 2195, section 2."""
    talk = auth.cram_md5(TIM)
    assert next(talk) is None
    answer = talk.send(b"<1896.697170952@postoffice.reston.mci.net>")
    assert answer == b"tim b913a602c7eda7a495b4e6e7334d3890"


def test_xoauth2_asks_for_the_token_each_time_and_answers_a_refusal_empty():
    tokens = iter(["first", "second"])
    credentials = Credentials(username="tim", token=lambda: next(tokens))
    assert next(auth.xoauth2(credentials)) == b"user=tim\1auth=Bearer first\1\1"
    talk = auth.xoauth2(credentials)
    assert next(talk) == b"user=tim\1auth=Bearer second\1\1"
    assert talk.send(b'{"status":"401"}') == b""


def test_a_token_that_cannot_be_had_is_a_fault_of_the_way():
    def fails() -> str:
        raise RuntimeError("secret")

    with pytest.raises(BrokenError) as caught:
        next(auth.xoauth2(Credentials(username="tim", token=fails)))
    assert caught.value.untried
    assert "secret" not in str(caught.value)


def test_no_secret_shows():
    credentials = Credentials(username="tim", password="tanstaaf", token=lambda: "secret")
    assert "tanstaaf" not in repr(credentials)
    assert "token" not in repr(credentials)
