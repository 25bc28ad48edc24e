import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpmail.addresses.requester import NO_ADDRESS, NOBODY, Client, ip_of, network


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        # As proxies and sockets write them.
        (" 192.0.2.1\t", "192.0.2.1"),
        ("192.0.2.1:52011", "192.0.2.1"),
        ("[192.0.2.1]:52011", "192.0.2.1"),
        ("[2001:db8:1:2::1]", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::1]:52011", "2001:db8:1:2::/64"),
        ('"[2001:db8:1:2::1]:52011"', "2001:db8:1:2::/64"),
        ("[fe80::1%25eth0]:80", "fe80::/64"),
        # An IPv4 address inside one of IPv6.
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:52011", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("::ffff:0:192.0.2.1", "192.0.2.1"),
        ("::192.0.2.1", "192.0.2.1"),
        ("64:ff9b::192.0.2.1", "192.0.2.1"),
        ("64:ff9b:1:fffe::192.0.2.1", "192.0.2.1"),
        ("2002:c000:201::1", "192.0.2.1"),
        ("2002:c000:201:ffff::1", "192.0.2.1"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdfe", "192.0.2.1"),
        # No address, whatever it is, is one.
        ("a socket", NO_ADDRESS),
        ("unknown", NO_ADDRESS),
        ("_hidden", NO_ADDRESS),
        (" ", NO_ADDRESS),
        ("192.0.2.1, 203.0.113.9", NO_ADDRESS),
        ("192.0.2.256", NO_ADDRESS),
        ("192.0.2.01", NO_ADDRESS),
        ("192.0.2.1/24", NO_ADDRESS),
        ("credential kiosk-7", NO_ADDRESS),
        ("2001:db8::1::", NO_ADDRESS),
        ("\0\ud800", NO_ADDRESS),
        ("", ""),
    ],
)
def test_address_is_counted_by_its_network(address, counted):
    """Who has one IPv6 address has 2^64."""
    assert network(address) == counted
    assert Client(address=address).counted_as == counted


def test_an_ipv6_client_is_counted_by_wider_networks_too():
    """A customer has a /56 or a /48 of them (RFC 6177)."""
    wider = {"2001:db8:1:1200::/56": 4, "2001:db8:1::/48": 16}
    assert Client(address="[2001:db8:1:12ab::1]:443").counted_wider == wider


@pytest.mark.parametrize("address", ["192.0.2.1", "64:ff9b::192.0.2.1", "a socket", ""])
def test_no_other_client_is_in_wider_networks(address):
    assert Client(address=address).counted_wider == {}
    assert Client(address="2001:db8::1", credential="kiosk-7").counted_wider == {}


@given(st.text(st.characters()))
def test_no_text_makes_a_network_of_its_own(text):
    counted = network(text)
    if counted not in {"", NO_ADDRESS}:
        ipaddress.ip_network(counted)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_a_port_makes_no_other_client(address, port):
    written = f"[{address}]" if address.version == 6 else str(address)
    assert network(f"{written}:{port}") == network(str(address)) == network(f" {written} ")


def test_an_address_is_read_as_it_is_but_for_what_is_around_it():
    assert str(ip_of("[::ffff:192.0.2.1]:443")) == "192.0.2.1"
    assert str(ip_of("64:ff9b::c000:201")) == "64:ff9b::c000:201"  # no proxy is trusted by this
    assert ip_of("a socket") is None


def test_credential_is_counted_instead_of_the_address():
    kiosk = Client(address="192.0.2.1", credential="kiosk-7")
    assert kiosk.counted_as == "credential kiosk-7"
    assert kiosk.known_by == "kiosk-7"


def test_address_alone_makes_no_device_known():
    """Strangers may share it."""
    assert Client(address="192.0.2.1").known_by == ""
    assert Client(address="192.0.2.1", device="phone").known_by == "phone"
    assert (NOBODY.counted_as, NOBODY.known_by) == ("", "")
