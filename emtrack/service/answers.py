"""What devices are told after the commit, and what is told of a request that could not be stored."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ingest import (
    Acknowledgement,
    EventReport,
    Incoming,
    PositionReport,
    Received,
    Refusal,
    RefusalReason,
    RefusedReport,
    StoreOutcome,
    Submission,
    Tell,
    read_report,
    told_by,
)


def received_of(submission: Submission) -> Sequence[Received]:
    return submission.reports if submission.unreadable is None else [submission.unreadable]


def unstorable(submission: Submission, error: Exception) -> Submission:
    """The submission as one refusal that is kept whole: the database would not have it as reports."""
    what = f"the request could not be stored ({type(error).__name__})"
    refusal = Refusal(RefusalReason.UNREADABLE, what, "send its reports one by one to find the one that is wrong")
    body = msgspec.msgpack.encode([received.body for received in submission.reports])
    boot = submission.reports[0].boot if submission.reports else 0
    whole = Received(boot, None, None, refusal, kept=body)
    return msgspec.structs.replace(submission, unreadable=whole)


def read_body(body: bytes) -> PositionReport | EventReport | Refusal:
    """A report as it is kept. Never raises."""
    try:
        return read_report(msgspec.msgpack.decode(body))
    except msgspec.DecodeError:
        return Refusal(RefusalReason.UNREADABLE, "what is kept is no MessagePack", "look at its body in quarantine")


def answer_devices(
    batch: Sequence[Submission], incoming: Sequence[Incoming], outcome: StoreOutcome, tell: Tell
) -> None:
    """Tell each sender what is committed now. One that went away is told nothing and will send again."""
    position = 0
    for submission in batch:
        size = len(received_of(submission))
        items = incoming[position : position + size]
        position += size
        if not submission.done.done():
            submission.done.set_result(_acknowledgement(submission, items, outcome, tell))


def _acknowledgement(
    submission: Submission, items: Sequence[Incoming], outcome: StoreOutcome, tell: Tell
) -> Acknowledgement:
    """A refused report that is sent again is a duplicate, and is told again why it was refused."""
    refused = []
    for item in () if items and items[0].fact_id in outcome.whole else items:
        refusal = outcome.refused.get(item.fact_id) or told_by(item, tell)
        if isinstance(refusal, Refusal):
            action = f"{refusal.what}: {refusal.action}"
            refused.append(RefusedReport(item.received.seq, refusal.reason, action))
    return Acknowledgement([r.seq for r in submission.reports if r.seq is not None], refused)
