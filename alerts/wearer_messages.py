"""Messages to who wears the tag of an alert, by the channels that bring them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.casework import UnfitAction
from alerts.outbox import NewMessage, post
from geofence import datetime_of

if TYPE_CHECKING:
    from alerts.store import Connection

# The tag by its id, while it is on the person of the alert: tags are used again. Who brings the message knows to whom it belongs.
TAG_OF = """
SELECT d.device_id FROM alerts a JOIN activation_versions v ON v.activation_no = a.activation_no AND upper_inf(v.recorded)
    AND v.during @> $2::timestamptz
JOIN devices d USING (device_no) WHERE a.alert_no = $1
"""
CHANNELS = "SELECT channel_no FROM channels WHERE ended_at IS NULL AND is_for_wearers ORDER BY name"


async def send_to_wearer(connection: Connection, alert_no: int, text: str, now_ms: int) -> None:
    """Into the outbox, inside the transaction of the action that says so. Raises UnfitAction where nobody brings it, or where there
    is nobody to bring it to."""
    device_id = await connection.fetchval(TAG_OF, alert_no, datetime_of(now_ms))
    if device_id is None:
        raise UnfitAction("the person of this alert has no tag now that a message could go to")
    channels = [row["channel_no"] for row in await connection.fetch(CHANNELS)]
    if not channels:
        raise UnfitAction("no channel brings messages to wearers: call them, and ask an administrator to enter one")
    fields = {
        "topic": "wearer message",
        "subject": "a message to a wearer",
        "device": device_id,
        "text": text,
        "since_ms": now_ms,
    }
    key = f"wearer message {alert_no} {now_ms}"
    await post(connection, [NewMessage(number, key, fields) for number in channels], now_ms)
