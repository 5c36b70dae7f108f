"""Positions of one person as a file that is handed out: the look first, then the file, then the disclosure, then the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from emtrack.errors import MendableError
from emtrack.files.positions import WRITERS, FilePosition, PositionFile, PositionForm
from emtrack.forms.names import unfit_text
from emtrack.people.looks import CHOSEN, What, record_look
from emtrack.reading.casefile import WeighedFix, history_of
from emtrack.reading.history import COUNT, EARLIEST_MS, MOST_FIXES, OF_WEARER, View
from emtrack.record.deployment_settings import load_settings
from emtrack.record.device_identifiers import unauthenticated_among
from emtrack.record.disclosures import LONGEST_RECIPIENT, Given, HandedOut, record_disclosure
from emtrack.record.plans import load_assignments
from geofence import Interval, datetime_of, instant_or_none

if TYPE_CHECKING:
    import asyncpg

    from emtrack.db.connect import Connection
    from emtrack.people.looks import Looker
    from emtrack.record.zone_sets import ZoneSetCache

LONGEST_MS = 31 * 86_400_000
AHEAD_MS = 86_400_000


class UnfitExport(MendableError):
    """What cannot be handed out as it was asked for. The message says what to change."""


class WantedExport(NamedTuple):
    """Of whom, of which time, in which form, as known when, and for whom it is made."""

    wearer_no: int
    window: Interval
    form: PositionForm
    known_ms: int
    recipient: str | None = None


class MadeFile(NamedTuple):
    content: bytes
    positions: int


# What a device said of its positions, and nothing is judged by.
SAID = f"""
SELECT p.fact_id, p.satellites, p.hdop, p.recorded_time, p.uploaded_time
{OF_WEARER} AND (p.satellites IS NOT NULL OR p.hdop IS NOT NULL OR p.recorded_time IS NOT NULL OR p.uploaded_time IS NOT NULL)
"""


def refuse_unfit(window: Interval, looker: Looker, recipient: str | None, now_ms: int) -> None:
    """Raises UnfitExport."""
    if window.end_ms <= window.begin_ms:
        raise UnfitExport("The end is not after the beginning. Choose a later end.")
    if window.begin_ms < EARLIEST_MS or window.end_ms > now_ms + AHEAD_MS:
        raise UnfitExport("The time lies in the future, or before 1990. Choose another time.")
    if window.end_ms - window.begin_ms > LONGEST_MS:
        raise UnfitExport("At most 31 days can be handed out at a time. Choose a shorter time.")
    if looker.purpose not in CHOSEN:
        raise UnfitExport(f"A purpose is needed. Say one of {', '.join(CHOSEN)}.")
    if recipient is not None and len(recipient) > LONGEST_RECIPIENT:
        raise UnfitExport(f"Who receives it is told in at most {LONGEST_RECIPIENT} characters.")
    if recipient is not None and (trouble := unfit_text(recipient)) is not None:
        raise UnfitExport(f"Who receives it cannot be kept: {trouble}.")


async def look_at_export(connection: Connection, looker: Looker, wanted: WantedExport, now_ms: int) -> None:
    """That positions of this person are read to be handed out; committed when this returns. Raises UnfitExport."""
    refuse_unfit(wanted.window, looker, wanted.recipient, now_ms)
    span = wanted.window.begin_ms, wanted.window.end_ms
    await record_look(connection, looker, What.EXPORT, wanted.wearer_no, span, now_ms=now_ms)


async def position_file(
    connection: Connection, zone_sets: ZoneSetCache, wanted: WantedExport, looker: Looker, wearer_id: str, now_ms: int
) -> MadeFile | str:
    """The file, or why it cannot be made. For `emtrack.reading.apart`, after `look_at_export`."""
    del zone_sets  # nothing is judged, only weighed
    view = View(0, wanted.wearer_no, *wanted.window[:2], looker.purpose, None, now_ms)
    if (count := await positions_in(connection, view, wanted.known_ms)) > MOST_FIXES:
        return f"There are {count:,} positions in this time, and a file holds {MOST_FIXES:,}. Choose a shorter time."
    seen = await history_of(connection, view, wanted.known_ms)
    timezone, settings = await load_settings(connection, now_ms)
    points = await file_positions(connection, view, wanted.known_ms, seen)
    file = PositionFile(
        points, wearer_id, wanted.window, wanted.known_ms, timezone, settings.max_gap_ms, looker.purpose, looker.reference,
        wanted.recipient, looker.name, now_ms,
    )  # fmt: skip
    return MadeFile(WRITERS[wanted.form](file), len(points))


async def positions_in(connection: Connection, view: View, known_ms: int) -> int:
    """How many positions lie in the time of a view. None is read."""
    columns = view.wearer_no, datetime_of(view.begin_ms), datetime_of(view.end_ms), datetime_of(known_ms)
    count: int = await connection.fetchval(COUNT, *columns)
    return count


async def file_positions(
    connection: Connection, view: View, known_ms: int, seen: list[WeighedFix]
) -> list[FilePosition]:
    """With the device of each, what stands behind it, and what it said besides."""
    assignments = await load_assignments(connection, known_ms, [view.wearer_no])
    devices = {number: a.plan.activation.device_id for number, a in assignments.items()}
    columns = view.wearer_no, datetime_of(view.begin_ms), datetime_of(view.end_ms), datetime_of(known_ms)
    said = {row["fact_id"]: row for row in await connection.fetch(SAID, *columns)}
    lower = await unauthenticated_among(connection, [one.fix.position.fact_id for one in seen])
    return [
        _file_position(one, devices.get(one.fix.activation_no, ""), fact_id not in lower, said.get(fact_id))
        for one in seen
        for fact_id in [one.fix.position.fact_id]
    ]


def _file_position(
    seen: WeighedFix, device_id: str, is_authenticated: bool, said: asyncpg.Record | None
) -> FilePosition:
    fix = seen.fix
    found = FilePosition(
        seen.n, device_id, fix.position, seen.status, is_authenticated, fix.speed_kmh, fix.direction_deg
    )
    if said is None:
        return found
    return found._replace(
        satellites=said["satellites"], hdop=said["hdop"], recorded_ms=instant_or_none(said["recorded_time"]),
        uploaded_ms=instant_or_none(said["uploaded_time"]),
    )  # fmt: skip


async def keep_export(
    connection: Connection, looker: Looker, wanted: WantedExport, made: MadeFile, now_ms: int
) -> int:
    """On record before anybody has the file; the number of the disclosure."""
    handed = HandedOut(
        Given.POSITIONS, str(wanted.form), wanted.wearer_no, wanted.window, wanted.known_ms, wanted.recipient, made.positions,
        made.content,
    )  # fmt: skip
    return await record_disclosure(connection, looker, handed, now_ms)
