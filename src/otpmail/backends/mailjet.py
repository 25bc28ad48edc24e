"""Anymail's Mailjet backend, less the two headers that Mailjet sets itself.

Mailjet refuses a mail whose ``Headers`` name them, and every mail of otpmail's does.
Knows nothing of: otpmail.
"""

from typing import Any

from anymail.backends import mailjet

ITS_OWN = frozenset({"message-id", "date"})


class EmailBackend(mailjet.EmailBackend):  # type: ignore[misc]
    """The same options, the same events."""

    def build_message_payload(self, message: Any, defaults: Any) -> Any:
        """Leave out what Mailjet does not take."""
        payload = super().build_message_payload(message, defaults)
        headers = payload.data["Globals"].get("Headers", {})
        payload.data["Globals"]["Headers"] = {
            name: value for name, value in headers.items() if name.lower() not in ITS_OWN
        }
        return payload
