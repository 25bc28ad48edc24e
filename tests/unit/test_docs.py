"""The docs say what the code does."""

import ast
import contextlib
import importlib
import inspect
import re
import tomllib
from dataclasses import fields
from enum import Enum
from pathlib import Path

import pytest
from django.dispatch import Signal

import reference
from otpmail import challenges, checks, conf, results, signals
from otpmail.engines import Engine
from otpmail.engines.broker import BrokerEngine
from otpmail.management import commands
from otpmail.operations import metrics
from otpmail.signin import checks as signin_checks
from otpmail.signin import conf as signin_conf
from tests import listening

ROOT = Path(__file__).parents[2]
DOCS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
OURS = ["src", "mobile_api", "coop_kiosk", "demo"]
PLACE = re.compile(r"^<!-- made from the code: (\w+) -->$", re.MULTILINE)
SECTION = re.compile(r"^### `?([\w.]+)`?\n(.*?)(?=^### |\Z)", re.MULTILINE | re.DOTALL)


def sections(text):
    """Give what stands under each heading, by the name in it."""
    return dict(SECTION.findall(text))


def first_column(text):
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def own(module):
    """Give the functions and classes that a module makes itself, without the private ones."""
    return {
        name: one
        for name, one in vars(module).items()
        if getattr(one, "__module__", None) == module.__name__ and name[0] != "_"
    }


def test_every_setting_is_told_with_its_meaning_type_and_default():
    told = sections(reference.settings())
    assert told.keys() == {*conf.NAMES}
    for name, text in told.items():
        parts = re.match(r"\n(\S.*)\n\n- Type: (.+)\n- Default: `(.+)`\n- Can be set", text)
        assert parts, name
        default = ast.literal_eval(parts[3])
        known = vars(conf.Settings) | vars(signin_conf.SigninSettings)
        assert default == known[name.removeprefix(conf.PREFIX)], name


def test_every_check_has_the_next_id_and_is_told_once():
    paths = [*Path(checks.__file__).parent.glob("*.py"), Path(signin_checks.__file__)]
    source = "\n".join(path.read_text() for path in paths)
    ids = sorted(re.findall(r'id="otpmail\.([EW]\d{3})"', source))
    for kind in "EW":
        numbers = [int(name[1:]) for name in ids if name[0] == kind]
        assert numbers == [*range(1, len(numbers) + 1)]
    assert sorted(re.findall(r"[EW]\d{3}(?=:)", source)) == ids
    assert [*sections(reference.checks())] == [f"otpmail.{number}" for number in ids]
    named = re.findall(r"otpmail\.([EW]\d{3})", "\n".join(path.read_text() for path in DOCS))
    assert set(named) <= set(ids)


def test_every_check_is_told_with_what_is_wrong_its_message_and_its_remedy():
    for check_id, text in sections(reference.checks()).items():
        level = "Error" if check_id.startswith("otpmail.E") else "Warning"
        told = rf"\n\*\*{level}\.\*\* \S.+\.\n\n- Message: `[^`]+`\n- Remedy: `[^`]+`\n*"
        assert re.fullmatch(told, text), check_id


def test_every_result_is_told_with_its_members():
    told = sections(reference.members())
    assert told.keys() == own(results).keys()
    for name, one in own(results).items():
        is_enum = issubclass(one, Enum)
        members = [it.value for it in one] if is_enum else [it.name for it in fields(one)]
        assert sorted(first_column(told[name])) == sorted(members), name


def test_every_call_is_told_with_its_signature():
    told = sections(reference.entries())
    types = {"Client", "Facts", "To"}
    assert types | {*told} | {f"a{name}" for name in told} == {*challenges.__all__}
    for name, text in told.items():
        named = re.findall(r"^    (\w+): ", text, re.MULTILINE)
        assert named == [*inspect.signature(getattr(challenges, name)).parameters], name


def test_every_command_is_told_with_its_arguments():
    told = sections(reference.commands())
    (folder,) = map(Path, commands.__path__)
    assert told.keys() == {path.stem for path in folder.glob("[!_]*.py")}
    for name, text in told.items():
        source = (folder / f"{name}.py").read_text()
        arguments = re.findall(r'add_argument\(\s*"([^"]+)"', source)
        assert [one for one in arguments if f"| `{one}" not in text] == [], name


def test_every_signal_is_told_with_its_arguments():
    """That each is sent with them is seen in every test (`tests.listening`)."""
    made = {name for name, one in vars(signals).items() if isinstance(one, Signal)}
    assert listening.TOLD.keys() == made
    assert all(listening.TOLD.values())
    listening.Listener("circuit_closed")(sender=None)
    assert listening.lacking == ["circuit_closed was sent without route"]
    listening.lacking.clear()


