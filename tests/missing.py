"""What a newcomer's machine need not have, and CI's must."""

import os
from collections.abc import Callable
from typing import Any

import pytest


def missing(what: str) -> None:
    """Skip; on CI, fail."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{what} is missing here")


def needs(what: str, is_there: Callable[[], object]) -> Any:
    """Make a fixture for all tests of a module: it skips them, or on CI fails them, without it."""

    @pytest.fixture(autouse=True, scope="module")
    def there() -> None:
        if not is_there():
            missing(what)

    return there
