"""What people ask for: to be away, to be excused, to have an order varied. Who asked, with which evidence, who decided, and what that
did to orders and ledger; appended."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from alerts import NothingToExcuse, excuse, ledger_of
from emtrack.errors import MendableError
from emtrack.forms.moment import Moment
from emtrack.forms.orders import AbsenceForm, Orders
from emtrack.orders.entry import enter_orders
from emtrack.record.changes import lock_orders
from emtrack.record.entering import OrdersConflict, span
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    import asyncpg

    from emtrack.db.connect import Connection

LONGEST_TEXT = 1_000
LONGEST_ABSENCE_MS = 92 * 86_400_000
MOST = 100

COLUMNS = """
    q.request_no, q.wearer_no, p.wearer_id, p.name, q.kind, lower(q.during) AS begin_at, upper(q.during) AS end_at,
    q.finding_no, q.entered_at, q.entered_by, d.is_granted, d.decided_at, d.decided_by, t.*
"""
JOINED = """
    order_requests q JOIN people p USING (wearer_no) LEFT JOIN LATERAL (
        SELECT * FROM request_decisions x WHERE x.request_no = q.request_no ORDER BY decision_no LIMIT 1) d ON true
    CROSS JOIN LATERAL (
        SELECT q.asked_by, q.what, q.evidence, d.granted_by, d.why, d.effect WHERE NOT p.is_closed
        UNION ALL SELECT '', '', NULL, '', '', '' WHERE p.is_closed) t
