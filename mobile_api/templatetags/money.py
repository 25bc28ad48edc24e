"""An amount as people write it, made of a transfer's facts: ``{{ amount_minor|in:currency }}``."""

from django import template

from mobile_api.money import written

register = template.Library()
register.filter("in", written)
