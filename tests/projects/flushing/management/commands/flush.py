from django.core.management.commands import flush


class Command(flush.Command):
    pass
