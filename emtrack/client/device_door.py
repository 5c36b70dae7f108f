"""One request to the door of a device: reports in, the answer out."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, NamedTuple

import aiohttp
import msgspec

from emtrack.client.service_clock import EPOCH
from emtrack.client.signing import SigningKeys, signature_of

Encoding = Literal["json", "msgpack", "mixed"]
JSON_TYPE, MSGPACK_TYPE = "application/json", "application/msgpack"


class Answer(NamedTuple):
    """An answer as it came."""

    status: int
    body: bytes
    content_type: str
    retry_after: str | None


class Refusal(msgspec.Struct):
    """`seq` None: of something that has no number, such as the time at which the request says that it was sent."""

    seq: int | None
    reason: str = "no reason given"


class Acknowledgement(msgspec.Struct):
    """What an answer 200 says: the numbers that may be forgotten, and which of them were refused."""

    ack: list[int]
    refused: list[Refusal] = msgspec.field(default_factory=list)


def request_of(boot: int, reports: Sequence[dict[str, Any]], sent_ms: int | None) -> dict[str, Any]:
    """A request as it goes over the wire. `sent_ms`: what the sender's clock shows; None: it does not say."""
    content: dict[str, Any] = {"boot": boot, "reports": reports}
    return content if sent_ms is None else {**content, "sent_at": iso_of(sent_ms)}


def iso_of(at_ms: int) -> str:
    """A time of the wire: ISO 8601 in UTC, to the millisecond."""
    return (EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class DeviceDoor:
    """`keys`: device -> key. With the encoding "mixed", half of the devices send MessagePack. `signing`: who is in it signs."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        keys: Mapping[str, str],
        encoding: Encoding = "json",
        signing: SigningKeys | None = None,
    ) -> None:
        self._signing = signing or {}
        self._session = session
        self._base = base_url.rstrip("/")
        self._keys = keys
        self._encoding = encoding

    async def post(self, device_id: str, boot: int, reports: list[dict[str, Any]], sent_ms: int | None) -> Answer:
        """`sent_ms`: what the device's clock shows; None: it does not say. Raises aiohttp.ClientError, TimeoutError or OSError."""
        content = request_of(boot, reports, sent_ms)
        packed = self._packs(device_id)
        encode = msgspec.msgpack.encode if packed else msgspec.json.encode
        if (key := self._signing.get(device_id)) is not None:
            written = encode(reports)
            signature = signature_of(key, device_id, boot, written)
            content = {**content, "reports": msgspec.Raw(written), "signature": signature}
        body = encode(content)
        headers = {
            "Authorization": f"Bearer {self._keys[device_id]}",
            "Content-Type": MSGPACK_TYPE if packed else JSON_TYPE,
        }
        url = f"{self._base}/v1/devices/{device_id}/reports"
        async with self._session.post(url, data=body, headers=headers) as answer:
            return Answer(answer.status, await answer.read(), answer.content_type, answer.headers.get("Retry-After"))

    def _packs(self, device_id: str) -> bool:
        if self._encoding == "mixed":
            return zlib.crc32(device_id.encode()) % 2 == 1
        return self._encoding == "msgpack"


def acknowledgement_of(answer: Answer) -> Acknowledgement:
    """Raises msgspec.DecodeError or UnicodeDecodeError."""
    if answer.content_type == MSGPACK_TYPE:
        return msgspec.msgpack.decode(answer.body, type=Acknowledgement)
    return msgspec.json.decode(answer.body, type=Acknowledgement)
