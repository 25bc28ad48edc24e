"""Whether the mails of each purpose can be made, and show the code where a person looks for it.

In: the templates that the project's loaders find, for purposes with rules or a
folder. Out: errors and warnings; each part of each
purpose is rendered once, in the default language, with the purpose's ``SAMPLE``.
Knows nothing of: what a mail says besides.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.template import TemplateDoesNotExist, TemplateSyntaxError, engines
from django.template.backends.django import DjangoTemplates
from django.template.loader import get_template
from django.views.decorators.debug import sensitive_variables

from otpmail import purposes
from otpmail.checks import visible_text
from otpmail.conf import settings
from otpmail.delivery import rendering

DIGITS = "9081726354"
"""Of the sample's code: no other number of a mail is like it."""

NO_PURPOSE = "default"

LOADERS = "Let TEMPLATES find otpmail's: APP_DIRS True, or the loader app_directories.Loader."


def mails() -> Iterable[CheckMessage]:
    """Render what each purpose's mail is made of."""
    for purpose in dict.fromkeys((NO_PURPOSE, *settings.PURPOSES, *_folders())):
        yield from _sample(purpose)
        yield from _parts(purpose)
        yield from _halves(purpose)


def _sample(purpose: str) -> Iterable[CheckMessage]:
    """E031: a purpose's ``SAMPLE`` is not what ``issue`` takes."""
    sample = purposes.sample(purpose)
    is_mapping = isinstance(sample, Mapping)
    if not is_mapping or rendering.RESERVED.intersection(sample):
        why = "has names that templates know as something else" if is_mapping else "is no mapping"
        yield Error(
            f"OTPMAIL_PURPOSES[{purpose!r}]['SAMPLE'] {why}.",
            hint="Set it to a mapping of names to what mails show, facts and context. No name is "
            f"{', '.join(sorted(rendering.RESERVED))}.",
            id="otpmail.E031",
        )


def _folders() -> list[str]:
    """Name the purposes that have a mail of their own, and maybe no rules."""
    found = {
        part.parent.name
        for engine in engines.all()
        for directory in _directories(engine)
        for part in Path(directory).glob("otpmail/*/*")
        if part.name in rendering.PARTS
    }
    return sorted(found)


def _directories(engine: Any) -> Iterable[str | Path]:
    yield from engine.template_dirs
    loaders = list(engine.engine.template_loaders) if isinstance(engine, DjangoTemplates) else []
    for loader in loaders:
        loaders += getattr(loader, "loaders", ())  # of the cached one
        yield from loader.get_dirs() if hasattr(loader, "get_dirs") else ()


@sensitive_variables()
def _parts(purpose: str) -> Iterable[CheckMessage]:
    """E028: a template is missing or has a mistake.

    W013: a template needs more than the purpose's ``SAMPLE`` has.
    """
    code = DIGITS[: purposes.digits(purpose)]
    for name in rendering.PARTS:
        try:
            text = rendering.sample(purpose, name, code)
        except (TemplateDoesNotExist, TemplateSyntaxError) as error:
            yield Error(
                f"{name} of the mails for {purpose!r} cannot be rendered: "
                f"{type(error).__name__}: {error}.",
                hint=LOADERS if isinstance(error, TemplateDoesNotExist) else "Mend the template.",
                id="otpmail.E028",
            )
        except Exception as error:  # noqa: BLE001 - a tag of the project's, which may miss its context
            if purpose not in settings.PURPOSES:
                continue
            yield Warning(
                f"{name} of the mails for {purpose!r} cannot be rendered with what is known of its "
                f"facts and context: {type(error).__name__}.",
                hint=f"Set OTPMAIL_PURPOSES[{purpose!r}]['SAMPLE'] to a mapping of what it shows.",
                id="otpmail.W013",
            )
        else:
            yield from _place_of_code(purpose, name, is_shown=_is_shown(code, name, text))


@sensitive_variables()
def _is_shown(code: str, name: str, text: str) -> bool:
    seen = visible_text.texts(text) if name.endswith(".html") else [text]
    return any(code in one for one in seen)


def _place_of_code(purpose: str, name: str, *, is_shown: bool) -> Iterable[CheckMessage]:
    """E029: a body does not show the code; E030: a subject holds the code."""
    if name != rendering.SUBJECT and not is_shown:
        yield Error(
            f"{name} of the mails for {purpose!r} does not show the code.",
            hint="Write {{ code }} into it, in one piece and in its first line, where it is seen.",
            id="otpmail.E029",
        )
    elif name == rendering.SUBJECT and is_shown and not settings.CODE_IN_SUBJECT:
        yield Error(
            f"{name} of the mails for {purpose!r} holds the code, and is mailed without it.",
            hint="Take {{ code }} out of it: subjects are logged, and shown on lock screens. If it "
            "is to stand there all the same, set OTPMAIL_CODE_IN_SUBJECT to True.",
            id="otpmail.E030",
        )


def _halves(purpose: str) -> Iterable[CheckMessage]:
    """W014: one body of a mail is the purpose's own, and the other is the default."""
    text, html = (_has_own(purpose, name) for name in ("body.txt", "body.html"))
    if text != html:
        has, lacks = ("body.txt", "body.html") if text else ("body.html", "body.txt")
        yield Warning(
            f"The mails for {purpose!r} have a {has} of their own and the default {lacks}: "
            "what a person reads depends on their mail program.",
            hint=f"Add otpmail/{purpose}/{lacks}.",
            id="otpmail.W014",
        )


def _has_own(purpose: str, name: str) -> bool:
    try:
        get_template(f"otpmail/{purpose}/{name}")
    except (TemplateDoesNotExist, ValueError):  # or its name is none: told by itself too
        return False
    except TemplateSyntaxError:  # told by itself
        pass
    return True