def test_every_metric_is_told_and_no_other_is_watched():
    made = re.findall(r'_gauge\(\s*"(\w+)"', Path(metrics.__file__).read_text())
    assert first_column(reference.metrics()) == made
    watched = (ROOT / "docs/how-to/watch.md").read_text()
    assert set(re.findall(r"otpmail_(?:deliver|attempt|challenge|route)\w+", watched)) <= {*made}


def test_each_part_that_is_made_has_its_place_on_one_page():
    placed = [name for path in DOCS for name in PLACE.findall(path.read_text())]
    assert sorted(placed) == sorted(own(reference))


def calls_in_prose():
    """Give each call that a doc shows in a line, as `challenges.open(owner=...)`."""
    for doc in DOCS:
        for span in re.findall(r"`([a-z][\w.]*\([^`]*\))`", doc.read_text()):
            with contextlib.suppress(SyntaxError):
                call = ast.parse(span, mode="eval").body
                if isinstance(call, ast.Call) and (function := found(ast.unparse(call.func))):
                    yield f"{doc.name}: {span}", function, call


def found(dotted):
    """Find a function of otpmail by what docs call it: by its module, or as one of the calls."""
    module, _, name = dotted.rpartition(".")
    path = f"otpmail.{module or 'challenges'}".replace("otpmail.otpmail.", "otpmail.")
    try:
        return getattr(importlib.import_module(path), name, None)
    except ModuleNotFoundError:
        return None


def test_calls_in_prose_name_arguments_that_there_are():
    shown = [*calls_in_prose()]
    assert len(shown) > 5
    for where, function, call in shown:
        named = {one.arg: one.value for one in call.keywords}
        try:
            inspect.signature(function).bind_partial(*call.args, **named)
        except TypeError as error:
            pytest.fail(f"{where}: {error}")


def test_commands_in_the_docs_are_those_of_the_makefile():
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for doc in [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        told = set(re.findall(r"(?:^    |`)make ([a-z-]+)", doc.read_text(), re.MULTILINE))
        assert told
        assert told <= made


def test_links_in_the_docs_lead_to_files():
    for doc in DOCS:
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", doc.read_text()):
            assert (doc.parent / target).exists(), f"{doc.name}: {target}"


def test_addresses_of_the_project_lead_to_what_is_there():
    """What is read elsewhere, as the README on a package index, has addresses and no paths."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    assert not re.findall(r"\]\((?!http|#)", (ROOT / "README.md").read_text())
    places = {
        urls["Documentation"]: lambda path: page_of(path).is_file(),
        f"{urls['Source']}/blob/main/": lambda path: (ROOT / path).is_file(),
        f"{urls['Source']}/tree/main/": lambda path: (ROOT / path).is_dir(),
        f"{urls['Source']}/": lambda path: path in {"issues", "security/advisories/new"},
        urls["Source"]: lambda path: not path,
    }
    sources = [*DOCS, ROOT / "pyproject.toml", *(ROOT / ".github").rglob("*.yml")]
    shown = re.findall(
        r"https://[\w.]*(?:github\.com|readthedocs\.io)[\w./-]*\b/?",
        "\n".join(path.read_text() for path in sources),
    )
    for address in [*shown, checks.REFERENCE]:
        place = next((one for one in places if address.startswith(one)), None)
        assert place, address
        assert places[place](address.removeprefix(place)), address
    assert len(shown) > 10


def page_of(path):
    page = ROOT / "docs" / path.removesuffix(".html")
    return page / "index.md" if page.is_dir() else page.with_suffix(".md")


def test_every_exception_from_a_rule_of_security_says_why():
    """Ruff's S rules are bandit's; the tests' own are not asked."""
    sources = [path for name in OURS for path in (ROOT / name).rglob("*.py")]
    excepted = re.findall(
        r"# noqa: [A-Z\d, ]*\bS\d{3}\b.*", "\n".join(path.read_text() for path in sources)
    )
    assert excepted
    assert [line for line in excepted if not re.search(r"S\d{3} - \w", line)] == []


def test_methods_of_an_engine_are_told_as_they_are_called():
    page = (ROOT / "docs" / "how-to" / "write-an-engine.md").read_text()
    promised = {called(Engine, name) for name in Engine.__abstractmethods__}
    assert {*first_column(page)} == promised
    for name in BrokerEngine.__abstractmethods__:
        assert f"`{called(BrokerEngine, name)}`" in page


def called(cls, name):
    """Write how a method is called on an object."""
    _, *arguments = inspect.signature(getattr(cls, name)).parameters
    return f"{name}({', '.join(arguments)})"
