"""What an operator sees of the rows: everything that helps, nothing that leads to a code.

In: the rows. Out: pages of Django's admin, where a project has it. Knows nothing of: how to change
a row, for none can be added, changed or deleted here.

Addresses are masked, and an owner, what a code was bound to and its random bytes are not shown.
The lists cost the same on millions of rows: they are read by the key, which sorts by time, and no
count goes beyond `MOST`.
"""

from datetime import timedelta
from typing import Any, override
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.functional import cached_property

from otpmail.addresses.masking import mask
from otpmail.db import database
from otpmail.db.compat import first_uuid7
from otpmail.display import references
from otpmail.models import Attempt, AuditEntry, Challenge, Delivery, DeliveryState, Suppression
from otpmail.operations import stats

MOST = 1000
"""Rows that a list goes back; older ones are found by a search or a filter."""

REFERENCE_DAYS = 2
"""How far back a reference is looked for: no index has it, so each row is looked at."""

REFERENCE_SPAN = timedelta(days=REFERENCE_DAYS)

PERIODS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}

WAITING = "waiting"


class Newest(Paginator):  # type: ignore[type-arg] # generic for mypy alone
    """Counts no further than `MOST`."""

    object_list: QuerySet[Any]

    @override
    @cached_property
    def count(self) -> int:
        return self.object_list[:MOST].count()


class Since(admin.SimpleListFilter):
    """By the key, which tells when a row was made."""

    title = "made in the last"
    parameter_name = "since"

    @override
    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(period, period) for period in PERIODS]

    @override
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        period = PERIODS.get(self.value() or "")
        return queryset.filter(pk__gte=_first_id(period)) if period else queryset


class StateFilter(admin.SimpleListFilter):
    """By what has an index: what waits, and what was not sent."""

    title = "state"
    parameter_name = "state"

    @override
    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Give the states that somebody should look at."""
        unsent = (DeliveryState.FAILED, DeliveryState.DROPPED)
        return [(WAITING, WAITING), *((str(state.value), str(state.value)) for state in unsent)]

    @override
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Ask in the words of the indexes' conditions."""
        state = self.value()
        if state == WAITING:
            nobodys = Q(state=DeliveryState.QUEUED, leased_by="")
            return queryset.filter(nobodys | Q(leased_until__isnull=False))
        return queryset.filter(reason__gt="", state=state) if state else queryset


class ReadOnly:
    """Nothing can be added, changed or deleted."""

    def has_add_permission(self, *_: Any, **__: Any) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, *_: Any, **__: Any) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, *_: Any, **__: Any) -> bool:
        """Refuse."""
        return False


class Rows(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]
    """A list that is cheap."""

    ordering = ("-pk",)
    sortable_by = ()
    paginator = Newest
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    @override
    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Refuse all but the filters: a column that is not shown could be found by trying."""
        return lookup in {Since.parameter_name, StateFilter.parameter_name}


class Searched(Rows):
    """Also searched, by what logs, mails and people name."""

    challenge_column = "challenge"
    """Which of its columns names a challenge."""

    search_fields = ("pk",)  # shows the box; what is found, `found` says
    search_help_text = (
        f"A challenge's id, a delivery's, or a reference of the last {REFERENCE_DAYS} days."
    )

    @override
    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find what belongs to an id or a reference, and nothing by other words."""
        term = search_term.strip()
        return (queryset.filter(self.found(term)) if term else queryset), False

    def found(self, term: str) -> Q:
        """Say what belongs to it: to the challenge that it leads to."""
        return Q(**{f"{self.challenge_column}__in": _challenges(term)})


@admin.register(Challenge)
class ChallengeAdmin(Searched):
    """Which codes are pending, and what became of the others."""

    challenge_column = "pk"
    list_display = ("id", "reference", "purpose", "to", "state", "failures", "sends", "created_at")
    list_filter = (Since,)
    fields = (
        *("id", "reference", "purpose", "to", "language", "state", "is_decoy"),
        *("digits", "generation", "failures", "sends", "key_id"),
        *("created_at", "expires_at", "closes_at", "resend_at", "ended_at"),
    )

    def to(self, challenge: Challenge) -> str:
        """Mask the address."""
        return mask(challenge.recipient)


class Attempts(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]
    """By which routes, and what the servers replied."""

    model = Attempt
    fields = ("started_at", "route", "outcome", "code", "reply", "took_ms")
    ordering = ("pk",)


