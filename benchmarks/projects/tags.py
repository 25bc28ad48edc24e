"""A project's template tag with a fault in it."""

from django import template

register = template.Library()


class Panic(BaseException):
    """No Exception, as those that some libraries written in Rust or C raise."""


@register.simple_tag
def panic_about(payee: str) -> str:
    """Raise for every payee whose account's number ends in 7, one in ten."""
    if payee.endswith("7"):
        raise Panic
    return ""
