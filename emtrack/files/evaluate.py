"""`emtrack evaluate`: judge files with the core, without a server and without a database."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from emtrack.files.facts import EVENT_COLUMNS, POSITION_COLUMNS, Row, read_rows
from emtrack.forms.orders import Orders, plans_of, sets_of
from geofence.facts import DeviceEvent, Fact, Position
from geofence.judgement.findings import Finding
from geofence.judgement.judge import judge_history
from geofence.obligations import Activation, Plan
from geofence.words import ActivationId, NotAnInstant, format_instant, parse_instant
from ingest.reports import (
    EventReport,
    PositionReport,
    Refusal,
    RefusalReason,
    no_activation,
    read_event_row,
    read_position,
    unknown_device,
)


class RefusedRow(msgspec.Struct, frozen=True):
    """A line of refusals.jsonl."""

    file: str
    line: int
    reason: str
    what: str
    action: str


class FindingLine(msgspec.Struct, frozen=True):
    """A line of findings.jsonl, in the order of CONTRACT.md."""

    wearer_id: str
    activation_id: str
    requirement_id: str | None
    kind: str
    reason: str | None
    begin: str
    end: str | None
    known_at: str
    within_grace: bool
    zone_id: str | None
    """The member of a shared zone set that it is about; null for a requirement with a zone of its own."""


LineKey = tuple[str, int, str, bool, str, str, str]


def finding_line(activation: Activation, finding: Finding) -> tuple[LineKey, FindingLine]:
    """A finding as a line, and the key that lines are sorted by."""
    requirement_id = finding.requirement_id
    line = FindingLine(
        wearer_id=activation.wearer_id,
        activation_id=activation.activation_id,
        requirement_id=requirement_id,
        kind=str(finding.kind),
        reason=None if finding.reason is None else str(finding.reason),
        begin=format_instant(finding.begin_ms),
        end=None if finding.end_ms is None else format_instant(finding.end_ms),
        known_at=format_instant(finding.known_ms),
        within_grace=finding.within_grace,
        zone_id=finding.zone_id,
    )
    key = (
        line.wearer_id,
        finding.begin_ms,
        line.kind,
        requirement_id is not None,
        requirement_id or "",
        line.activation_id,
        line.reason or "",
    )
    return key, line


def finding_lines(found: Iterable[tuple[Activation, Finding]]) -> Iterator[bytes]:
    """Findings as sorted JSON lines, each with its line end."""
    keyed = sorted((finding_line(activation, finding) for activation, finding in found), key=lambda pair: pair[0])
    for _, line in keyed:
        yield json.dumps(msgspec.to_builtins(line), ensure_ascii=False).encode() + b"\n"


class Evaluation(NamedTuple):
    findings: list[tuple[Activation, Finding]]
    refused: list[RefusedRow]


class Devices:
    """Which activation covers a device at an instant."""

    def __init__(self, plans: Iterable[Plan]) -> None:
        self._by_device: dict[str, list[Activation]] = defaultdict(list)
        for plan in plans:
            self._by_device[plan.activation.device_id].append(plan.activation)
        for activations in self._by_device.values():
            activations.sort(key=lambda activation: activation.from_ms)

    def activation_at(self, device_id: object, own_ms: int) -> ActivationId | Refusal:
        activations = self._by_device.get(device_id) if isinstance(device_id, str) else None
        if activations is None:
            return unknown_device(device_id)
        index = bisect_right(activations, own_ms, key=lambda activation: activation.from_ms) - 1
        if index < 0 or own_ms >= activations[index].to_ms:
            return no_activation(f"device {device_id!r}", format_instant(own_ms))
        return activations[index].activation_id


def evaluate(orders: Orders, positions: Path, events: Path | None, until_ms: int) -> Evaluation:
    """Judge files at `until_ms`. Raises FormError for a file that does not fit its form."""
    plans, sets = plans_of(orders), sets_of(orders)
    devices = Devices(plans)
    refused: list[RefusedRow] = []
    facts: dict[str, list[Fact]] = defaultdict(list)
    _gather(positions, POSITION_COLUMNS, read_position, devices, facts, refused)
    if events is not None:
        _gather(events, EVENT_COLUMNS, read_event_row, devices, facts, refused)
    found = []
    for plan in plans:
        activation = plan.activation
        found += [(activation, f) for f in judge_history(plan, facts[activation.activation_id], until_ms, sets)]
    return Evaluation(found, refused)


Report = PositionReport | EventReport
Reader = (
    Callable[[Mapping[str, Any]], PositionReport | Refusal] | Callable[[Mapping[str, Any]], EventReport | Refusal]
)


def _gather(
    path: Path,
    columns: tuple[str, ...],
    reader: Reader,
    devices: Devices,
    facts: dict[str, list[Fact]],
    refused: list[RefusedRow],
) -> None:
    for row in read_rows(path, columns):
        taken = fact_of_row(row, reader, devices)
        if isinstance(taken, Refusal):
            refused.append(RefusedRow(path.name, row.line, taken.reason, taken.what, taken.action))
        else:
            facts[taken[0]].append(taken[1])


def fact_of_row(row: Row, reader: Reader, devices: Devices) -> tuple[ActivationId, Fact] | Refusal:
    """The fact that a row tells, and the activation that it is of."""
    if row.fields is None:
        return Refusal(RefusalReason.UNREADABLE, row.trouble, "mend the row")
    report = reader(row.fields)
    if isinstance(report, Refusal):
        return report
    received_ms = _received_ms(row.fields.get("received_time"), report.own_ms)
    if isinstance(received_ms, Refusal):
        return received_ms
    activation = devices.activation_at(row.fields.get("device_id"), report.own_ms)
    if isinstance(activation, Refusal):
        return activation
    return activation, fact_of(report, received_ms, row.line)


def _received_ms(value: object, own_ms: int) -> int | Refusal:
    if value is None:
        return own_ms
    try:
        if not isinstance(value, str):
            raise NotAnInstant(f"{value!r} is not a time")
        return parse_instant(value)
    except NotAnInstant as error:
        action = "write it in ISO 8601 with a zone, or leave it out"
        return Refusal(RefusalReason.BAD_TIME, f"received_time: {error}", action)


def fact_of(report: Report, received_ms: int, fact_id: int) -> Fact:
    """A report as the core takes it; a home unit is named by its requirement."""
    if isinstance(report, EventReport):
        return DeviceEvent(report.event_ms, report.type, report.hmu_id, received_ms, fact_id)
    return Position(
        report.fix_ms, report.lat_deg, report.lon_deg, report.precision_m, report.mechanism, received_ms, fact_id
    )
