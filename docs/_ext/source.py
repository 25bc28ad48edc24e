"""What only a source tells: docstrings of attributes, and what a call is given as it stands there.

In: classes, modules. Out: texts. Knows nothing of: what a page is about.
"""

import ast
import builtins
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

type Documented = type | ModuleType


class Call(NamedTuple):
    """A call's arguments, as they are written."""

    given: list[str]
    named: dict[str, str]


FORMATS: dict[int, Callable[[object], str]] = {-1: str, ord("r"): repr}
"""How a replacement field is written, by its conversion."""

AT_RUN_TIME = frozenset({"settings", "django_settings", "database"})
"""Names of modules whose values are a project's."""


def documented(of: Documented) -> dict[str, str]:
    """Give the attributes that have a docstring below them, with it."""
    found = {}
    for statement, doc in itertools.pairwise(_body(of)):
        match statement, doc:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = inspect.cleandoc(text)
    return found


def annotated(of: Documented) -> dict[str, tuple[str, str | None]]:
    """Give the annotated attributes: annotation and default as they are written."""
    return {
        node.target.id: (
            ast.unparse(node.annotation),
            ast.unparse(node.value) if node.value else None,
        )
        for node in _body(of)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def calls(module: ModuleType, name: str) -> Iterator[Call]:
    """Give each call of a function by its name, with texts as the reader of a message meets them.

    ``<value>`` stands for what is known only when it is called.
    """
    for function in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(function, ast.FunctionDef):
            scope = _Scope(module, function)
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and getattr(call.func, "id", None) == name:
                    yield Call(
                        given=[text for one in call.args for text in scope.texts(one)],
                        named={one.arg: scope.text(one.value) for one in call.keywords if one.arg},
                    )


def docstrings(module: ModuleType) -> Iterator[str]:
    """Give the docstrings of a module's functions, each as one line."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.FunctionDef) and (doc := ast.get_docstring(node)):
            yield " ".join(doc.split())


def plain(text: str) -> str:
    """Write a docstring's markup as Markdown has it."""
    return text.replace("``", "`")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def signature(function: Callable[..., Any]) -> tuple[list[str], str]:
    """Give what a function takes, as it is written, and what it returns."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    if not isinstance(tree, ast.FunctionDef) or tree.returns is None:
        raise TypeError(f"{function} is no function that says what it returns")
    given = tree.args
    defaults = [None] * (len(given.args) - len(given.defaults)) + [*given.defaults]
    positional = list(map(_parameter, given.args, defaults))
    named = list(map(_parameter, given.kwonlyargs, given.kw_defaults))
    return [*positional, *(["*"] if named else []), *named], ast.unparse(tree.returns)


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(argument) + (f" = {ast.unparse(default)}" if default else "")


def _body(of: Documented) -> list[ast.stmt]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(of)))
    match tree.body:
        case [ast.ClassDef(body=body)] if isinstance(of, type):
            return body
        case body:
            return body


class _Scope:
    """What names mean in a function, as far as its source and its module tell."""

    def __init__(self, module: ModuleType, function: ast.FunctionDef) -> None:
        self._module: Mapping[str, Any] = vars(module)
        self._local = {
            target.id: node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def texts(self, node: ast.expr) -> list[str]:
        """Give one argument, or those of a starred one."""
        if not isinstance(node, ast.Starred):
            return [self.text(node)]
        several = node.value
        if isinstance(several, ast.Name):
            several = self._local[several.id]
        return list(ast.literal_eval(several))

    def text(self, node: ast.expr) -> str:
        """Give the text that an expression comes to."""
        match node:
            case ast.JoinedStr(values=parts):
                return "".join(map(self.text, parts))
            case ast.FormattedValue(value=value, conversion=conversion):
                return self._known(value, FORMATS[conversion])
            case ast.Name(id=name) if name in self._local:
                return self.text(self._local[name])
            case ast.IfExp(body=one, orelse=other):
                return f"{self.text(one)} Or: {self.text(other)}"
        return self._known(node, str)

    def _known(self, node: ast.expr, form: Callable[[object], str]) -> str:
        names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
        known = self._module.keys() | vars(builtins).keys()
        if names <= known - self._local.keys() - AT_RUN_TIME:
            value = eval(ast.unparse(node), dict(self._module))  # noqa: S307 - our own source
            return form(value)
        return f"<{ast.unparse(node)}>" if isinstance(node, ast.Name | ast.Attribute) else "<...>"
