"""Whatever a text names by its path is there: modules, what is in them, files."""

import ast
import importlib
import re
import tokenize
from itertools import chain
from pathlib import Path

from otpmail.models import Delivery
from otpmail.results import Progress

ROOT = Path(__file__).parents[2]
OTPMAIL = ROOT / "src/otpmail"
PLACES = {"otpmail": ROOT / "src", "tests": ROOT, "benchmarks": ROOT, "demo": ROOT}
PLACES |= {"coop_kiosk": ROOT, "mobile_api": ROOT}
DOCS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks/README.md"]
SOURCES = [*chain.from_iterable((place / name).rglob("*.py") for name, place in PLACES.items())]
PACKAGES = [path.parent for path in OTPMAIL.glob("*/__init__.py") if path.stat().st_size]
NAMES = {path.stem for path in OTPMAIL.iterdir()} - {"__init__", "__pycache__"}

DOTTED = re.compile(rf"(?<![\w./@-])(?:{'|'.join(PLACES)})(?:\.[A-Za-z_]\w*)+(?![\w/-])")
IN_PACKAGE = re.compile(rf"`((?:{'|'.join(NAMES)})(?:\.[A-Za-z_]\w*)+)[`(]")
FILE = re.compile(
    r"(?<![\w./-])((?:src|docs|tests|benchmarks|coop_kiosk|mobile_api)/[\w./-]+\.\w+)"
)

NO_MODULES = re.compile(
    r"otpmail\.([EWD]\d{3}|code|mail)$|.+\.(md|py|html|txt|toml|log|sock|example|test)$"
)
"""Ids of checks, queues of a broker, names of files."""

OF_ROWS = {"delivery": (Delivery, Progress)}
"""What is named in lower case, as a template or a receiver has it, and is no package then."""


def words_of(path):
    """Give what a doc says, or a source in its docstrings and comments."""
    if path.suffix != ".py":
        return path.read_text()
    statements = ast.walk(ast.parse(path.read_text()))
    texts = [node.value.value for node in statements if is_text(node)]
    with path.open("rb") as source:
        tokens = tokenize.tokenize(source.readline)
        return "\n".join([*texts, *(one.string for one in tokens if one.type == tokenize.COMMENT)])


def is_text(node):
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def is_there(dotted):
    """Tell whether a path of modules and what is in them leads to something."""
    parts = dotted.split(".")
    place = PLACES[parts[0]]
    while parts and (place / parts[0]).is_dir():
        place /= parts.pop(0)
    if not parts:
        return True
    if (place / f"{parts[0]}.py").is_file():
        place /= parts.pop(0)
    elif (place / f"{parts[0]}.html").is_file():
        return True
    base = PLACES[dotted.split(".")[0]]
    try:
        found = importlib.import_module(".".join(place.relative_to(base).parts))
    except ModuleNotFoundError:  # an option that this environment lacks: another one looks
        return place.with_suffix(".py").is_file()
    return holds(found, parts)


def holds(found, names):
    for name in names:
        if not hasattr(found, name):
            return name in getattr(found, "__annotations__", {})
        found = getattr(found, name)
    return True


def strange(paths, pattern, is_known):
    """Collect what each text names and is not there."""
    named = {path: set(pattern.findall(words_of(path))) for path in paths}
    return [
        f"{path.relative_to(ROOT)}: {name}"
        for path, names in named.items()
        for name in sorted(names)
        if not NO_MODULES.match(name) and not is_known(name)
    ]


def of_a_row(name):
    first, *rest = name.split(".")
    return any(holds(row, rest) for row in OF_ROWS.get(first, ()))


def test_what_is_named_by_its_path_exists():
    assert strange([*DOCS, *SOURCES], DOTTED, is_there) == []


def test_who_asks_by_an_index_is_there():
    """An index of a model says above it which question it answers, by a path of ours."""
    models = "".join(path.read_text() for path in (OTPMAIL / "models").glob("*.py"))
    readers = re.findall(r"# ([a-z]\w*(?:\.\w+)+)(?=:| and )", models)
    assert len(readers) > 3
    assert [name for name in readers if not is_there(f"otpmail.{name}")] == []


def test_what_is_named_by_its_package_exists():
    paths = [*DOCS, *OTPMAIL.rglob("*.py")]
    assert strange(paths, IN_PACKAGE, lambda it: of_a_row(it) or is_there(f"otpmail.{it}")) == []


def test_files_that_are_named_exist():
    named = {name for path in [*DOCS, *SOURCES] for name in FILE.findall(words_of(path))}
    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_a_package_names_each_of_its_modules():
    for package in PACKAGES:
        law = ast.get_docstring(ast.parse((package / "__init__.py").read_text()))
        modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
        assert [name for name in sorted(modules) if f"``{name}``" not in law] == [], package.name


def test_tests_lie_in_folders_of_what_they_test():
    known = {package.name for package in PACKAGES} | {*PLACES}
    for kind in ("unit", "integration"):
        folders = {path.parent.name for path in (ROOT / "tests" / kind).glob("*/test_*.py")}
        assert folders <= known, kind


def test_what_is_not_there_is_noticed():
    assert is_there("otpmail.challenges.Client")
    assert is_there("otpmail.results.Issued.challenge_id")
    assert not is_there("otpmail.cargo")
    assert not is_there("otpmail.delivery.outbox.nothing")
    assert DOTTED.findall("(`otpmail.wire`), otpmail.bell.") == ["otpmail.wire", "otpmail.bell"]
