"""The scripted steps of an alert: which protocol applies, and where each step stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from alerts import POSSIBLE_ENTRY, Alert, Case, Protocol, StepState, Tick, chosen, states_of, ticks_of
from emtrack.record.protocols import protocol_of, protocols_for
from emtrack.record.wearer_details import load_details

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

SETS = """
SELECT DISTINCT s.set_id FROM requirement_versions r JOIN zone_set_versions n USING (set_version_no) JOIN zone_sets s USING (set_no)
WHERE r.wearer_no = $1 AND r.requirement_id = $2 AND upper_inf(r.recorded)
"""


class Script(NamedTuple):
    """`ticks`: all of the alert, of protocols that applied before, too."""

    protocol: Protocol
    states: list[StepState]
    ticks: list[Tick]


async def script_of(connection: Connection, alert: Alert) -> Script:
    """Once a step of a protocol is ticked, this version of it stays for the alert: nothing moves under the hand."""
    ticks = await ticks_of(connection, alert.alert_no)
    protocol = await _begun(connection, ticks) or chosen(
        await protocols_for(connection, alert.wearer_no), await _case(connection, alert)
    )
    return Script(protocol, states_of(protocol, ticks, alert.raised_ms), ticks)


async def _begun(connection: Connection, ticks: list[Tick]) -> Protocol | None:
    if not ticks or ticks[-1].protocol_no is None:
        return None
    return await protocol_of(connection, ticks[-1].protocol_no)


async def _case(connection: Connection, alert: Alert) -> Case:
    kind = POSSIBLE_ENTRY if alert.possible is not None else alert.kind
    if alert.wearer_no is None:
        return Case(kind)
    details = (await load_details(connection, [alert.wearer_no])).get(alert.wearer_no)
    order = None if details is None or details.order is None else details.order.kind
    zones: set[str] = set()
    if alert.requirement_id is not None:
        rows = await connection.fetch(SETS, alert.wearer_no, alert.requirement_id)
        zones = {alert.requirement_id, *(row["set_id"] for row in rows)}
    return Case(kind, alert.wearer_no, order, frozenset(zones))
