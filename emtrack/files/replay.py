"""`emtrack replay`: recorded positions and events through the HTTP door, as their devices would send them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import aiohttp
import msgspec

from emtrack.client import Backoff, DeviceDoor, DeviceSender, Persistence, Rejected, ServiceClock
from emtrack.clock import machine_ms
from emtrack.files.facts import FileRow, read_rows
from emtrack.forms.errors import FormError
from geofence import NotAnInstant, parse_instant

BATCH = 10
CONNECTIONS = 8
PATIENCE_S = 60.0
# A recording that the service does not take as it is would not be taken later: only "busy" is worth another attempt.
PERSISTENCE = Persistence(
    Backoff(cap_s=1.0), frozenset({429, 503}).__contains__, key_attempts=1, patience_s=PATIENCE_S
)
_OWN_TIME = {"position": "fix_time", "event": "event_time"}
_POSITION_FIELDS = (
    "fix_time", "lat_deg", "lon_deg", "precision_m", "mechanism", "recorded_time", "uploaded_time",
    "speed_kmh", "direction_deg", "satellites", "hdop",
)  # fmt: skip


class Recording(msgspec.Struct, frozen=True):
    """How the columns of a recording become fields. `renamed`: column -> field; `constants`: field -> value;
    `zone`: of times that carry none (None: such times are refused)."""

    renamed: dict[str, str] = {}
    constants: dict[str, str] = {}
    zone: str | None = None


class ReplayTotals(msgspec.Struct):
    """What came of a replay."""

    reports: int = 0
    acknowledged: int = 0
    refused: dict[str, int] = {}


class RecordedReport(msgspec.Struct, frozen=True):
    device_id: str
    own_ms: int
    fields: dict[str, Any]


class ReplayError(Exception):
    """The replay cannot go on. The message says what happened and what to do."""


def read_recording(paths: Sequence[Path], recording: Recording) -> tuple[list[RecordedReport], int]:
    """Reports in the order of the files, and how many rows could not be read at all. Raises FormError."""
    reports: list[RecordedReport] = []
    unreadable = 0
    for path in paths:
        for row in read_rows(path, ("device_id",), recording.renamed):
            report = _report(row, recording)
            if report is None:
                unreadable += 1
            else:
                reports.append(report)
    return reports, unreadable


def _report(row: FileRow, recording: Recording) -> RecordedReport | None:
    if row.fields is None:
        return None
    fields = {**row.fields, **recording.constants}
    device_id = fields.get("device_id")
    kind = "event" if "event_time" in fields else "position"
    own_time = _with_zone(fields.get(_OWN_TIME[kind]), recording.zone)
    fields[_OWN_TIME[kind]] = own_time
    if device_id is None:
        return None
    try:
        own_ms = parse_instant(own_time)
    except NotAnInstant:
        own_ms = 0  # sent all the same: the service refuses it, and says why
    return RecordedReport(str(device_id), own_ms, _event(fields) if kind == "event" else _position(fields))


def _with_zone(text: Any, zone: str | None) -> Any:
    if zone is None or not isinstance(text, str):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone)).isoformat()


def _event(fields: Mapping[str, Any]) -> dict[str, Any]:
    event = {"type": "event", "event": fields.get("type"), "event_time": fields.get("event_time")}
    unit = fields.get("requirement_id") or fields.get("hmu_id")
    return event if unit is None else {**event, "hmu_id": unit}


def _position(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "position", **{name: fields[name] for name in _POSITION_FIELDS if fields.get(name) is not None}}


def refuse_strangers(reports: Iterable[RecordedReport], known: Iterable[str]) -> None:
    """Raises FormError for a device that the orders do not name, before anything is entered or sent."""
    strangers = sorted({report.device_id for report in reports} - set(known))
    if strangers:
        raise FormError(f"the orders activate no device {strangers[0]!r}, which the recording names")


async def send_recording(
    reports: Iterable[RecordedReport],
    *,
    base_url: str,
    keys: Mapping[str, str],
    say: Callable[[str], None],
) -> ReplayTotals:
    """Send reports, each device's in the order given, none before its own time on the service's clock.

    Raises ReplayError where the service refuses a device, and TimeoutError where it does not answer for a minute.
    """
    batches = _batches(reports)
    boot = machine_ms()  # a boot of its own, so that the numbers of an earlier replay are not used again
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        clock = await ServiceClock.connect(base_url)
        door = DeviceDoor(session, base_url, keys)
        sender = DeviceSender(door, clock, persistence=PERSISTENCE, rejected=_give_up)
        await sender.run(_feed(sender, clock, batches, boot), CONNECTIONS, asyncio.Event())
    totals = sender.totals
    sent = ReplayTotals(sum(len(batch.reports) for batch in batches), totals.acknowledged, dict(totals.refused))
    say(f"{sent.acknowledged} of {sent.reports} reports acknowledged")
    return sent


class Batch(NamedTuple):
    """Reports of one device that go together, numbered; not before `due_ms`."""

    due_ms: int
    device_id: str
    reports: list[dict[str, Any]]


def _batches(reports: Iterable[RecordedReport]) -> list[Batch]:
    """In the order in which they are due. Of a device, a batch waits for the one before it."""
    by_device: dict[str, list[RecordedReport]] = defaultdict(list)
    for report in reports:
        by_device[report.device_id].append(report)
    batches = [batch for device_id, own in by_device.items() for batch in _batches_of(device_id, own)]
    return sorted(batches, key=lambda batch: batch.due_ms)


def _batches_of(device_id: str, reports: Sequence[RecordedReport]) -> Iterator[Batch]:
    due_ms = 0
    for start in range(0, len(reports), BATCH):
        batch = reports[start : start + BATCH]
        due_ms = max(due_ms, *(report.own_ms for report in batch))
        yield Batch(due_ms, device_id, [{"seq": start + i, **report.fields} for i, report in enumerate(batch)])


async def _feed(sender: DeviceSender, clock: ServiceClock, batches: Iterable[Batch], boot: int) -> None:
    for batch in batches:
        await clock.sleep_until(batch.due_ms)
        await sender.accept(batch.device_id, boot, batch.reports)


def _give_up(refused: Rejected) -> None:
    raise ReplayError(f"the service answered {refused.status}: {refused.body.decode(errors='replace')}")
