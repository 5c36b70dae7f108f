"""Scripted steps in the record: a version for each change, with who and when. What they mean: `alerts/protocols.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from alerts import Protocol, Step, StepAction
from emtrack.forms.protocols import ProtocolForm, StepForm

if TYPE_CHECKING:
    import asyncpg

    from emtrack.db.connect import Connection
    from emtrack.record.entering import OrderWriter

COLUMNS = "protocol_no, version, steps, wearer_no, order_kind, zone, kind"
SCOPE = """
    wearer_no IS NOT DISTINCT FROM $1 AND order_kind IS NOT DISTINCT FROM $2 AND zone IS NOT DISTINCT FROM $3
    AND kind IS NOT DISTINCT FROM $4
"""
# What can be for an alert: of everybody, and of its person. There is one row for a scope.
FOR = f"""
SELECT {COLUMNS} FROM protocols
WHERE upper_inf(recorded) AND jsonb_array_length(steps) > 0 AND (wearer_no IS NULL OR wearer_no = $1)
"""  # noqa: S608
ONE = f"SELECT {COLUMNS} FROM protocols WHERE protocol_no = $1"  # noqa: S608
ALL = f"""
SELECT {COLUMNS}, (SELECT w.wearer_id FROM people w WHERE w.wearer_no = p.wearer_no) AS wearer_id
FROM protocols p WHERE upper_inf(recorded) AND jsonb_array_length(steps) > 0 ORDER BY protocol_no
"""  # noqa: S608
NEWEST = f"SELECT {COLUMNS}, upper_inf(recorded) AS holds FROM protocols WHERE {SCOPE} ORDER BY version DESC LIMIT 1"  # noqa: S608
CLOSE = f"UPDATE protocols SET recorded = tstzrange(lower(recorded), $5) WHERE upper_inf(recorded) AND {SCOPE}"  # noqa: S608
NEW = """
INSERT INTO protocols (wearer_no, order_kind, zone, kind, version, steps, recorded, entered_by)
VALUES ($1, $2, $3, $4, $5, $6, tstzrange($7, NULL), $8)
"""


async def protocols_for(connection: Connection, wearer_no: int | None) -> list[Protocol]:
    """Those that may be for an alert of a person, or of nobody in particular."""
    return [_protocol(row) for row in await connection.fetch(FOR, wearer_no)]


async def protocol_of(connection: Connection, protocol_no: int) -> Protocol | None:
    """A version, whether it holds or not."""
    row = await connection.fetchrow(ONE, protocol_no)
    return None if row is None else _protocol(row)


def _protocol(row: asyncpg.Record) -> Protocol:
    steps = tuple(Step(step["text"], StepAction(step["action"]), step["wait_ms"]) for step in row["steps"])
    return Protocol(
        row["protocol_no"], row["version"], steps, row["wearer_no"], row["order_kind"], row["zone"], row["kind"]
    )


async def enter_protocols(writer: OrderWriter, forms: Sequence[ProtocolForm], wearers: Mapping[str, int]) -> None:
    """Each instead of what was entered for the same; what the orders do not name stays."""
    for form in forms:
        wearer_no = None if form.wearer_id is None else wearers[form.wearer_id]
        scope = (wearer_no, form.order, form.zone, form.kind)
        steps = [_stored(step) for step in form.steps]
        row = await writer.connection.fetchrow(NEWEST, *scope)
        if (row is not None and row["holds"] and row["steps"] == steps) or (row is None and not steps):
            continue
        await writer.connection.execute(CLOSE, *scope, writer.now)
        version = 1 if row is None else row["version"] + 1
        await writer.connection.execute(NEW, *scope, version, steps, writer.now, writer.who)
        writer.changed(
            "protocol entered", None, wearer_id=form.wearer_id, order=form.order, zone=form.zone, kind=form.kind
        )


def _stored(form: StepForm) -> dict[str, object]:
    wait_ms = None if form.wait_s is None else round(form.wait_s * 1000)
    return {"text": form.text, "action": str(form.action), "wait_ms": wait_ms}


async def protocol_forms(connection: Connection) -> list[ProtocolForm]:
    """As orders.json carries them."""
    return [_form(row) for row in await connection.fetch(ALL)]


def _form(row: asyncpg.Record) -> ProtocolForm:
    steps = [
        StepForm(step.text, step.action, None if step.wait_ms is None else step.wait_ms / 1000)
        for step in _protocol(row).steps
    ]
    return ProtocolForm(steps, row["wearer_id"], row["order_kind"], row["zone"], row["kind"])
