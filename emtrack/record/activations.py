"""Activations in the record: which device is on whom, from when to when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg

from emtrack.forms.moment import end_of
from emtrack.forms.orders import ActivationForm
from emtrack.record.changes import ACTIVATION_ENTERED
from emtrack.record.entering import OrdersConflict, OrderWriter, overlapped, span, until_words
from geofence import EvidenceKind

ACTIVATIONS = """
SELECT a.activation_id, a.activation_no, v.device_no, v.wearer_no, v.during, v.report_interval_ms, v.network, v.evidence
FROM activations a LEFT JOIN activation_versions v ON v.activation_no = a.activation_no AND upper_inf(v.recorded)
WHERE a.activation_id = ANY($1::text[])
"""
CLOSE_ACTIVATION = """
UPDATE activation_versions SET recorded = tstzrange(lower(recorded), $2) WHERE activation_no = $1 AND upper_inf(recorded)
"""
NEW_ACTIVATION = "INSERT INTO activations (activation_id, entered_at) VALUES ($1, $2) RETURNING activation_no"
NEW_ACTIVATION_VERSION = """
INSERT INTO activation_versions
    (activation_no, device_no, wearer_no, during, report_interval_ms, network, evidence, recorded, entered_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
OVERLAPPING = """
SELECT a.activation_id, w.wearer_id, lower(v.during) AS begin_at, upper(v.during) AS end_at
FROM activation_versions v JOIN activations a USING (activation_no) JOIN wearers w USING (wearer_no)
WHERE v.device_no = $1 AND v.during && $2 AND upper_inf(v.recorded) ORDER BY 3 LIMIT 1
"""


class _Content(NamedTuple):
    """What a version says, named as its columns are."""

    device_no: int
    wearer_no: int
    during: Any
    report_interval_ms: int
    network: str | None
    evidence: list[str]


class _Changed(NamedTuple):
    """An activation that is entered or varied. `row`: what is there already."""

    form: ActivationForm
    row: asyncpg.Record | None
    wanted: _Content


async def enter_activations(
    writer: OrderWriter, forms: Sequence[ActivationForm], wearers: Mapping[str, int], devices: Mapping[str, int]
) -> None:
    """Raises OrdersConflict where a device would be on two people at one time."""
    rows = await writer.connection.fetch(ACTIVATIONS, [form.activation_id for form in forms])
    known = {row["activation_id"]: row for row in rows}
    changed = []
    for form in forms:
        wanted, row = _content(form, wearers, devices), known.get(form.activation_id)
        if row is None or tuple(row[name] for name in _Content._fields) != wanted:
            changed.append(_Changed(form, row, wanted))
    for one in changed:  # all old versions end before the first new one begins: two tags may be swapped
        if one.row is not None:
            await writer.connection.execute(CLOSE_ACTIVATION, one.row["activation_no"], writer.now)
    for one in changed:
        await _enter(writer, one)


def _content(form: ActivationForm, wearers: Mapping[str, int], devices: Mapping[str, int]) -> _Content:
    during = span(form.from_.ms, end_of(form.to))
    interval_ms = int(form.report_interval_s * 1000)
    evidence = [str(kind) for kind in EvidenceKind if kind in form.evidence]
    return _Content(devices[form.device_id], wearers[form.wearer_id], during, interval_ms, form.network, evidence)


async def _enter(writer: OrderWriter, changed: _Changed) -> None:
    form, row, wanted = changed
    await _refuse_overlap(writer, form, wanted)
    number = None if row is None else row["activation_no"]
    if number is None:
        number = await writer.connection.fetchval(NEW_ACTIVATION, form.activation_id, writer.now)
    await writer.connection.execute(NEW_ACTIVATION_VERSION, number, *wanted, writer.since, writer.who)
    for wearer_no in {wanted.wearer_no} | ({row["wearer_no"]} if row is not None and row["wearer_no"] else set()):
        writer.changed(ACTIVATION_ENTERED, wearer_no, activation_id=form.activation_id)


async def _refuse_overlap(writer: OrderWriter, form: ActivationForm, wanted: _Content) -> None:
    row = await writer.connection.fetchrow(OVERLAPPING, wanted.device_no, wanted.during)
    if row is not None:
        raise OrdersConflict(
            f"The orders were not entered, because activation {form.activation_id!r} overlaps activation "
            f"{row['activation_id']!r} of the same device {form.device_id!r}, which is on wearer {row['wearer_id']!r} "
            f"from {row['begin_at']:%Y-%m-%dT%H:%M:%SZ} {until_words(row)}. End the first before the second begins.",
            overlapped(row, activation_id=row["activation_id"], wearer_id=row["wearer_id"]),
        )
