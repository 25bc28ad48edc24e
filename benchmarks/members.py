"""``python -m benchmarks.members COUNT``: members with money, signed in; a token a line.

Many, so that a load meets no rule on what one member may ask.
"""

import sys

import django

django.setup()

from django.contrib.auth.hashers import make_password  # noqa: E402 - Django's apps are ready only now
from django.db import transaction  # noqa: E402

from mobile_api import auth  # noqa: E402
from mobile_api.models import Account, Member  # noqa: E402
from otpmail.addresses.requester import NOBODY  # noqa: E402

PIN = "2468"


@transaction.atomic
def main(count: int) -> None:
    """Make them."""
    pin = make_password(PIN)
    members = Member.objects.bulk_create(
        Member(number=f"M{n}", name=f"Member {n}", email=f"member{n}@example.org", pin=pin)
        for n in range(count)
    )
    Account.objects.bulk_create(
        Account(number=f"A{n}", member=member, currency="EUR", balance_minor=1000_00)
        for n, member in enumerate(members)
    )
    for member in members:
        signed_in = auth.sign_in(member.number, PIN, NOBODY)
        assert isinstance(signed_in, tuple)
        print(signed_in[0])


if __name__ == "__main__":
    main(int(sys.argv[1]))
