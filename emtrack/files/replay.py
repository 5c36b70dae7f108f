"""`emtrack replay`: recorded positions and events through the HTTP door, as their devices would send them.

What a home unit sent (`sent_by`) goes under the key of the unit: of the tag whose fact it is, or, where it happened to the unit
itself, once for everybody who stands with it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import aiohttp
import msgspec

from emtrack.client import Backoff, DeviceDoor, DeviceSender, Persistence, Rejected, ServiceClock
from emtrack.clock import machine_ms
from emtrack.files.facts import FileRow, read_rows
from emtrack.forms.wall_time import NoSuchTime, TwoSuchTimes, instant_of_wall, is_wall_time, zone_named
from geofence import EventType, NotAnInstant, format_instant, parse_instant
from ingest import OF_THE_UNIT_ITSELF

BATCH = 10
UNIT_BATCH_MS = 60_000
"""A home unit sends what it hears at once, and not in tens: a call of its own that waited would be a silence."""
CONNECTIONS = 8
PATIENCE_S = 60.0
# A recording that the service does not take as it is would not be taken later: only "busy" is worth another attempt.
PERSISTENCE = Persistence(
    Backoff(cap_s=1.0), frozenset({429, 503}).__contains__, key_attempts=1, patience_s=PATIENCE_S
)
_OWN_TIME = {"position": "fix_time", "event": "event_time"}
_TIMES = ("fix_time", "event_time", "recorded_time", "uploaded_time")
MOST_NAMED = 5
_OF_THE_UNIT = OF_THE_UNIT_ITSELF - {EventType.HEARTBEAT}
_POSITION_FIELDS = (
    "fix_time", "lat_deg", "lon_deg", "precision_m", "mechanism", "recorded_time", "uploaded_time",
    "speed_kmh", "direction_deg", "satellites", "hdop",
)  # fmt: skip


class Recording(msgspec.Struct, frozen=True):
    """How the columns of a recording become fields. `renamed`: column -> field; `constants`: field -> value;
    `timezone`: of times that carry none (None: such times are refused)."""

    renamed: dict[str, str] = {}
    constants: dict[str, str] = {}
    timezone: str | None = None


class ReplayTotals(msgspec.Struct):
    """What came of a replay."""

    reports: int = 0
    acknowledged: int = 0
    refused: dict[str, int] = {}


class RecordedReport(msgspec.Struct, frozen=True):
    """A report as its sender sends it, but for its number. `device_id`: whose fact it is; `sent_by`: the home unit that sent it, or
    None: the device itself."""

    device_id: str
    own_ms: int
    fields: dict[str, Any]
    sent_by: str | None = None

    @property
    def sender_id(self) -> str:
        """Under whose key it goes."""
        return self.device_id if self.sent_by is None else self.sent_by


class Strangers(NamedTuple):
    """Of whom the orders know nothing, and how many rows name each: devices that they do not activate, senders that they do not
    enter as home units."""

    devices: dict[str, int]
    units: dict[str, int]


class ReplayError(Exception):
    """The replay cannot go on. The message says what happened and what to do."""


class LeftOut(NamedTuple):
    """A row that is not sent: nobody could say of whom or when it is. `reason`: by which such rows are counted."""

    file: str
    line: int
    reason: str
    what: str


def read_recording(paths: Sequence[Path], recording: Recording) -> tuple[list[RecordedReport], list[LeftOut]]:
    """Reports in the order of the files, and the rows that cannot be sent. Raises FormError, also for a time zone that is not
    known."""
    zone = None if recording.timezone is None else zone_named(recording.timezone)
    reports: list[RecordedReport] = []
    left_out: list[LeftOut] = []
    for path in paths:
        for row in read_rows(path, ("device_id",), recording.renamed):
            try:
                reports.append(_report(row, recording, zone))
            except _CannotBeSent as error:
                left_out.append(LeftOut(path.name, row.line, error.reason, str(error)))
    return reports, left_out


class _CannotBeSent(Exception):
    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason


def _report(row: FileRow, recording: Recording, zone: ZoneInfo | None) -> RecordedReport:
    if row.fields is None:
        raise _CannotBeSent("cannot be read", row.trouble)
    fields = {**row.fields, **recording.constants}
    device_id = fields.get("device_id")
    if not isinstance(device_id, str):
        raise _CannotBeSent("name no device", f"device_id is {device_id!r}")
    kind = "event" if "event_time" in fields else "position"
    for name in _TIMES:
        if name in fields:
            fields[name] = _with_zone(name, fields[name], zone)
    try:
        own_ms = parse_instant(fields.get(_OWN_TIME[kind]) or "")
    except (NotAnInstant, TypeError):
        own_ms = 0  # sent all the same: the service refuses it, and says why
    if kind == "position":
        return RecordedReport(device_id, own_ms, _position(fields))
    sent_by = _sender(fields)
    event = _event(fields) if sent_by is None else _event_of_unit(fields, device_id)
    return RecordedReport(device_id, own_ms, event, sent_by)


def _sender(fields: Mapping[str, Any]) -> str | None:
    sent_by = fields.get("sent_by")
    if sent_by is not None and not isinstance(sent_by, str):
        raise _CannotBeSent("name no sender", f"sent_by is {sent_by!r}")
    return sent_by or None


def _with_zone(name: str, text: Any, zone: ZoneInfo | None) -> Any:
    """A time as it is, or, where it carries no zone, as the one instant that it can be."""
    if zone is None or not isinstance(text, str) or not is_wall_time(text):
        return text
    try:
        return format_instant(instant_of_wall(text, zone))
    except TwoSuchTimes as error:
        raise _CannotBeSent("are of a time that happens twice", f"{name}: {error}") from error
    except NoSuchTime as error:
        raise _CannotBeSent("are of a time that does not exist", f"{name}: {error}") from error
    except NotAnInstant:
        return text


def without_strangers(
    reports: Iterable[RecordedReport], activated: Iterable[str], entered_units: Iterable[str] = ()
) -> tuple[list[RecordedReport], Strangers]:
    """The reports of devices that the orders activate, sent by themselves or by home units that the orders enter; and how many there
    are of each other device, and from each other sender."""
    devices, units = set(activated), set(entered_units)
    kept, others, senders = [], Counter[str](), Counter[str]()
    for report in reports:
        if report.device_id not in devices:
            others[report.device_id] += 1
        elif report.sent_by is not None and report.sent_by not in units:
            senders[report.sent_by] += 1
        else:
            kept.append(report)
    return kept, Strangers(dict(sorted(others.items())), dict(sorted(senders.items())))


def said_of(left_out: Sequence[LeftOut], strangers: Strangers) -> Iterator[str]:
    """What a person reads of the rows that are not sent: how many for which reason, and the first of them."""
    counts = Counter(row.reason for row in left_out)
    for reason, count in counts.items():
        yield f"{count:,} rows {reason} and are left out:"
        rows = [row for row in left_out if row.reason == reason]
        yield from (f"  {row.file}: line {row.line}: {row.what}" for row in rows[:MOST_NAMED])
        if count > MOST_NAMED:
            yield f"  and {count - MOST_NAMED:,} more"
    if strangers.devices:
        count, names = sum(strangers.devices.values()), _named(strangers.devices)
        yield f"{count:,} rows are of devices that the orders do not activate, and are left out: {names}"
    if strangers.units:
        count, names = sum(strangers.units.values()), _named(strangers.units)
        yield f"{count:,} rows were sent by home units that the orders do not enter, and are left out: {names}"


def _named(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name!r} ({count:,})" for name, count in list(counts.items())[:MOST_NAMED])
    return f"{shown} and {len(counts) - MOST_NAMED:,} more" if len(counts) > MOST_NAMED else shown


def _event(fields: Mapping[str, Any]) -> dict[str, Any]:
    event = {"type": "event", "event": fields.get("type"), "event_time": fields.get("event_time")}
    unit = fields.get("requirement_id") or fields.get("hmu_id")
    return event if unit is None else {**event, "hmu_id": unit}


def _event_of_unit(fields: Mapping[str, Any], device_id: str) -> dict[str, Any]:
    """Its sender follows from the key, and is the unit that it names. A heartbeat is of the one tag whose fact it became, so that
    nobody else gets one."""
    kind = fields.get("type")
    event = {"type": "event", "event": kind, "event_time": fields.get("event_time")}
    return event if isinstance(kind, str) and kind in _OF_THE_UNIT else {**event, "tag": device_id}


def _position(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "position", **{name: fields[name] for name in _POSITION_FIELDS if fields.get(name) is not None}}


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
    batches = batches_of(reports)
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
    """Reports of one sender that go together, numbered; not before `due_ms`."""

    due_ms: int
    device_id: str
    reports: list[dict[str, Any]]


def batches_of(reports: Iterable[RecordedReport]) -> list[Batch]:
    """In the order in which they are due. Of a sender, a batch waits for the one before it."""
    of_tags: dict[str, list[RecordedReport]] = defaultdict(list)
    of_units: dict[str, list[RecordedReport]] = defaultdict(list)
    for report in reports:
        (of_tags if report.sent_by is None else of_units)[report.sender_id].append(report)
    batches = [batch for tag, own in of_tags.items() for batch in _numbered(tag, _in_tens(own))]
    for unit, heard in of_units.items():
        batches += _numbered(unit, _at_once(_said_once(heard)))
    return sorted(batches, key=lambda batch: batch.due_ms)


def _numbered(sender_id: str, parts: Iterable[Sequence[RecordedReport]]) -> Iterator[Batch]:
    due_ms, seq = 0, 0
    for part in parts:
        due_ms = max(due_ms, *(report.own_ms for report in part))
        yield Batch(due_ms, sender_id, [{"seq": seq + i, **report.fields} for i, report in enumerate(part)])
        seq += len(part)


def _in_tens(reports: Sequence[RecordedReport]) -> Iterator[Sequence[RecordedReport]]:
    return (reports[start : start + BATCH] for start in range(0, len(reports), BATCH))


def _said_once(reports: Iterable[RecordedReport]) -> list[RecordedReport]:
    """What a unit sent, in order of time, of whichever tag it is. What it said of itself stands in a recording once for each tag that
    it was there to hear."""
    unlike: dict[Any, RecordedReport] = {}
    for place, report in enumerate(sorted(reports, key=lambda report: report.own_ms)):
        is_of_a_tag = "tag" in report.fields
        unlike.setdefault(
            place if is_of_a_tag else (report.fields["event"], repr(report.fields["event_time"])), report
        )
    return list(unlike.values())


def _at_once(reports: Sequence[RecordedReport]) -> Iterator[Sequence[RecordedReport]]:
    """Parts of at most ten, none of which spans more than a minute."""
    low = 0
    for k in range(1, len(reports) + 1):
        is_full = k == len(reports) or k - low == BATCH or reports[k].own_ms - reports[low].own_ms > UNIT_BATCH_MS
        if is_full:
            yield reports[low:k]
            low = k


async def _feed(sender: DeviceSender, clock: ServiceClock, batches: Iterable[Batch], boot: int) -> None:
    for batch in batches:
        await clock.sleep_until(batch.due_ms)
        await sender.accept(batch.device_id, boot, batch.reports)


def _give_up(refused: Rejected) -> None:
    raise ReplayError(f"the service answered {refused.status}: {refused.body.decode(errors='replace')}")
