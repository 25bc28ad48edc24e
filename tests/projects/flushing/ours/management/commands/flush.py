from otpmail.management.commands import flush


class Command(flush.Command):
    pass
