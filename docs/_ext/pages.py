"""What a page says in the repository, and Sphinx has to be told.

In: a page. Out: the same, with what the functions of `reference` give in place of lines such as
``<!-- made from the code: settings -->``, and with addresses in place of paths to files outside of
the documentation, which lead there only where the page is read in the repository.
"""

import re
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

import reference

ROOT = Path(__file__).resolve().parents[2]
SOURCE = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"]

MADE = re.compile(r"^<!-- made from the code: (\w+) -->$", re.MULTILINE)
OUTSIDE = re.compile(r"(?<=\]\()(?:\.\./)+(?=[\w./-]+\))[^)]+")


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx use it."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    if MADE.search(source[0]):
        app.env.note_reread()  # the code may change, and the page not
    text = MADE.sub(lambda found: getattr(reference, found[1])(), source[0])
    folder = Path(app.env.doc2path(docname)).parent
    source[0] = OUTSIDE.sub(lambda found: _address(folder, found[0]), text)


def _address(folder: Path, target: str) -> str:
    path = (folder / target).resolve().relative_to(ROOT)
    return target if path.is_relative_to("docs") else f"{SOURCE}/blob/main/{path}"
