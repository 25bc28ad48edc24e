"""The docs say what the code does."""

import ast
import itertools
import re
from pathlib import Path

from otpmail import checks, conf
from otpmail.operations import metrics

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
OURS = ["src", "mobile_api", "coop_kiosk", "demo"]


def settings_table() -> list[str]:
    """Build the README's table from conf.py: name, default, docstring."""
    (body,) = [
        node.body
        for node in ast.parse(Path(conf.__file__).read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    rows = []
    for setting, doc in itertools.pairwise(body):
        if isinstance(setting, ast.AnnAssign) and isinstance(doc, ast.Expr):
            default = ast.unparse(setting.value)
            meaning = ast.literal_eval(doc.value).replace("``", "`")
            rows.append(f"| `OTPMAIL_{setting.target.id}` | `{default}` | {meaning} |")
    return rows


def test_readme_tells_every_setting_with_its_default():
    rows = settings_table()
    assert len(rows) == len(conf.NAMES)
    told = [line for line in README.splitlines() if line.startswith("| `OTPMAIL_")]
    assert told == rows, "\n".join(["write this table:", *rows])


def test_every_check_has_the_next_id_and_tells_it_once():
    source = "\n".join(path.read_text() for path in Path(checks.__file__).parent.glob("*.py"))
    ids = sorted(re.findall(r'id="otpmail\.([EW]\d{3})"', source))
    for kind in "EW":
        numbers = [int(name[1:]) for name in ids if name[0] == kind]
        assert numbers == [*range(1, len(numbers) + 1)]
    assert sorted(re.findall(r"[EW]\d{3}(?=:)", source)) == ids
    told = re.findall(r"otpmail\.([EW]\d{3})", "\n".join(path.read_text() for path in DOCS))
    assert set(told) <= set(ids)


def test_every_metric_is_told_in_the_docs_and_no_other():
    made = re.findall(r'_gauge\(\s*"(\w+)"', Path(metrics.__file__).read_text())
    told = (ROOT / "docs/how-to/watch.md").read_text()
    assert set(re.findall(r"otpmail_(?:deliver|attempt|challenge|route)\w+", told)) == set(made)


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


def test_every_exception_from_a_rule_of_security_says_why():
    """Ruff's S rules are bandit's; the tests' own are not asked."""
    sources = [path for name in OURS for path in (ROOT / name).rglob("*.py")]
    excepted = re.findall(
        r"# noqa: [A-Z\d, ]*\bS\d{3}\b.*", "\n".join(path.read_text() for path in sources)
    )
    assert excepted
    assert [line for line in excepted if not re.search(r"S\d{3} - \w", line)] == []
