"""The findings that a turn changed, as the alerts library takes them: plain data, and where to look for more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from alerts import OBLIGED_IS_GRAVER, FindingChange, Raised, RaisedFinding, note_unit_silences, raise_alerts
from emtrack.db.connect import Connection
from emtrack.db.ids import IdBlocks
from emtrack.record.findings import ShownFinding, load_findings
from emtrack.record.home_units import store_unit_calls
from emtrack.service.activations import ActivationUpdate, LiveActivation, LiveActivations
from emtrack.service.home_units import UnitLook
from geofence import Kind
from geofence.judgement import Finding


async def raise_from_updates(
    connection: Connection,
    updates: Sequence[ActivationUpdate],
    activations: LiveActivations,
    alert_nos: IdBlocks,
    now_ms: int,
) -> Raised:
    """Inside the turn's transaction, after its findings were recorded."""
    shown = {update.live.number: update.shown for update in updates}

    async def find(finding_nos: Sequence[int]) -> list[RaisedFinding]:
        found = []
        for number, (activation_no, finding) in (await load_findings(connection, finding_nos)).items():
            live = activations.find(activation_no)
            if live is not None and finding is not None:
                as_shown = shown.get(activation_no, live.shown)
                found.append(_raised(live, as_shown, number, finding, FindingChange.NONE, ""))
        return found

    return await raise_alerts(
        connection,
        list(_changed(updates)),
        find=find,
        count_active=activations.count_active,
        take_numbers=alert_nos.take,
        now_ms=now_ms,
    )


async def raise_from_units(connection: Connection, look: UnitLook, alert_nos: IdBlocks, now_ms: int) -> Raised:
    """Keep when home units were heard, and raise or end the alerts of those that do not call in. Likewise."""
    await store_unit_calls(connection, look.called)
    return Raised(*await note_unit_silences(connection, look.silent, look.ended, alert_nos.take, now_ms))


def _changed(updates: Sequence[ActivationUpdate]) -> Iterator[RaisedFinding]:
    """The findings that the updates changed, each as its newest version says."""
    for update in updates:
        for record in update.records:
            yield _raised(
                update.live, update.shown, record.finding_no, record.finding, FindingChange(record.change), record.why
            )


def _raised(
    live: LiveActivation,
    shown: Mapping[int, ShownFinding],
    finding_no: int,
    finding: Finding,
    change: FindingChange,
    why: str,
) -> RaisedFinding:
    assignment = live.assignment
    return RaisedFinding(
        finding_no, assignment.wearer_no, live.number, assignment.plan.activation.network, finding, change, why,
        obliged=_is_obliged(live, finding), is_silent=finding.kind is Kind.UNVERIFIED and _is_silent(shown),
    )  # fmt: skip


def _is_obliged(live: LiveActivation, finding: Finding) -> bool:
    """Asked only where the grade goes by it."""
    if finding.kind not in OBLIGED_IS_GRAVER:
        return False
    unit = finding.requirement_id if finding.kind is Kind.HMU else None
    return live.judge.obliged_at(finding.begin_ms, unit)


def _is_silent(shown: Mapping[int, ShownFinding]) -> bool:
    return any(s.finding.kind is Kind.NO_COMMUNICATION and s.finding.end_ms is None for s in shown.values())
