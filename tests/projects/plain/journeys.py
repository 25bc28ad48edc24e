"""Each kind of Django's test cases, twice: the second finds nothing of the first."""

from django.core.checks import run_checks
from django.db import DatabaseError, connections, transaction
from django.db.transaction import atomic
from django.test import TestCase, TransactionTestCase, override_settings

from otpmail import challenges
from otpmail.exceptions import InsideTransactionError
from otpmail.models import AuditEntry, Challenge
from otpmail.results import Verified
from otpmail.testing import live_code


class Journey:
    """Issues a code, and finds that the audit is locked as in production."""

    databases = {"default", "codes"}

    def journey(self):
        assert not AuditEntry.objects.exists()
        challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
        for statement in (
            "DELETE FROM otpmail_auditentry",
            "UPDATE otpmail_auditentry SET action = 'wrong'",
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


class Apart(TransactionTestCase):
    """Codes are committed apart from what they confirm."""

    databases = {"default", "codes"}

    def test_nothing_is_confirmed_inside_an_open_transaction_of_the_other(self):
        issued = challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
        typed = live_code(issued.challenge_id)
        ask = ("sign-in", issued.challenge_id, typed)
        done = []
        with atomic(), self.assertRaisesMessage(InsideTransactionError, "Open is that of default"):
            challenges.verify(*ask, owner="alice", confirmed=done.append)
        assert Challenge.objects.get().failures == 0
        assert isinstance(challenges.verify(*ask, owner="alice", confirmed=done.append), Verified)
        assert len(done) == 1

    def test_a_check_tells(self):
        assert [told.id for told in run_checks()] == ["otpmail.W011"]

    @override_settings(DATABASE_ROUTERS=["tests.projects.plain.settings.Split"])
    def test_rows_on_two_databases_are_an_error(self):
        assert "otpmail.E025" in [told.id for told in run_checks()]

    def test_related_rows_lie_where_theirs_do(self):
        challenges.issue("sign-in", owner="alice", recipient="alice@example.org")
        delivery = Challenge.objects.get().deliveries.get()
        assert delivery.challenge.deliveries.get()._state.db == "codes"


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
