"""No journey may ask the replica: Django's test cases refuse a query to a database not named here.

Run by ``tests/acceptance/test_projects.py``, on the database of ``DATABASE_URL``.
"""

import re
from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib.admin.sites import site
from django.core import mail
from django.core.management import CommandError, call_command
from django.db.models import F
from django.db.models.signals import pre_delete
from django.test import TransactionTestCase
from django.test.testcases import DatabaseOperationForbidden

from mobile_api.models import Entry, Transfer
from otpmail import challenges
from otpmail.backends.outbox import EmailBackend
from otpmail.db import database
from otpmail.models import Attempt, AuditEntry, Challenge, Delivery
from otpmail.operations import privacy, retention
from otpmail.results import Resent, Verified
from otpmail.signals import challenge_ended
from otpmail.testing import live_code
from tests import staff
from tests.projects.replica.models import Archived, Dispute, Invoice, Order


class Journeys(TransactionTestCase):
    databases = {"default"}

    def issue(self, purpose: str = "sign-in") -> UUID:
        return challenges.issue(purpose, owner="alice", recipient="alice@example.org").challenge_id

    def test_the_replica_is_refused(self):
        with pytest.raises(DatabaseOperationForbidden):
            Order.objects.exists()

    def test_a_code_is_mailed_resent_and_confirmed(self):
        pk = self.issue()
        assert live_code(pk) in mail.outbox[0].body
        assert challenges.status("sign-in", pk, owner="alice").delivery.status == "accepted"
        past = F("resend_at") - timedelta(seconds=90)
        Challenge.objects.filter(pk=pk).update(resend_at=past)
        assert isinstance(challenges.resend("sign-in", pk, owner="alice"), Resent)
        verified = challenges.verify("sign-in", pk, live_code(pk), owner="alice")
        assert isinstance(verified, Verified)

    def test_a_mail_of_the_projects_own_is_sealed_and_sent(self):
        EmailBackend().send_messages([mail.EmailMessage("Hello", "Body", to=["b@example.org"])])
        assert [sent.subject for sent in mail.outbox] == ["Hello"]

    def test_the_cancel_page_answers(self):
        pk = self.issue()
        link = re.search(r"https://bank\.example(/\S+)", mail.outbox[0].body)[1]
        headers = {"host": "localhost"}
        page, _, token = link.partition("#")
        assert self.client.get(page, headers=headers).status_code == 200
        assert self.client.post(page, {"token": token}, headers=headers).status_code == 200
        assert Challenge.objects.get(pk=pk).state == "cancelled"

    def test_related_rows_are_read_where_they_were_written(self):
        pk = self.issue()
        challenge = Challenge.objects.get()
        delivery = challenge.deliveries.get()
        assert delivery.attempts.count() == Attempt.objects.count() == 1
        assert Delivery.objects.get().challenge == challenge
        assert Delivery.objects.select_related("challenge").get().challenge == challenge
        assert Delivery.objects.prefetch_related("attempts", "challenge").get().challenge.pk == pk
        assert Attempt.objects.get(delivery__challenge=challenge).delivery == delivery
        assert challenge.deliveries.filter(attempts__outcome="accepted").exists()
        assert not hasattr(delivery, "stored")
        assert Challenge._base_manager.get() == Challenge._default_manager.using(None).get()
        challenge.refresh_from_db()
        delivery.delete()
        challenge.save()
        challenge.delete()

    def test_a_row_from_the_replica_leads_nobody_there(self):
        order = Order.objects.create(challenge_id=self.issue())
        order._state.db = "replica"
        assert order.challenge.deliveries.get().challenge.owner == "alice"
        field = site._registry[Challenge].formfield_for_foreignkey(
            Order._meta.get_field("challenge"), None
        )
        assert field.queryset.get() == order.challenge
        assert str(Order.objects.filter(challenge__in=Challenge.objects.all()).query)

    def test_the_cascades_of_prune_and_erase(self):
        for go in (
            lambda: retention.prune(now=database.now() + timedelta(days=365)).challenges,
            lambda: privacy.erase(owner="alice").count,
        ):
            pk = self.issue()
            Order.objects.create(challenge_id=pk)
            challenges.cancel("sign-in", pk, owner="alice")
            assert pk in [told["id"] for told in privacy.export(owner="alice")]
            assert go() == 1
            assert not Delivery.objects.exists()
            assert not Order.objects.using("default").exists()

    def hold(self) -> dict[str, UUID]:
        """Issue five codes of which one can go, and tell what holds the others."""
        names = ("invoice", "dispute", "archived", "refused")
        held = {name: self.issue(name) for name in names}
        Invoice.objects.create(challenge_id=held["invoice"])
        Dispute.objects.create(delivery=Delivery.objects.get(challenge=held["dispute"]))
        Archived.objects.create(challenge_id=held["archived"])
        self.issue()
        challenges.cancel_all(owner="alice")

        def refuse(instance, **_):
            if instance.pk == held["refused"]:
                raise ValueError(instance.recipient)

        pre_delete.connect(refuse, Challenge, weak=False, dispatch_uid="refuse")
        self.addCleanup(pre_delete.disconnect, sender=Challenge, dispatch_uid="refuse")
        self.addCleanup(self.let_go)
        return held

    def let_go(self):
        for model in (Invoice, Dispute, Archived):
            model.objects.using("default").all().delete()

    def check_stayed(self, stayed, held):
        told = "\n".join(sorted(map(str, stayed)))
        named = {
            "invoice": "replica.Invoice",
            "dispute": "replica.Dispute",
            "archived": "IntegrityError",
            "refused": "ValueError",
        }
        for name, holder in named.items():
            assert re.search(rf"otpmail.challenge {held[name]} stays: held by {holder}", told), told
        assert "alice" not in told
        assert {*Challenge.objects.values_list("pk", flat=True)} == {*held.values()}

    def test_prune_goes_on_and_names_what_a_project_holds(self):
        held = self.hold()
        later = database.now() + timedelta(days=365)
        self.check_stayed(retention.prune(now=later).stayed, held)
        self.let_go()
        again = retention.prune(now=later)
        assert (again.challenges, len(again.stayed)) == (3, 1)

    def test_erase_goes_on_and_names_what_a_project_holds(self):
        held = self.hold()
        erased = privacy.erase(owner="alice")
        assert erased.count == 1
        self.check_stayed(erased.stayed, held)
        with pytest.raises(CommandError, match=r"replica\.Invoice"):
            call_command("otpmail_erase", "alice@example.org")

    def test_erase_goes_on_when_a_code_may_not_end(self):
        first, second = self.issue(), self.issue("transfer")

        def refuse(challenge, **_):
            if challenge.pk == first:
                raise ValueError(challenge.recipient)

        challenge_ended.connect(refuse, weak=False, dispatch_uid="refuse")
        self.addCleanup(challenge_ended.disconnect, dispatch_uid="refuse")
        erased = privacy.erase(owner="alice")
        assert (erased.count, *map(str, erased.stayed)) == (
            1,
            f"otpmail.challenge {first} stays: held by ValueError",
        )
        assert Challenge.objects.get().pk == first
        assert second != first

    def test_the_admin_shows_every_page(self):
        self.issue()
        assert all(staff.pages(staff.staff()))
        assert AuditEntry.objects.exists()

    def test_the_kiosk_moves_money(self):
        call_command("demo_data", verbosity=0)
        token = self.post("sign-in", {"member_number": "1001", "pin": "2468"}).json()["token"]
        self.signed_in = {"Authorization": f"Bearer {token}"}
        wanted = {
            "payer_account": "10-0001",
            "payee_account": "10-0002",
            "amount_minor": 100,
            "currency": "EUR",
        }
        made = self.post("transfers", wanted)
        assert made.status_code == 201, made.content
        transfer = Transfer.objects.get(pk=made.json()["id"])
        code = live_code(transfer.challenge)
        confirmed = self.post(f"transfers/{transfer.pk}/confirm", {"code": code})
        assert confirmed.status_code == 200, confirmed.content
        assert transfer.entries.count() == 2
        assert Entry.objects.filter(transfer__payer=transfer.payer).count() == 2
        assert self.post("sign-out", None).status_code == 204
        call_command("kiosk_prune", verbosity=0)

    def post(self, path, body):
        headers = {"host": "localhost", "Idempotency-Key": path} | getattr(self, "signed_in", {})
        return self.client.post(
            f"/api/v1/{path}", body, content_type="application/json", headers=headers
        )
