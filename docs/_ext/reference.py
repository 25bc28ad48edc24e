"""The reference, made from the code: each function here gives a part of a page.

In: otpmail's modules, and their sources for what only stands there (docstrings of attributes,
messages of checks). Out: Markdown. Django's apps must be ready.
"""

import importlib
import inspect
import pkgutil
import re
from argparse import Action, ArgumentParser
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from types import ModuleType
from typing import Any

from django.core.management import load_command_class
from django.core.management.base import BaseCommand

from otpmail import challenges, conf, results, signals
from otpmail import checks as otpmail_checks
from otpmail.checks import validators
from otpmail.delivery import rendering
from otpmail.operations import metrics as otpmail_metrics
from otpmail.signin import checks as signin_checks
from otpmail.signin import conf as signin_conf
from source import annotated, calls, docstrings, documented, plain, signature, table


def settings() -> str:
    """Give each setting: what it means, its type and bounds, its default."""
    return _sections(
        f"### `{conf.PREFIX}{name}`\n\n{_line(documented(kind)[name])}\n\n"
        f"- Type: `{_type(annotation)}`, {validators.told(*conf.RULES[name])}\n"
        f"- Default: `{default}`\n"
        f"- Can be set for one purpose: {'yes' if name in conf.PER_PURPOSE else 'no'}"
        for kind in (conf.Settings, signin_conf.SigninSettings)
        for name, (annotation, default) in annotated(kind).items()
    )


def checks() -> str:
    """Give each system check: its level, what is wrong, its message and its remedy."""
    modules = [*_modules(otpmail_checks), signin_checks]
    reasons = dict(reason for module in modules for reason in _reasons(module))
    found = {
        call.named["id"]: (level, call)
        for module in modules
        for level in ("Error", "Warning")
        for call in calls(module, level)
    }
    return _sections(
        f"### {check_id}\n\n**{level}.** {reasons[check_id]}\n\n"
        f"- Message: `{call.given[0]}`\n- Remedy: `{call.named['hint']}`"
        for check_id, (level, call) in sorted(found.items())
    )


def metrics() -> str:
    """Give each metric, its labels and what it tells."""
    families = [call.given for call in calls(otpmail_metrics, "_gauge")]
    rows = [(f"`{name}`", _spans(labels), told) for name, told, *labels in families]
    return table(("metric", "labels", "tells"), rows)


def receivers() -> str:
    """Give each signal: what its receivers are called with, and when it is sent."""
    rows = []
    for name, doc in documented(signals).items():
        arguments, _, when = plain(" ".join(doc.split())).partition(": ")
        rows.append((f"`{name}`", arguments, when))
    return table(("signal", "arguments", "sent when"), rows)


def commands() -> str:
    """Give each command: what it does, and its arguments."""
    package = importlib.import_module("otpmail.management.commands")
    names = [module.__name__.rpartition(".")[2] for module in _modules(package)]
    return _sections(_command(name, load_command_class("otpmail", name)) for name in names)


def entries() -> str:
    """Give each call of ``otpmail.challenges``: its signature and its promise."""
    return _sections(_entry(name, call) for name, call in _entries())


def members() -> str:
    """Give each result: what it says, which calls return it, its members."""
    own = [one for one in vars(results).values() if isinstance(one, type)]
    return _sections(map(_result, (one for one in own if one.__module__ == results.__name__)))


def reserved() -> str:
    """Give the names that neither facts nor a context can have."""
    return f"{_spans(sorted(rendering.RESERVED))}."


def _sections(parts: Iterable[str]) -> str:
    return "\n\n".join(parts)


def _spans(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _line(doc: str) -> str:
    return plain(" ".join(doc.split()))


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        yield importlib.import_module(found.name)


def _entries() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Give the calls and not their twins for async views."""
    for name in challenges.__all__:
        if f"a{name}" in challenges.__all__:
            yield name, inspect.unwrap(getattr(challenges, name))


def _type(annotation: str) -> str:
    return re.sub(r"^Annotated\[(.+), Rule\(.*\)\]$", r"\1", annotation)


def _reasons(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Give what each check of a module tells, as its function's docstring has it."""
    for doc in docstrings(module):
        for number, reason in re.findall(r"([EW]\d{3}): (.*?)(?=[.;] [EW]\d{3}:|\.?$)", doc):
            yield f"otpmail.{number}", plain(f"{reason[0].upper()}{reason[1:]}.")


def _entry(name: str, call: Callable[..., Any]) -> str:
    given, returned = signature(call)
    lines = "".join(f"    {one},\n" for one in given)
    written = f"```python\n{name}(\n{lines}) -> {returned}\n```"
    return _sections([f"### `{name}`", written, plain(inspect.getdoc(call) or "")])


def _result(kind: type) -> str:
    parts = [f"### `{kind.__name__}`", plain(inspect.getdoc(kind) or "")]
    if issubclass(kind, Enum):
        meanings = documented(kind)
        rows = [(f"`{one.value}`", _line(meanings.get(one.name, ""))) for one in kind]
        return _sections([*parts, table(("value", "meaning"), rows)])
    if callers := [
        name for name, call in _entries() if re.search(rf"\b{kind.__name__}\b", signature(call)[1])
    ]:
        parts.append(f"Returned by {_spans(callers)}.")
    if members := list(_members(kind)):
        parts.append(table(("member", "type", "meaning"), members))
    return _sections(parts)


def _members(kind: type) -> Iterator[tuple[str, str, str]]:
    for base in reversed(kind.__mro__[:-1]):
        meanings = documented(base)
        for name, (annotation, _) in annotated(base).items():
            shown = annotation.strip("'").replace("|", "\\|")
            yield f"`{name}`", f"`{shown}`", _line(meanings.get(name, ""))


def _command(name: str, command: BaseCommand) -> str:
    parser = ArgumentParser(add_help=False)
    command.add_arguments(parser)  # type: ignore[arg-type]  # Django's parser adds nothing to it
    rows = [(f"`{_spelling(one)}`", _line(one.help or "")) for one in parser._actions]  # noqa: SLF001
    arguments = [table(("argument", "meaning"), rows)] if rows else []
    return _sections([f"### `{name}`", command.help, *arguments])


def _spelling(action: Action) -> str:
    name = ", ".join(action.option_strings) or action.dest
    return f"{name} {action.metavar}" if action.metavar else name
