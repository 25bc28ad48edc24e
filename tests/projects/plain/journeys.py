"""Each kind of Django's test cases, twice: the second finds nothing of the first."""

from django.db import DatabaseError, connections, transaction
from django.test import TestCase, TransactionTestCase

from otpmail import challenges
from otpmail.models import AuditEntry


class Journey:
    """Issues a code, and finds that the audit is locked as in production."""

    databases = {"default", "codes"}

    def journey(self):
        assert not AuditEntry.objects.exists()
        challenges.issue("sign-in", subject="alice", recipient="alice@example.org")
        for statement in (
            "DELETE FROM otpmail_auditentry",
            "UPDATE otpmail_auditentry SET deed = 'wrong'",
        ):
            with (
                self.assertRaisesMessage(DatabaseError, "append-only"),
                transaction.atomic(using="codes"),
                connections["codes"].cursor() as cursor,
            ):
                cursor.execute(statement)

    def test_once(self):
        self.journey()

    def test_once_more(self):
        self.journey()


class InATransaction(Journey, TestCase):
    pass


class Flushed(Journey, TransactionTestCase):
    pass


class FlushedAndLaidAgain(Journey, TransactionTestCase):
    serialized_rollback = True


class FlushedInSequence(Journey, TransactionTestCase):
    reset_sequences = True


class OnTheOtherDatabase(TransactionTestCase):
    """Where otpmail has no tables."""

    def test_flush(self):
        assert connections["default"].introspection.table_names() == ["django_migrations"]