"""
LISTED = f"""
SELECT {COLUMNS} FROM {JOINED} WHERE $1::bigint IS NULL OR q.wearer_no = $1
ORDER BY d.decided_at IS NOT NULL, CASE WHEN d.decided_at IS NULL THEN q.request_no END, d.decided_at DESC LIMIT $2
"""  # noqa: S608  a constant made of constants
ONE = f"SELECT {COLUMNS} FROM {JOINED} WHERE q.request_no = $1"  # noqa: S608
ENTER = """
INSERT INTO order_requests (wearer_no, kind, asked_by, during, finding_no, what, evidence, entered_at, entered_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING request_no
"""
DECIDE = """
INSERT INTO request_decisions (request_no, is_granted, granted_by, why, effect, decided_at, decided_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
OF_FINDING = "SELECT wearer_no FROM atv_lines WHERE finding_no = $1 LIMIT 1"


class RequestKind(StrEnum):
    ABSENCE = "absence"
    EXCUSE = "excuse"
    VARIATION = "variation"


class Asked(NamedTuple):
    """What somebody asks for. `begin_ms`, `end_ms`: of an absence; `finding_no`: that is to be excused."""

    kind: RequestKind
    asked_by: str
    what: str
    evidence: str | None = None
    begin_ms: int | None = None
    end_ms: int | None = None
    finding_no: int | None = None


class Decision(NamedTuple):
    """Whose decision it is (`granted_by`), who entered it, why, and what it did."""

    is_granted: bool
    granted_by: str
    why: str
    effect: str
    decided_ms: int
    decided_by: str


class OrderRequest(NamedTuple):
    """Texts are empty where the record is closed to the asker. `decision` None: it waits."""

    request_no: int
    wearer_no: int
    wearer_id: str
    name: str | None
    asked: Asked
    entered_ms: int
    entered_by: str
    decision: Decision | None


class UnfitRequest(MendableError):
    """What cannot be entered or decided. The message says what to change."""


async def requests_of(connection: Connection, wearer_no: int | None = None) -> list[OrderRequest]:
    """Of a person, or of everybody whom the asker sees: those that wait first, the oldest first; then the newest decisions."""
    return [_request(row) for row in await connection.fetch(LISTED, wearer_no, MOST)]


def _request(row: asyncpg.Record) -> OrderRequest:
    begin, end = row["begin_at"], row["end_at"]
    asked = Asked(
        RequestKind(row["kind"]), row["asked_by"], row["what"], row["evidence"], None if begin is None else instant_of(begin),
        None if end is None else instant_of(end), row["finding_no"],
    )  # fmt: skip
    decision = None
    if row["decided_at"] is not None:
        decision = Decision(
            row["is_granted"], row["granted_by"], row["why"], row["effect"], instant_of(row["decided_at"]), row["decided_by"]
        )  # fmt: skip
    return OrderRequest(
        row["request_no"], row["wearer_no"], row["wearer_id"], row["name"], asked,
        instant_of(row["entered_at"]), row["entered_by"],
        decision,
    )  # fmt: skip


async def enter_request(connection: Connection, wearer_no: int, asked: Asked, *, who: str, now_ms: int) -> int:
    """Its number. Raises UnfitRequest."""
    _refuse_unfit(asked)
    if asked.finding_no is not None and await connection.fetchval(OF_FINDING, asked.finding_no) != wearer_no:
        raise UnfitRequest("Select a violation of this person that stands on the ledger.")
    during = None if asked.begin_ms is None or asked.end_ms is None else span(asked.begin_ms, asked.end_ms)
    number: int = await connection.fetchval(
        ENTER, wearer_no, str(asked.kind), asked.asked_by, during, asked.finding_no, asked.what, asked.evidence,
        datetime_of(now_ms), who,
    )  # fmt: skip
    return number


def _refuse_unfit(asked: Asked) -> None:
    for text, what in ((asked.asked_by, "who asked, and how"), (asked.what, "what is asked for, and why")):
        if not 0 < len(text) <= LONGEST_TEXT:
            raise UnfitRequest(f"Enter {what}, in at most 1,000 characters.")
    if asked.evidence is not None and len(asked.evidence) > LONGEST_TEXT:
        raise UnfitRequest("The evidence has at most 1,000 characters.")
    if asked.kind is RequestKind.EXCUSE and asked.finding_no is None:
        raise UnfitRequest("Select a violation of this person that stands on the ledger.")
    if asked.kind is RequestKind.ABSENCE:
        if asked.begin_ms is None or asked.end_ms is None or asked.begin_ms >= asked.end_ms:
            raise UnfitRequest("The end is not after the beginning. Choose a later end.")
        if asked.end_ms - asked.begin_ms > LONGEST_ABSENCE_MS:
            raise UnfitRequest("An absence lasts at most 92 days. A longer one is a variation of the order.")


async def decide(
    connection: Connection, request_no: int, *, granted: bool, granted_by: str, why: str, who: str, now_ms: int
) -> OrderRequest:
    """Grant it or not; what is granted is carried out in the same transaction, which is the caller's. Raises UnfitRequest."""
    for text, what in ((granted_by, "whose decision it is"), (why, "why")):
        if not 0 < len(text) <= LONGEST_TEXT:
            raise UnfitRequest(f"Enter {what}, in at most 1,000 characters.")
    await lock_orders(connection)
    row = await connection.fetchrow(ONE, request_no)
    if row is None:
        raise UnfitRequest(f"There is no request {request_no}.")
    request = _request(row)
    if request.decision is not None:
        raise UnfitRequest(f"{request.decision.decided_by} has decided this request already.")
    effect = await _carry_out(connection, request, who, now_ms) if granted else "Nothing was changed."
    await connection.execute(DECIDE, request_no, granted, granted_by, why, effect, datetime_of(now_ms), who)
    return request


async def _carry_out(connection: Connection, request: OrderRequest, who: str, now_ms: int) -> str:
    """What it did, for people."""
    asked = request.asked
    reason = f"request {request.request_no}" + (f": {asked.what}" if asked.what else "")
    if asked.kind is RequestKind.ABSENCE:
        assert asked.begin_ms is not None and asked.end_ms is not None, "an absence has a time"  # noqa: PT018
        absence = AbsenceForm(request.wearer_id, Moment(asked.begin_ms), Moment(asked.end_ms), reason[:LONGEST_TEXT])
        try:
            await enter_orders(connection, Orders(absences=[absence]), who=who, now_ms=now_ms)
        except OrdersConflict as error:
            raise UnfitRequest(str(error)) from error
        return (
            "The absence was entered. That time is judged again, and what no longer stands is taken off the ledger."
        )
    if asked.kind is RequestKind.EXCUSE:
        assert asked.finding_no is not None, "an excuse is of a finding"
        try:
            await excuse(connection, asked.finding_no, who=who, why=reason[:LONGEST_TEXT], now_ms=now_ms)
        except NothingToExcuse as error:
            raise UnfitRequest(f"It cannot be excused: {error}.") from error
        newest = (await ledger_of(connection, request.wearer_no, 1))[0]
        minutes = abs(newest.amount_ms) / 60_000
        return f"{minutes:g} minutes were taken off the ledger of {newest.requirement_id}; the finding stands."
    return "Whoever keeps the order varies it; the change stands under the person's orders."
