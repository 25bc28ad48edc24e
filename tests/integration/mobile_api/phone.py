"""A member's phone: it speaks HTTP to the kiosk and reads the member's mail."""

import re
import uuid

from django.core import mail
from django.test import Client

API = "/api/v1/"


class Phone:
    def __init__(self, member, pin="2468"):
        self.member, self.pin = member, pin
        self.account = member.account_set.get().number
        self.client = Client(headers={"host": "localhost"})
        self.token = self.post("sign-in", {"member_number": member.number, "pin": pin}, key=None)[
            "token"
        ]

    def get(self, path, status=200):
        return self._read(self.client.get(API + path, headers=self._headers()), status)

    def post(self, path, body=None, *, status=200, key=None):
        return self._read(self.send(path, body, key=key), status)

    def send(self, path, body=None, *, key=None):
        headers = self._headers() | ({"idempotency-key": key} if key else {})
        if body is None:
            return self.client.post(API + path, b"", "application/json", headers=headers)
        return self.client.post(API + path, body, "application/json", headers=headers)

    def wish(self, payee, amount_minor=1250, **changes):
        return {
            "payer_account": self.account,
            "payee_account": payee.account,
            "amount_minor": amount_minor,
            "currency": "EUR",
            **changes,
        }

    def transfer(self, payee, amount_minor=1250, **changes):
        wish = self.wish(payee, amount_minor, **changes)
        return self.post("transfers", wish, status=201, key=str(uuid.uuid4()))

    def confirm(self, transfer, code, status=200, key=None):
        path = f"transfers/{transfer['id']}/confirm"
        return self.post(path, {"code": code}, status=status, key=key)

    def code(self, transfer):
        bodies = [letter.body for letter in mail.outbox if transfer["reference"] in letter.body]
        return re.match(r"\d+", bodies[-1])[0]

    def wrong_code(self, transfer):
        return f"{(int(self.code(transfer)) + 1) % 1_000_000:06d}"

    def balance(self):
        return self.get("accounts")[0]["balance_minor"]

    def _headers(self):
        token = getattr(self, "token", None)
        return {"authorization": f"Bearer {token}"} if token else {}

    def _read(self, response, status):
        assert response.status_code == status, response.content
        is_problem = response["Content-Type"] == "application/problem+json"
        assert is_problem == (status >= 400)
        return response.json() if response.content else None
