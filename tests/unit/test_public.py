"""The page of public names is what the code has, and the kiosk imports nothing else of otpmail."""

import ast
import importlib
import re
import typing
from pathlib import Path

import pytest
from django.dispatch import Signal
from django.utils import timezone

import otpmail
from otpmail import challenges, exceptions, results, signals
from otpmail.delivery import rendering
from otpmail.models import Challenge, Delivery

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/public.md").read_text()
TEMPLATES = (ROOT / "docs/reference/templates.md").read_text()
DEFAULT_MAIL = Path(otpmail.__file__).parent / "templates/otpmail/default"
COMMANDS = Path(otpmail.__file__).parent / "management/commands"
MODULES = {"challenges": 0, "results": 1, "exceptions": 0, "signals": 0}
"""What has a section of its own, and the column in which its names stand."""


def rows(heading, page=PAGE):
    """Give the cells of a section's rows."""
    (section,) = re.findall(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL
    )
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:2] == "| "]
    return [cells for cells in lines if "`" in cells[0] or "`" in cells[1]]


def names(heading, column=0, page=PAGE):
    return [
        name for cells in rows(heading, page) for name in re.findall(r"`([\w.]+)`", cells[column])
    ]


def defined(module):
    return {
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__
    }


PUBLIC = {*re.findall(r"`(otpmail(?:\.\w+)+)`", PAGE)}
for name, column in MODULES.items():
    PUBLIC |= {f"otpmail.{name}.{public}" for public in names(f"`otpmail.{name}`", column)}


def test_each_name_of_the_page_exists():
    for path in sorted(PUBLIC):
        module, name = path, None
        if not is_module(path):
            module, _, name = path.rpartition(".")
        found = importlib.import_module(module)
        assert name is None or hasattr(found, name), path


def is_module(path):
    place = Path(otpmail.__file__).parents[1].joinpath(*path.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def test_challenges_are_those_of_the_page():
    told = names("`otpmail.challenges`")
    assert sorted(told) == sorted(challenges.__all__)


def test_results_are_those_of_the_page():
    told = {*names("`otpmail.results`", column=1)}
    assert told == defined(results)


@pytest.mark.parametrize("cells", [c for c in rows("`otpmail.results`") if c[0][0] == "`"])
def test_each_call_returns_what_the_page_says(cells):
    returned = typing.get_type_hints(getattr(challenges, cells[0].strip("`")))["return"]
    told = {*re.findall(r"`(\w+)`", cells[1])} - {"Cap"}
    assert {*re.findall(r"otpmail\.results\.(\w+)", repr(returned))} == told


def test_exceptions_are_those_of_the_page():
    assert {*names("`otpmail.exceptions`")} == defined(exceptions)


def test_signals_are_those_of_the_page():
    made = {name for name, value in vars(signals).items() if isinstance(value, Signal)}
    assert {*names("`otpmail.signals`")} == made


def test_commands_are_those_of_the_page():
    assert {*names("Commands")} == {path.stem for path in COMMANDS.glob("[!_]*.py")}


def test_blocks_and_context_are_those_of_the_page():
    bodies = [path.read_text() for path in DEFAULT_MAIL.glob("body.*")]
    blocks = {name for body in bodies for name in re.findall(r"{% block (\w+) %}", body)}
    now = timezone.now()
    challenge = Challenge(purpose="order", expires_at=now)
    context = rendering._context(Delivery(created_at=now), challenge, {})
    assert {*names("Blocks", page=TEMPLATES)} == blocks
    assert {*names("Context", page=TEMPLATES)} == context.keys() | {"code"}


@pytest.mark.parametrize("root", ["coop_kiosk", "mobile_api", "demo"])
def test_the_kiosk_imports_nothing_else(root):
    inside = [
        f"{path.name}: {name}"
        for path in (ROOT / root).rglob("*.py")
        if path.parent.name != "migrations"  # they are written once, of what was there then
        for name in used(ast.parse(path.read_text()))
        if name not in PUBLIC
    ]
    assert inside == []


def test_what_is_used_is_seen():
    tree = ast.parse("from otpmail import engines\nengines.become(1)\nimport otpmail.conf")
    assert {*used(tree)} == {"otpmail.engines.become", "otpmail.conf"}


def used(tree):
    """Give what a module uses of otpmail; of a module that it imports whole, what it asks of it."""
    whole = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name.split(".")[0] == "otpmail")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "otpmail":
            paths = {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
            whole |= {name: path for name, path in paths.items() if is_module(path)}
            yield from (path for name, path in paths.items() if name not in whole)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in whole:
            yield f"{whole[node.value.id]}.{node.attr}"
