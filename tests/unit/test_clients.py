import pytest

from otpmail.clients import NOBODY, Client, network


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a socket", "a socket"),
        ("", ""),
    ],
)
def test_address_is_counted_by_its_network(address, counted):
    """Who has one IPv6 address has 2^64."""
    assert network(address) == counted
    assert Client(address=address).counted_as == counted


def test_credential_is_counted_instead_of_the_address():
    kiosk = Client(address="192.0.2.1", credential="kiosk-7")
    assert kiosk.counted_as == "credential kiosk-7"
    assert kiosk.known_by == "kiosk-7"


def test_address_alone_makes_no_device_known():
    """Strangers may share it."""
    assert Client(address="192.0.2.1").known_by == ""
    assert Client(address="192.0.2.1", device="phone").known_by == "phone"
    assert (NOBODY.counted_as, NOBODY.known_by) == ("", "")
