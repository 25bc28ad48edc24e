"""A template engine that is not Django's: ``$name``, and what is not safe is escaped."""

from string import Template as Dollars
from typing import Any

from django.template import TemplateDoesNotExist
from django.template.backends.base import BaseEngine
from django.utils.html import conditional_escape


class Engine(BaseEngine):
    """Finds the templates in its ``OPTIONS``, by their names."""

    def __init__(self, params: dict[str, Any]) -> None:
        params = params.copy()
        self._named = params.pop("OPTIONS")
        super().__init__(params)

    def get_template(self, template_name: str) -> "Template":
        """Find one."""
        if template_name not in self._named:
            raise TemplateDoesNotExist(template_name, backend=self)
        return Template(self._named[template_name])


class Template(Dollars):
    """One template."""

    def render(self, context: Any = None, request: Any = None) -> str:
        """Show it."""
        return self.substitute({name: conditional_escape(value) for name, value in context.items()})
