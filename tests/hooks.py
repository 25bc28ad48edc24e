"""Providers' webhooks, as each of them posts and signs its events.

An event is one of `EVENTS`; ``Hook.post`` sends it to a Django test client. The signatures are made
as the providers' documentation says, with keys of the tests.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from svix.webhooks import Webhook

from tests.providers import basic

SECRET = "events:from-the-tests"
MAILGUN_KEY = "mailgun-signs-with-this"
RESEND_SECRET = "whsec_" + base64.b64encode(b"r" * 24).decode()
SENDGRID_KEY = ec.generate_private_key(ec.SECP256R1())

EVENTS = {
    "delivered": "250 2.0.0 OK",
    "deferred": "451 4.7.1 Greylisted",
    "gone": "550 5.1.1 The account does not exist",
    "full": "552 5.2.2 Mailbox full",
    "complained": "",
}
"""What happens to a mail, and what the recipient's server says to it."""


@dataclass(frozen=True)
class Hook:
    provider: str
    body: Callable[[str, str, datetime], Any]
    """Of an event, a delivery's id and a moment, what is posted."""
    sign: Callable[[bytes], dict[str, str]]
    key: dict[str, str]
    """Anymail's settings that guard it."""
    knows: tuple[str, ...] = tuple(EVENTS)

    def post(
        self,
        client: Any,
        event: str,
        delivery_id: object,
        at: datetime | None = None,
        *,
        forged: bool = False,
    ) -> Any:
        """Post one event; a forged one is signed for another body, or under another key."""
        told = self.body(event, str(delivery_id), at or datetime.now(UTC))
        if forged and "signature" in told:
            told["signature"] = _mailgun_signature("another key")
        data = json.dumps(told).encode()
        headers = self.sign(data + b" " if forged else data)
        if forged and "Authorization" in headers:
            headers["Authorization"] = basic("events", "guessed")
        return client.post(
            f"/anymail/{self.provider}/tracking/", data, "application/json", headers=headers
        )


def _mailgun(event: str, delivery_id: str, at: datetime) -> Any:
    name, more = {
        "delivered": ("delivered", {}),
        "deferred": ("failed", {"severity": "temporary", "reason": "generic"}),
        "gone": ("failed", {"severity": "permanent", "reason": "bounce"}),
        "full": ("failed", {"severity": "permanent", "reason": "bounce"}),
        "complained": ("complained", {}),
    }[event]
    return {
        "event-data": {
            "event": name,
            "timestamp": at.timestamp(),
            "recipient": "alice@example.org",
            "message": {"headers": {"message-id": "1@mailgun.example"}},
            "delivery-status": {"code": 550, "message": EVENTS[event], "description": ""},
            "user-variables": {"otpmail": delivery_id},
            **more,
        },
        "signature": _mailgun_signature(),
    }


def _mailgun_signature(key: str = MAILGUN_KEY) -> dict[str, str]:
    stamp, token = "1529006854", secrets.token_hex(25)
    signature = hmac.new(key.encode(), f"{stamp}{token}".encode(), hashlib.sha256).hexdigest()
    return {"timestamp": stamp, "token": token, "signature": signature}


def _sendgrid(event: str, delivery_id: str, at: datetime) -> Any:
    name, more = {
        "delivered": ("delivered", {"response": EVENTS[event]}),
        "deferred": ("deferred", {"response": EVENTS[event], "attempt": "1"}),
        "gone": ("bounce", {"reason": EVENTS[event], "type": "bounce", "status": "5.1.1"}),
        "full": ("bounce", {"reason": EVENTS[event], "type": "blocked", "status": "5.2.2"}),
        "complained": ("spamreport", {}),
    }[event]
    return [
        {
            "event": name,
            "email": "alice@example.org",
            "timestamp": int(at.timestamp()),
            "sg_event_id": secrets.token_hex(8),
            "sg_message_id": "14c5d75ce93.dfd.64b469",
            "otpmail": delivery_id,
            **more,
        }
    ]


def _sendgrid_signature(data: bytes) -> dict[str, str]:
    stamp = "1600112502"
    signature = SENDGRID_KEY.sign(stamp.encode() + data, ec.ECDSA(hashes.SHA256()))
    return {
        "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
    }


def _sendgrid_public_key() -> str:
    public = SENDGRID_KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(public).decode()


def _resend(event: str, delivery_id: str, at: datetime) -> Any:
    name, more = {
        "delivered": ("email.delivered", {}),
        "deferred": ("email.delivery_delayed", {}),
        "gone": ("email.bounced", {"bounce": {"message": "sent a hard bounce message"}}),
        "full": ("email.bounced", {"bounce": {"message": "a bounce message: inbox was full"}}),
        "complained": ("email.complained", {}),
    }[event]
    return {
        "type": name,
        "created_at": at.isoformat().replace("+00:00", "Z"),
        "data": {
            "email_id": "56761188-7520-42d8-8898-ff6fc54ce618",
            "to": ["alice@example.org"],
            "headers": [{"name": "X-Metadata", "value": json.dumps({"otpmail": delivery_id})}],
            **more,
        },
    }


