"""Async views ask for codes and check them, through Django's ASGI handler."""

import asyncio
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.core import mail
from django.http import JsonResponse
from django.test import AsyncClient
from django.urls import path

from otpmail import challenges
from otpmail.models import Challenge
from otpmail.testing import live_code

pytestmark = pytest.mark.django_db(transaction=True)


async def issue(request):
    issued = await challenges.aissue("sign-in", owner="alice", recipient="alice@example.org")
    return JsonResponse({"challenge": issued.challenge_id})


def answering(call):
    async def view(request, challenge_id, **typed):
        result = await call("sign-in", challenge_id, *typed.values(), owner="alice")
        return JsonResponse({"result": type(result).__name__})

    return view


urlpatterns = [
    path("issue", issue),
    path("resend/<uuid:challenge_id>", answering(challenges.aresend)),
    path("cancel/<uuid:challenge_id>", answering(challenges.acancel)),
    path("verify/<uuid:challenge_id>/<typed>", answering(challenges.averify)),
]


@pytest.fixture
def get(settings):
    settings.ROOT_URLCONF = __name__
    settings.MIDDLEWARE = []
    client = AsyncClient()

    async def ask(*urls):
        responses = await asyncio.gather(*map(client.get, urls))
        return [response.json() for response in responses]

    return async_to_sync(ask)


def test_code_is_issued_mailed_and_verified(get):
    (issued,) = get("/issue")
    code = live_code(UUID(issued["challenge"]))
    assert code in mail.outbox[0].body
    assert get(f"/verify/{issued['challenge']}/{code}") == [{"result": "Verified"}]
    assert Challenge.objects.get().state == "confirmed"


def test_of_two_right_codes_at_once_one_wins(get):
    (issued,) = get("/issue")
    url = f"/verify/{issued['challenge']}/{live_code(UUID(issued['challenge']))}"
    results = sorted(answer["result"] for answer in get(url, url))
    assert results == ["AlreadyUsed", "Verified"]


def test_resend_and_cancel_answer_as_their_sync_twins(get):
    (issued,) = get("/issue")
    assert get(f"/resend/{issued['challenge']}") == [{"result": "TooSoon"}]
    assert get(f"/cancel/{issued['challenge']}") == [{"result": "Cancelled"}]
    assert get(f"/cancel/{issued['challenge']}") == [{"result": "Ended"}]
