"""Routers for tests: all of them run under the first, so that no read of ours asks where to go."""

from typing import Any

from otpmail.db.database import Row


class OneAlias:
    """Fails the test in which a row of ours would be read elsewhere than it is written."""

    def db_for_read(self, model: type, **hints: Any) -> None:
        assert not issubclass(model, Row), f"the router was asked where to read {model}"
