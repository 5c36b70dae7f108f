"""The device protocol over HTTP (CONTRACT.md), without the HTTP: bodies to reports and back."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Any, Literal

import msgspec

from ingest.reports import EventReport, PositionReport, Refusal, RefusalReason, read_report, read_sent_at
from ingest.signing import SentSignature, sent_signature
from ingest.strict import UnreadableText, read_json, read_msgpack
from ingest.usual import LARGEST_COUNTER, MAX_REPORTS, AsSent, Usual, read_usual

MAX_BODY_BYTES = 1_048_576

ContentType = Literal["application/json", "application/msgpack"]
CONTENT_TYPES: tuple[ContentType, ...] = ("application/json", "application/msgpack")


class WireError(Exception):
    """A request that cannot be taken. `status` of HTTP; the message says what to change.

    `keep`: the body is kept in quarantine as one refusal.
    """

    def __init__(self, status: int, message: str, *, keep: bool) -> None:
        super().__init__(message)
        self.status = status
        self.keep = keep


class Received(msgspec.Struct, frozen=True):
    """One report of a request. `seq` None where it was no number: it cannot be acknowledged by name. `raw`: as it was read; of a
    request of the usual shape, what it was sent in. `kept`: its bytes, of one that is kept in another way than as it was read."""

    boot: int
    seq: int | None
    raw: Any
    report: PositionReport | EventReport | Refusal
    kept: bytes | None = None

    @property
    def body(self) -> bytes:
        """MessagePack with sorted keys, the same for the same content in either content type. Worked out when it is asked for: of a
        request that is kept whole nobody does."""
        if self.kept is not None:
            return self.kept
        if isinstance(self.raw, AsSent):
            assert self.seq is not None, "reports of the usual shape have numbers"
            return packed_body(self.raw.report(self.seq))
        return packed_body(self.raw)

    @property
    def digest(self) -> bytes:
        """Stands for the content."""
        return digest_of(self.body)


class Body(msgspec.Struct, frozen=True):
    """The bytes of a request that could be read."""

    content: bytes
    content_type: ContentType


class SentReports(msgspec.Struct, frozen=True):
    """What a request brought. `sent_ms`: when it was sent, by the clock of its sender; None: it does not say so in a way that can be
    read. `signature`: None: it is not signed. `body`: as it came."""

    reports: list[Received]
    sent_ms: int | None = None
    boot: int = 0
    signature: SentSignature | None = None
    body: Body | None = None


_pack = msgspec.msgpack.Encoder(order="sorted").encode


def media_type(content_type: str | None) -> ContentType:
    """The content type of a request. Raises WireError 415."""
    named = (content_type or "").partition(";")[0].strip().lower()
    for known in CONTENT_TYPES:
        if named == known or (named == "application/x-msgpack" and known == "application/msgpack"):
            return known
    raise WireError(415, f"content type {named or 'missing'!r}; send {' or '.join(CONTENT_TYPES)}", keep=False)


def refuse_encoding(content_encoding: str | None) -> None:
    """What is compressed is not taken: how large it is would show only when it is unpacked. Raises WireError 415."""
    if (trouble := encoding_trouble(content_encoding)) is not None:
        raise WireError(415, trouble, keep=False)


def encoding_trouble(content_encoding: str | None) -> str | None:
    """What to tell who sends a body that is compressed; None for one that is not."""
    named = (content_encoding or "identity").strip().lower()
    return None if named == "identity" else f"Content-Encoding is {named[:40]!r}; send the body as it is, without one"


def read_request(body: bytes, content_type: ContentType) -> SentReports:
    """The reports of a request body, and when it was sent. A `sent_at` that is no time costs nobody a report: it is one refusal
    beside them. Raises WireError 400, 413 or 422."""
    usual = read_usual(body) if content_type == "application/json" else None
    return read_any(body, content_type) if usual is None else _usual_reports(usual, body)


def _usual_reports(usual: Usual, body: bytes) -> SentReports:
    boot, as_sent = usual.boot, AsSent(body)
    received = [Received(boot, seq, as_sent, report) for seq, report in usual.reports]
    return SentReports(received, usual.sent_ms, boot, None, Body(body, "application/json"))


def read_any(body: bytes, content_type: ContentType) -> SentReports:
    """`read_request`, of whatever shape. Raises WireError."""
    try:
        request = read_json(body) if content_type == "application/json" else read_msgpack(body)
    except UnreadableText as error:
        raise WireError(400, f"the body cannot be read as {content_type}: {error}", keep=True) from error
    boot, reports = _checked(request)
    received = [_received(boot, raw) for raw in reports]
    signature = sent_signature(request, body, content_type)
    sent_ms = read_sent_at(request)
    if isinstance(sent_ms, Refusal):
        received = [*received, Received(boot, None, {"sent_at": request["sent_at"]}, sent_ms)]
        sent_ms = None
    return SentReports(received, sent_ms, boot, signature, Body(body, content_type))


def received_in(body: bytes, boot: int) -> list[Received]:
    """The reports of a request that is in quarantine as one refusal: of one that could not be stored (MessagePack: a list of the
    bodies of its reports), or of one that can be read by now. Empty if no report of it can be read. Never raises."""
    try:
        bodies = msgspec.msgpack.decode(body, type=list[bytes])
        found = [_received(boot, msgspec.msgpack.decode(one)) for one in bodies]
    except msgspec.DecodeError:
        found = _read_by_now(body)
    return [] if all(isinstance(one.report, Refusal) for one in found) else found


def _read_by_now(body: bytes) -> list[Received]:
    for content_type in CONTENT_TYPES:
        with suppress(WireError):
            return read_request(body, content_type).reports
    return []


def _checked(request: Any) -> tuple[int, list[Any]]:
    if not isinstance(request, dict):
        raise WireError(422, 'the body is not an object; send {"boot": …, "reports": […]}', keep=True)
    boot, reports = request.get("boot"), request.get("reports")
    if not isinstance(boot, int) or not _is_counter(boot):
        raise WireError(422, "boot is not a whole number of 0 or more; send the device's boot counter", keep=True)
    if not isinstance(reports, list):
        raise WireError(422, "reports is not a list; send a list of reports", keep=True)
    if len(reports) > MAX_REPORTS:
        raise WireError(413, f"{len(reports)} reports; send at most {MAX_REPORTS:,} in one request", keep=False)
    return boot, reports


def _is_counter(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNTER


def _received(boot: int, raw: Any) -> Received:
    seq = raw.get("seq") if isinstance(raw, dict) else None
    if not _is_counter(seq):
        report: PositionReport | EventReport | Refusal = Refusal(
            RefusalReason.UNREADABLE, "seq is not a whole number of 0 or more", "number the reports of a boot"
        )
        return Received(boot, None, raw, report)
    return Received(boot, seq, raw, read_report(raw))


def packed_body(raw: Any) -> bytes:
    """A report as it is kept: MessagePack, keys sorted. A value that it cannot hold is kept so that the report reads
    the same when it is examined again: a number as a float if one can hold it, anything else as its text."""
    try:
        return _pack(raw)
    except (OverflowError, TypeError, ValueError):
        return _pack(_packable(raw))


def _packable(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {key if isinstance(key, str) else repr(key): _packable(value) for key, value in raw.items()}
    if isinstance(raw, list):
        return [_packable(value) for value in raw]
    if isinstance(raw, int) and not -(2**63) <= raw < 2**64:
        return float(raw) if abs(raw) < 1e300 else repr(raw)
    try:
        _pack(raw)
    except (OverflowError, TypeError, ValueError):
        return repr(raw)
    return raw


def kept_body(body: bytes, what: str) -> Received:
    """A body that cannot be read, as one refusal that is kept whole."""
    refusal = Refusal(RefusalReason.UNREADABLE, what, "send a body that can be read")
    return Received(0, None, body, refusal)


def digest_of(body: bytes) -> bytes:
    """16 bytes that stand for the content of a report."""
    return hashlib.blake2b(body, digest_size=16).digest()


class RefusedReport(msgspec.Struct, frozen=True):
    seq: int | None
    reason: str
    action: str


class Acknowledgement(msgspec.Struct, frozen=True):
    """The answer after the commit. `ack`: the sequence numbers that are committed, refused ones among them."""

    ack: list[int]
    refused: list[RefusedReport]


def encode_answer(answer: Acknowledgement, content_type: ContentType) -> bytes:
    encode = msgspec.json.encode if content_type == "application/json" else msgspec.msgpack.encode
    return encode(answer)
