"""Reports over MQTT: the topics, and what stands before a body.

    emtrack/devices/DEVICE/reports     the device publishes; QoS 1
    emtrack/devices/DEVICE/answers     the answer after the commit, as over HTTP; QoS 1

    Bearer KEY\\n                       the first line of a message, as the header of a request
    {"boot": …, "reports": […]}        the rest: the body of a request, in JSON or MessagePack (docs/forms.md)

What the broker acknowledges (PUBACK) is that it has the message. That it is stored says the answer, and nothing else.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ingest.wire import ContentType

ALL_REPORTS: Final = "emtrack/devices/+/reports"
MOST_KEY_BYTES: Final = 200
_BEFORE, _AFTER, _ANSWERS = "emtrack/devices/", "/reports", "/answers"
_SCHEME = b"Bearer "


class Published(NamedTuple):
    """A message of a device. `key`: empty where it shows none."""

    device_id: str
    key: str
    body: bytes
    content_type: ContentType


def read_published(topic: str, payload: bytes) -> Published:
    """Never raises: what shows no key has none."""
    device_id = topic.removeprefix(_BEFORE).removesuffix(_AFTER)
    line, _, body = payload[: MOST_KEY_BYTES + 1].partition(b"\n")
    if not line.startswith(_SCHEME) or len(line) > MOST_KEY_BYTES:
        return Published(device_id, "", payload, "application/json")
    body = payload[len(line) + 1 :]
    is_json = body.lstrip()[:1] in (b"{", b"[", b"")
    key = line.removeprefix(_SCHEME).decode("latin-1").strip()
    return Published(device_id, key, body, "application/json" if is_json else "application/msgpack")


def answers_of(device_id: str) -> str:
    """The topic on which a device hears what is stored."""
    return f"{_BEFORE}{device_id}{_ANSWERS}"