@admin.register(Delivery)
class DeliveryAdmin(Searched):
    """Which mails wait or were not sent, why, and what the last server replied."""

    list_display = ("id", "to", "state", "reason", "rounds", "route", "reply", "created_at")
    list_filter = (StateFilter, Since)
    fields = (
        *("id", "challenge", "generation", "queue", "to", "message_id", "state", "reason"),
        *("rounds", "avoid_route", "event", "event_at", "event_reason"),
        *("created_at", "due_at", "deadline", "settled_at", "leased_by", "leased_until"),
    )
    inlines = (Attempts,)

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Read with it what its line tells, and not what is encrypted."""
        rows = super().get_queryset(request).select_related("challenge", "stored")
        return rows.defer("stored__content").prefetch_related("attempts")

    @override
    def get_urls(self) -> list[URLPattern]:
        """Add the page that tells how mail stands."""
        page = self.admin_site.admin_view(self.show_stats)
        return [path("stats/", page, name="otpmail_stats"), *super().get_urls()]

    def show_stats(self, request: HttpRequest) -> HttpResponse:
        """Show what waits, what each route does, and what became of mails and challenges."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = database.now()
        circuits, tried = stats.circuits(), stats.tried(now - stats.RECENTLY)
        names = dict.fromkeys([*circuits, *(row.route for row in tried)])
        told = {
            "title": "How mail stands",
            "now": now,
            "waiting": stats.waiting(now),
            "routes": [
                {
                    "name": name,
                    "circuit": circuits.get(name),
                    "tried": [row for row in tried if row.route == name],
                }
                for name in names
            ],
            "settled": list(stats.settled(now - stats.RECENTLY)),
            "ended": list(stats.ended(now - stats.RECENTLY).items()),
        }
        context = {**self.admin_site.each_context(request), **told}
        return TemplateResponse(request, "admin/otpmail/stats.html", context)

    def to(self, delivery: Delivery) -> str:
        """Mask the address; of other mail that is settled, none is kept."""
        if delivery.challenge is not None:
            return mask(delivery.challenge.recipient)
        return delivery.stored.to if hasattr(delivery, "stored") else ""

    def route(self, delivery: Delivery) -> str:
        """Name the route of the last attempt."""
        return getattr(_last(delivery), "route", "")

    def reply(self, delivery: Delivery) -> str:
        """Tell the reply to it."""
        return getattr(_last(delivery), "reply", "")

    @override
    def found(self, term: str) -> Q:
        """Say which it is, or which are of its challenge."""
        return Q(pk__in=_ids(term)) | super().found(term)


@admin.register(AuditEntry)
class AuditEntryAdmin(Searched):
    """What was done with a challenge, from where."""

    challenge_column = "challenge_id"
    list_display = ("at", "action", "challenge_id", "purpose", "recipient", "address", "credential")
    fields = (
        *("at", "action", "challenge_id", "generation", "purpose", "recipient"),
        *("address", "credential", "key_id"),
    )


@admin.register(Suppression)
class SuppressionAdmin(Rows):
    """How many addresses are sent nothing, why, and until when. None can be read."""

    list_display = ("created_at", "reason", "until")
    fields = ("reason", "created_at", "until")
    ordering = ("-created_at",)  # its key is a digest; rows are few


def _last(delivery: Delivery) -> Attempt | None:
    return max(delivery.attempts.all(), key=lambda attempt: attempt.pk, default=None)


def _ids(term: str) -> list[UUID]:
    try:
        return [UUID(term)]
    except ValueError:
        return []


def _challenges(term: str) -> list[UUID]:
    """Give the ids of the challenges that an id or a reference leads to."""
    ids = _ids(term)
    if ids:
        carried = Delivery.objects.filter(pk__in=ids, challenge__isnull=False)
        return [*ids, *carried.values_list("challenge", flat=True)]
    return _referred(term.upper()) if references.FORM.fullmatch(term.upper()) else []


def _referred(reference: str) -> list[UUID]:
    end = references.end_of_id(reference)
    rows = Challenge.objects.filter(pk__endswith=end, pk__gte=_first_id(REFERENCE_SPAN))
    return list(rows.values_list("pk", flat=True))


def _first_id(period: timedelta) -> UUID:
    return first_uuid7(database.now() - period)
