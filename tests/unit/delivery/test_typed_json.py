"""What is written is read as an equal value of the same type."""

import json
from array import array
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from email.headerregistry import Address
from types import MappingProxyType
from uuid import UUID

import pytest
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from otpmail.delivery.typed_json import UnknownKindError, decode, encode

scalar_keys = st.text() | st.integers() | st.none() | st.booleans() | st.dates() | st.uuids()
keys = st.recursive(
    scalar_keys, lambda inner: st.frozensets(inner, max_size=3) | st.tuples(inner), max_leaves=5
)
scalars = (
    keys
    | st.floats(allow_nan=False)
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC))
    | st.times()
    | st.timedeltas()
)
values = st.recursive(
    scalars | st.sets(keys),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner),
)


def there_and_back(value):
    return decode(json.loads(json.dumps(encode(value))))


@given(values)
def test_value_comes_back_equal_and_of_its_type(value):
    back = there_and_back(value)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (gettext_lazy("Hello"), "Hello"),
        ({"a": [gettext_lazy("Hello")]}, {"a": ["Hello"]}),
        (Address("Ä", "a", "example.org"), "Ä <a@example.org>"),
        (memoryview(b"a\xff"), b"a\xff"),
        (bytearray(b"a\xff"), b"a\xff"),
        (array("B", b"a\xff"), b"a\xff"),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (MappingProxyType({1: (2,)}), {1: (2,)}),
        ({"a": 1}.keys(), {"a"}),
        (frozenset({1}), {1}),
        ({"bytes": "no tag"}, {"bytes": "no tag"}),
        ({"dict": [["a", 1]]}, {"dict": [["a", 1]]}),
    ],
    ids=lambda value: (
        type(value).__name__
    ),  # what a memoryview says of itself is not the same twice
)
def test_what_reads_like_a_plain_value_becomes_one(value, back):
    assert there_and_back(value) == back


@given(values)
def test_what_is_lazy_is_written_as_what_it_stands_for(value):
    assert encode({"a": [SimpleLazyObject(lambda: value)]}) == encode({"a": [value]})


class Frozen(dict):
    """A mapping that can be a key, and is read as one that cannot."""

    def __hash__(self):
        return 7


@pytest.mark.parametrize(
    "value", [{Frozen(): 1}, {(1, Frozen()): 1}, {Frozen()}, {"a": [1]}.items()], ids=repr
)
def test_key_that_would_be_none_when_it_is_read_is_refused_when_it_is_written(value):
    with pytest.raises(UnknownKindError):
        encode([value])


def test_order_of_a_dict_is_kept():
    assert [*there_and_back({"b": 1, "a": 2})] == ["b", "a"]


def test_types_are_not_taken_for_those_they_stand_on():
    moment = datetime(2026, 11, 24, 8, tzinfo=timezone(timedelta(hours=1)))
    for value in (moment, date(2026, 11, 24), time(8), Decimal("1.50"), UUID(int=1), True, "1"):
        assert repr(there_and_back(value)) == repr(value)


def test_what_is_of_no_known_kind_is_named_by_its_type():
    with pytest.raises(TypeError, match=r"builtins\.object"):
        encode({"a": [object()]})
