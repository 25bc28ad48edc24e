"""``manage.py otpmail_export``: what is kept of a person, as JSON, for whom asks what is kept."""

import json
from collections.abc import Sequence
from typing import Any, override

from django.core.serializers.json import DjangoJSONEncoder

from otpmail.management.person import PersonCommand
from otpmail.operations import privacy


class Command(PersonCommand):
    """Prints, and changes nothing."""

    help = "Prints all rows of a person as JSON: of their address, and of their owner."

    @override
    def act(self, address: str, owner: str | None) -> Sequence[Any]:
        return privacy.export(recipient=address, owner=owner)

    @override
    def tell(self, done: Sequence[Any]) -> None:
        self.stdout.write(json.dumps(done, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False))
