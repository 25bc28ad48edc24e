"""The Python examples of the docs, put into a project as a reader would put them.

Each begins with the name of its file: ``# settings.py``, or a module of the package ``bank``.
"""

import copy
import gc
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, run_checks

from otpmail.crypto import keys

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

EXAMPLE = re.compile(r"^```python\n# ([\w/]+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```python$", re.MULTILINE)

GIVEN = {
    "bank/__init__.py": "",
    "bank/codes.py": "def facts(challenge, *, lock):\n    return None\n",
    "bank/models.py": """
from django.db import models


class Transfer(models.Model):
    amount_minor = models.IntegerField()
    currency = models.CharField(max_length=3)
    payee = models.CharField(max_length=20)
    challenge_id = models.UUIDField(null=True)
    receipt = models.CharField(max_length=140, default="")

    class Meta:
        app_label = "bank"
""",
}
"""What a page takes for granted."""


def with_examples() -> list[str]:
    """Name the pages that have any."""
    return [str(page.relative_to(ROOT)) for page in PAGES if FENCE.search(page.read_text())]


def examples(page: str) -> list[tuple[str, str]]:
    """Give the examples of a page: the file that each is of, and what stands there."""
    return EXAMPLE.findall((ROOT / page).read_text())


class Project:
    """A package ``bank`` of what stands on one page, and the settings of that page."""

    def __init__(self, page: str, home: Path, settings: Any) -> None:
        self._settings = settings
        self._sources = [text for name, text in examples(page) if name == "settings.py"]
        shown = {name: text for name, text in examples(page) if name != "settings.py"}
        self._modules = [Path(name).stem for name in shown]
        (home / "bank").mkdir()
        for name, text in (GIVEN | shown).items():
            (home / name).write_text(text)

    def configure(self) -> Iterator[list[CheckMessage]]:
        """Put each example of settings in force, and give the errors of otpmail's checks then.

        Apps are added, databases stay as they are.
        """
        for source in self._sources:
            for name, value in _run(source).items():
                if name == "INSTALLED_APPS" and set(value) - {*django_settings.INSTALLED_APPS}:
                    self._settings.INSTALLED_APPS = list(dict.fromkeys(value))
                elif name not in {"DATABASES", "INSTALLED_APPS"}:
                    setattr(self._settings, name, value)
            yield [one for one in run_checks() if one.is_serious() and _is_ours(one)]

    def modules(self) -> SimpleNamespace:
        """Import all that stands on the page."""
        return SimpleNamespace(**{name: import_module(f"bank.{name}") for name in self._modules})


def _run(source: str) -> dict[str, Any]:
    """Give the settings that a project has, which begins with ours, when it has read these."""
    names = ("DATABASES", "INSTALLED_APPS", "TASKS")
    known = {name: copy.deepcopy(getattr(django_settings, name, {})) for name in names}
    known["env"] = lambda _: keys.new()  # whatever it is asked for
    exec(compile(source, "settings.py", "exec"), known)  # noqa: S102 - the docs' own words
    return {name: value for name, value in known.items() if name.isupper()}


def _is_ours(message: CheckMessage) -> bool:
    return str(message.id).startswith("otpmail.")


@pytest.fixture
def project(page: str, tmp_path: Path, monkeypatch: Any, settings: Any) -> Iterator[Project]:
    """Give the project of a page."""
    monkeypatch.syspath_prepend(tmp_path)
    yield Project(page, tmp_path, settings)
    for name in [name for name in sys.modules if name.partition(".")[0] == "bank"]:
        del sys.modules[name]
    gc.collect()  # with a module go its receivers, which would hear of other tests
    apps.all_models.pop("bank", None)
