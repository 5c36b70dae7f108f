"""`emtrack evaluate`: judge files with the core, without a server and without a database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from emtrack.files.facts import EVENT_COLUMNS, POSITION_COLUMNS, FileRow, read_rows
from emtrack.files.progress import Tell, nobody
from emtrack.files.refusals import refused_row
from emtrack.forms.lines import RefusedRow
from emtrack.forms.orders import Orders
from emtrack.forms.to_core import plans_of, sets_of
from geofence import (
    Activation,
    ActivationId,
    ActivationIndex,
    DeviceEvent,
    Fact,
    NotAnInstant,
    Plan,
    format_instant,
    parse_instant,
)
from geofence.judgement import Finding, judge_history
from geofence.shapes import ZoneSet
from ingest import (
    EventReport,
    PositionReport,
    Refusal,
    RefusalReason,
    fact_of,
    no_activation,
    read_event_row,
    read_position,
    unknown_device,
)


class Evaluation(NamedTuple):
    findings: list[tuple[Activation, Finding]]
    refused: list[RefusedRow]


Activations = ActivationIndex[object, ActivationId]


def activations_of(plans: Iterable[Plan]) -> Activations:
    """Which activation covers a device at an instant."""
    return ActivationIndex(
        (plan.activation.device_id, plan.activation, plan.activation.activation_id) for plan in plans
    )


def evaluate(orders: Orders, positions: Path, events: Path | None, until_ms: int, tell: Tell = nobody) -> Evaluation:
    """Judge files at `until_ms`. Raises FormError for a file that does not fit its form. `tell` is told how far it is."""
    plans, sets = plans_of(orders), sets_of(orders)
    if positions.suffix.lower() == ".parquet":
        return _evaluate_columns(plans, sets, positions, events, until_ms, tell)
    devices = activations_of(plans)
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


def _evaluate_columns(
    plans: Sequence[Plan],
    sets: Mapping[str, ZoneSet],
    positions: Path,
    events: Path | None,
    until_ms: int,
    tell: Tell,
) -> Evaluation:
    from emtrack.files.histories import Histories  # and with it pyarrow, which other files do not need

    refused: list[RefusedRow] = []
    facts: dict[str, list[Fact]] = defaultdict(list)
    with Histories(plans, positions, refused.append, tell) as histories:
        if events is not None:
            _gather(events, EVENT_COLUMNS, read_event_row, activations_of(plans), facts, refused)
        told = {name: [e for e in its if isinstance(e, DeviceEvent)] for name, its in facts.items()}
        return Evaluation(list(histories.judged(told, sets, until_ms)), refused)


Reader = (
    Callable[[Mapping[str, Any]], PositionReport | Refusal] | Callable[[Mapping[str, Any]], EventReport | Refusal]
)


def _gather(
    path: Path,
    columns: tuple[str, ...],
    reader: Reader,
    devices: Activations,
    facts: dict[str, list[Fact]],
    refused: list[RefusedRow],
) -> None:
    for row in read_rows(path, columns):
        taken = fact_of_row(row, reader, devices)
        if isinstance(taken, Refusal):
            refused.append(refused_row(path, row.line, taken))
        else:
            facts[taken[0]].append(taken[1])


def fact_of_row(row: FileRow, reader: Reader, devices: Activations) -> tuple[ActivationId, Fact] | Refusal:
    """The fact that a row tells, and the activation that it is of."""
    if row.fields is None:
        return Refusal(RefusalReason.UNREADABLE, row.trouble, "mend the row")
    report = reader(row.fields)
    if isinstance(report, Refusal):
        return report
    received_ms = _received_ms(row.fields.get("received_time"), report.own_ms)
    if isinstance(received_ms, Refusal):
        return received_ms
    device_id = row.fields.get("device_id")
    if not isinstance(device_id, str) or not devices.knows(device_id):
        return unknown_device(device_id)
    activation_id = devices.at(device_id, report.own_ms)
    if activation_id is None:
        return no_activation(f"device {device_id!r}", format_instant(report.own_ms))
    unit = report.hmu_id if isinstance(report, EventReport) else None
    return activation_id, fact_of(report, unit, received_ms, row.line)


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
