"""What goes through the stream, and what comes back: MessagePack, no I/O."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgspec

from ingest import (
    Acknowledgement,
    Body,
    ContentType,
    Place,
    Received,
    Refusal,
    RefusalReason,
    RefusedReport,
    Signing,
    Submission,
    read_report,
    read_request,
)

SUBJECTS = "emtrack.*.*"
ANSWERS = "emtrack-answers"


_ANSWER_SUBJECT = re.compile(re.escape(ANSWERS) + r"\.[0-9a-f]{16}")


def new_answer_subject() -> str:
    """Where a gateway hears what came of its requests."""
    return f"{ANSWERS}.{secrets.token_hex(8)}"


def is_answer_subject(text: str) -> bool:
    """Whether it is one as gateways have: a worker says nothing anywhere else."""
    return _ANSWER_SUBJECT.fullmatch(text) is not None


def subject_of(shard: int, lane: str) -> str:
    return f"emtrack.{shard}.{lane}"


class SentReport(msgspec.Struct, array_like=True, frozen=True):
    """A report that came in another way than as a body that is sent on. `raw`: as it was read, in MessagePack; `kept`: bytes that are
    kept in its place. `refused`: reason, what and action of one that could not be read."""

    boot: int
    seq: int | None
    raw: bytes
    kept: bytes | None = None
    refused: tuple[str, str, str] | None = None


class SentSigning(msgspec.Struct, array_like=True, frozen=True):
    key_no: int | None
    boot: int
    signature: bytes
    reports: bytes


class SentRequest(msgspec.Struct, array_like=True, frozen=True):
    """A request, or the part of it that is for one shard. `number`: under which the gateway waits for its answer. `received_ms`: when
    the gateway had it, by its machine's clock. `body`: as it came; `of_body`: which of its reports, None: all. `reports`: of what has
    no body. `hear_since_ms`: see Submission."""

    number: int
    device_no: int
    received_ms: int
    content_type: ContentType | None = None
    body: bytes = b""
    of_body: list[int] | None = None
    reports: list[SentReport] = []
    is_unreadable: bool = False
    sent_ms: int | None = None
    signing: SentSigning | None = None
    hear_since_ms: int | None = None


class Message(msgspec.Struct, array_like=True, frozen=True):
    """`answer_to`: the subject on which its gateway listens."""

    answer_to: str
    requests: list[SentRequest]


class Outcome(IntEnum):
    COMMITTED = 0
    AGAIN = 1
    """Nothing of it is stored, or nobody knows: the device sends it again."""
    LATER = 2
    """The same, and not before `retry_after_s`."""


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """What became of a request. `ack`: numbers that are committed; `refused`: number, reason and action."""

    number: int
    outcome: Outcome
    ack: list[int] = []
    refused: list[tuple[int | None, str, str]] = []
    retry_after_s: int = 0

    @classmethod
    def committed(cls, number: int, said: Acknowledgement) -> Answer:
        return cls(number, Outcome.COMMITTED, said.ack, [(r.seq, r.reason, r.action) for r in said.refused])

    @property
    def acknowledgement(self) -> Acknowledgement:
        return Acknowledgement(self.ack, [RefusedReport(*one) for one in self.refused])


encode = msgspec.msgpack.Encoder().encode
decode_message = msgspec.msgpack.Decoder(Message).decode
decode_answers = msgspec.msgpack.Decoder(list[Answer]).decode


def sent_request(
    submission: Submission,
    number: int,
    received_ms: int,
    only: Sequence[int] | None,
    hear_since_ms: int | None = None,
) -> SentRequest:
    """`only`: which of its reports are for the shard; None: all. With `hear_since_ms`: none of them."""
    if hear_since_ms is not None:
        return SentRequest(number, submission.device_no, received_ms, hear_since_ms=hear_since_ms)
    signing = submission.signing
    signed = (
        None if signing is None else SentSigning(signing.key_no, signing.boot, signing.signature, signing.reports)
    )
    if submission.body is not None and submission.unreadable is None:
        return SentRequest(
            number, submission.device_no, received_ms, submission.body.content_type, submission.body.content,
            None if only is None else list(only), sent_ms=submission.sent_ms, signing=signed,
        )  # fmt: skip
    whole = submission.reports if submission.unreadable is None else [submission.unreadable]
    reports = [_sent_report(one) for one in (whole if only is None else (whole[place] for place in only))]
    return SentRequest(
        number, submission.device_no, received_ms, reports=reports, is_unreadable=submission.unreadable is not None,
        sent_ms=submission.sent_ms, signing=signed,
    )  # fmt: skip


def submission_of(request: SentRequest, done: Any, place: Place) -> Submission:
    """As the gateway had it. Raises what a body raises that cannot be read; the gateway has read it."""
    if request.hear_since_ms is not None:
        return Submission(request.device_no, [], done, place=place, hear_since_ms=request.hear_since_ms)
    signed = request.signing
    signing = None if signed is None else Signing(signed.key_no, signed.boot, signed.signature, signed.reports)
    if request.content_type is not None:
        reports = read_request(request.body, request.content_type).reports
        if request.of_body is not None:
            reports = [reports[index] for index in request.of_body]
        body = None if request.of_body is not None else Body(request.body, request.content_type)
        return Submission(request.device_no, reports, done, None, request.sent_ms, signing, body, place)
    received = [_received(one) for one in request.reports]
    if request.is_unreadable:
        return Submission(request.device_no, [], done, received[0], request.sent_ms, signing, None, place)
    return Submission(request.device_no, received, done, None, request.sent_ms, signing, None, place)


def _sent_report(received: Received) -> SentReport:
    refused = None
    if isinstance(received.report, Refusal):
        refused = (str(received.report.reason), received.report.what, received.report.action)
    return SentReport(received.boot, received.seq, received.body, received.kept, refused)


def _received(sent: SentReport) -> Received:
    raw = msgspec.msgpack.decode(sent.raw) if sent.kept is None else sent.raw
    if sent.refused is not None:
        reason, what, action = sent.refused
        return Received(sent.boot, sent.seq, raw, Refusal(RefusalReason(reason), what, action), sent.kept)
    return Received(sent.boot, sent.seq, raw, read_report(raw), sent.kept)


def size_of(request: SentRequest) -> int:
    """Bytes, about."""
    return len(request.body) + sum(len(report.raw) for report in request.reports) + 100
