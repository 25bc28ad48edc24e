"""A template library whose tag panics, as a Rust extension does: with what is no Exception."""

from django import template

register = template.Library()


class Panic(BaseException):
    """No Exception."""


@register.simple_tag
def panic() -> str:
    """Panic."""
    raise Panic
