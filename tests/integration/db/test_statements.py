"""What is executed is what the ORM would write, for any values."""

from datetime import UTC, datetime

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from otpmail.db import binding, database

pytestmark = pytest.mark.django_db(transaction=True)

MOMENTS = st.integers(0, 2**32).map(lambda second: datetime.fromtimestamp(second + 0.25, UTC))
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50)
VALUES = {
    "BigIntegerField": st.integers(-(2**63), 2**63 - 1),
    "BinaryField": st.binary(min_size=1, max_size=40),
    "BooleanField": st.booleans(),
    "CharField": TEXT,
    "DateTimeField": MOMENTS,
    "JSONField": st.dictionaries(TEXT, TEXT, max_size=3),
    "PositiveIntegerField": st.integers(0, 2**31 - 1),
    "PositiveSmallIntegerField": st.integers(0, 2**15 - 1),
    "TextField": TEXT,
    "UUIDField": st.uuids(),
}


@pytest.mark.parametrize("statement", binding.Statement.known, ids=lambda known: known.name)
def test_it_is_bound_as_the_orm_writes_it(statement):
    alias = database.alias()

    @given(st.data())
    @settings(max_examples=50)
    def holds(data):
        values = {}
        for name, field in statement.fields.items():
            one = VALUES[binding.kind(field)]
            values[name] = data.draw(
                st.lists(one, min_size=1, max_size=5, unique=True)
                if name in statement.many
                else one
            )
        written = statement.write(alias, values)
        bound = statement.bind(alias, values)
        assert bound.text.sql == written.sql
        assert list(map(bare, bound.parameters)) == list(map(bare, written.parameters))

    with transaction.atomic():
        holds()


def bare(parameter):
    return getattr(parameter, "obj", parameter)
