"""The addresses of a mail are spelt once, so that every backend mails the same people.

In: a Django message. Out: the same, or a copy whose addresses and address headers any backend can
write: Django's knows IDNA 2003 only, and refuses names and local parts that mail servers take.
Knows nothing of: backends, and whether what is no address is refused.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from operator import is_not
from typing import Any

from django.core.mail import EmailMessage

from otpmail.addresses import spelt, text_of

ADDRESSED = ("from", "sender", "reply-to", "to", "cc", "bcc")
WITH_ADDRESSES = frozenset({*ADDRESSED, *(f"resent-{name}" for name in ADDRESSED)})
"""Headers that hold addresses (RFC 5322, 3.6)."""


def spell(message: EmailMessage) -> EmailMessage:
    """Spell the addresses of a mail. One that is in order is given back itself.

    An address is what the characters of its text are, whatever its class says of itself.
    """
    spelt_ones = dict(_other_attributes(message))
    if not spelt_ones:
        return message
    spelt_message = copy(message)
    for name, value in spelt_ones.items():
        setattr(spelt_message, name, value)
    return spelt_message


def spell_text(address: Any) -> Any:
    """Spell the address in a text, or several. What is in order, or none, is given back itself."""
    written = spelt(text_of(address)) if address else address
    return address if written == str(address) else written


def _other_attributes(message: EmailMessage) -> Iterator[tuple[str, Any]]:
    for name, spell_value in ATTRIBUTES.items():
        value = getattr(message, name, None)
        if not value or isinstance(value, type):  # what Anymail has not set is a class
            continue
        if (written := spell_value(value)) is not value:
            yield name, written


def _each(addresses: Iterable[Any]) -> Any:
    written = [spell_text(address) for address in addresses]
    is_same = isinstance(addresses, list | tuple) and not any(map(is_not, written, addresses))
    return addresses if is_same else written


def _keys(by_address: Mapping[Any, Any]) -> Mapping[Any, Any]:
    written = {spell_text(address): value for address, value in by_address.items()}
    return written if any(map(is_not, written, by_address)) else by_address


def _values(headers: Mapping[Any, Any]) -> Mapping[Any, Any]:
    written = {name: _value(name, value) for name, value in headers.items()}
    return written if any(map(is_not, written.values(), headers.values())) else headers


def _value(name: object, value: Any) -> Any:
    """Spell a header's value, which may be several `email.headerregistry.Address`."""
    if str(name).lower() not in WITH_ADDRESSES:
        return value
    if not isinstance(value, list | tuple):
        return spell_text(value)
    text = ", ".join(map(str, value))
    return value if text.isascii() else spelt(text)


ATTRIBUTES: Mapping[str, Callable[[Any], Any]] = {
    "from_email": spell_text,
    "envelope_sender": spell_text,
    **dict.fromkeys(("to", "cc", "bcc", "reply_to"), _each),
    # What Anymail looks up by a recipient's address.
    **dict.fromkeys(("merge_data", "merge_headers", "merge_metadata"), _keys),
    "extra_headers": _values,
}
"""Where a mail has addresses, and how they are spelt there."""