def _resend_signature(data: bytes) -> dict[str, str]:
    message_id, now = f"msg_{secrets.token_hex(8)}", datetime.now(UTC)
    return {
        "svix-id": message_id,
        "svix-timestamp": str(int(now.timestamp())),
        "svix-signature": Webhook(RESEND_SECRET).sign(message_id, now, data.decode()),
    }


def _postmark(event: str, delivery_id: str, at: datetime) -> Any:
    moment = at.isoformat().replace("+00:00", "Z")
    told = {
        "delivered": {"RecordType": "Delivery", "DeliveredAt": moment},
        "deferred": {"RecordType": "Bounce", "Type": "Transient", "BouncedAt": moment},
        "gone": {"RecordType": "Bounce", "Type": "HardBounce", "BouncedAt": moment},
        "full": {"RecordType": "Bounce", "Type": "SoftBounce", "BouncedAt": moment},
        "complained": {"RecordType": "SpamComplaint", "Type": "SpamComplaint", "BouncedAt": moment},
    }[event]
    return {
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "Email": "alice@example.org",
        "Details": EVENTS[event],
        "Metadata": {"otpmail": delivery_id},
        **told,
    }


def _ses(event: str, delivery_id: str, at: datetime) -> Any:
    who = {"emailAddress": "alice@example.org", "diagnosticCode": f"smtp; {EVENTS[event]}"}
    told = {
        "delivered": {
            "eventType": "Delivery",
            "delivery": {"recipients": ["alice@example.org"], "smtpResponse": EVENTS[event]},
        },
        "gone": {
            "eventType": "Bounce",
            "bounce": {
                "bounceType": "Permanent",
                "bounceSubType": "General",
                "bouncedRecipients": [who],
            },
        },
        "full": {
            "eventType": "Bounce",
            "bounce": {
                "bounceType": "Transient",
                "bounceSubType": "MailboxFull",
                "bouncedRecipients": [who],
            },
        },
        "complained": {"eventType": "Complaint", "complaint": {"complainedRecipients": [who]}},
    }[event]
    header = {"name": "X-Metadata", "value": json.dumps({"otpmail": delivery_id})}
    mail = {"messageId": "0102018f", "destination": ["alice@example.org"], "headers": [header]}
    return {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:events",
        "Timestamp": at.isoformat().replace("+00:00", "Z"),
        "Message": json.dumps({**told, "mail": mail}),
    }


def _brevo(event: str, delivery_id: str, at: datetime) -> Any:
    name = {"gone": "hard_bounce", "full": "soft_bounce", "complained": "spam"}.get(event, event)
    return {
        "event": name,
        "email": "alice@example.org",
        "message-id": "<201798300811.5787683@relay.example>",
        "ts_epoch": int(at.timestamp() * 1000),
        "reason": EVENTS[event],
        "X-Mailin-custom": json.dumps({"otpmail": delivery_id}),
    }


def _mailjet(event: str, delivery_id: str, at: datetime) -> Any:
    told = {
        "delivered": {"event": "sent", "smtp_reply": EVENTS[event]},
        "deferred": {"event": "bounce", "hard_bounce": False, "error": "greylisted"},
        "gone": {"event": "blocked", "error_related_to": "recipient", "error": "user unknown"},
        "full": {"event": "bounce", "hard_bounce": False, "error": "quota exceeded"},
        "complained": {"event": "spam", "source": "JMRPP"},
    }[event]
    return {
        "time": int(at.timestamp()),
        "MessageID": 19421777835146490,
        "email": "alice@example.org",
        "Payload": json.dumps({"otpmail": delivery_id}),
        **told,
    }


def _shared_secret(_: bytes) -> dict[str, str]:
    return {"Authorization": basic(*SECRET.split(":"))}


def _sns(_: bytes) -> dict[str, str]:
    return {
        "x-amz-sns-message-type": "Notification",
        "x-amz-sns-message-id": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        **_shared_secret(_),
    }


WITH_SECRET = {"WEBHOOK_SECRET": SECRET}
HOOKS = [
    Hook("mailgun", _mailgun, lambda _: {}, {"MAILGUN_WEBHOOK_SIGNING_KEY": MAILGUN_KEY}),
    Hook(
        "sendgrid",
        _sendgrid,
        _sendgrid_signature,
        {"SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": _sendgrid_public_key()},
    ),
    Hook("resend", _resend, _resend_signature, {"RESEND_SIGNING_SECRET": RESEND_SECRET}),
    Hook("postmark", _postmark, _shared_secret, WITH_SECRET),
    Hook("amazon_ses", _ses, _sns, WITH_SECRET, ("delivered", "gone", "full", "complained")),
    Hook("brevo", _brevo, _shared_secret, WITH_SECRET),
    Hook("mailjet", _mailjet, _shared_secret, WITH_SECRET),
]
