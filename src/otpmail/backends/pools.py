"""A process has one pool for each set of options, until the settings change.

In: what tells a backend's options from others'. Out: the pool.
Knows nothing of: what the options are.
"""

from collections.abc import Callable
from typing import Any

from django.core.signals import setting_changed
from django.dispatch import receiver

from otpmail.smtp.pool import Pool

_pools: dict[tuple[Any, ...], Pool] = {}


def pool_for(key: tuple[Any, ...], make: Callable[[], Pool]) -> Pool:
    """Give the pool of these options in this process."""
    return _pools.get(key) or _pools.setdefault(key, make())


def close_pools() -> None:
    """Close this process's pools; the next mail makes its own anew."""
    while _pools:
        _pools.popitem()[1].close()


@receiver(setting_changed)
def _settings_changed(*, setting: str, **_: Any) -> None:
    if setting == "MAILERS" or setting.startswith("EMAIL_"):
        close_pools()
