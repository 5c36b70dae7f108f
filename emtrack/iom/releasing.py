"""Releases open tasks: so many days before and after the day, for whoever the settings of the programme name.

Each is opened when its day comes, once, and is due at 17:00 of that day. What lies behind when a release becomes known is opened at
once if it is still to come, and due in a day; of a release that is over, only what follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from emtrack.iom.entries import COLUMNS as ENTRY
from emtrack.iom.entries import Draft, Entry, by_record, enter, entry_of, take_turn
from emtrack.iom.grades import DAY_MS
from emtrack.iom.grading import OURS, SERVICE
from emtrack.iom.programme_settings import load_settings
from emtrack.iom.tasking import agencies_of
from emtrack.iom.tasks import TASK, Origin, Task
from emtrack.iom.transitions import ReleaseTask
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from emtrack.db.connect import Connection

_Due = tuple[Entry, ReleaseTask, int]
DUE_AT: Final = time(17)
LATE_DAYS: Final = 3
"""What was to be done after a release is opened for so long; later it is history."""
RELEASES = f"""
SELECT {ENTRY} FROM iom_now WHERE noun = 'transition' AND state IN ('PLANNED', 'DONE') AND content ->> 'kind' = 'RELEASE'
AND occurred_at BETWEEN $1 AND $2 ORDER BY occurred_at LIMIT 1000
"""  # noqa: S608  a constant made of constants


async def open_release_tasks(connection: Connection, zone: ZoneInfo, now_ms: int) -> int:
    """Inside the caller's transaction; how many were opened."""
    wanted = (await load_settings(connection)).settings.release_tasks
    if not wanted:
        return 0
    first, last = min(one.days for one in wanted), max(one.days for one in wanted)
    begin, end = now_ms - (last + LATE_DAYS + 1) * DAY_MS, now_ms - (first - 1) * DAY_MS
    releases = [entry_of(row) for row in await connection.fetch(RELEASES, datetime_of(begin), datetime_of(end))]
    due = [(entry, one, at_ms) for entry in releases for one, at_ms in tasks_due(entry, wanted, zone, now_ms)]
    if not await _not_yet_open(connection, due):
        return 0  # nearly always: nobody who enters something has waited for us
    await take_turn(connection)
    missing = await _not_yet_open(connection, due)
    await enter(connection, SERVICE, [await _draft(connection, *one) for one in missing], now_ms)
    return len(missing)


async def _not_yet_open(connection: Connection, due: Sequence[_Due]) -> list[_Due]:
    there = await by_record(connection, TASK, OURS, [_name(entry, one) for entry, one, _ in due])
    return [(entry, one, at_ms) for entry, one, at_ms in due if _name(entry, one) not in there]


def tasks_due(
    release: Entry, wanted: Sequence[ReleaseTask], zone: ZoneInfo, now_ms: int
) -> list[tuple[ReleaseTask, int]]:
    """Tasks that are to be open now, each with when it is due."""
    assert release.occurred_ms is not None, "a release has a day"
    today = datetime_of(now_ms).astimezone(zone).date()
    day = datetime_of(release.occurred_ms).astimezone(zone).date()
    found = []
    for one in wanted:
        on = day + timedelta(days=one.days)
        is_to_come = on == today or (
            on < today and (today <= day if one.days <= 0 else (today - on).days <= LATE_DAYS)
        )
        if is_to_come:
            at_ms = instant_of(datetime.combine(on, DUE_AT, zone).astimezone(UTC))
            found.append((one, at_ms if at_ms > now_ms else now_ms + DAY_MS))
    return found


def _name(release: Entry, one: ReleaseTask) -> str:
    return f"release {release.item_no} {one.days} {one.what}"[:200]


async def _draft(connection: Connection, release: Entry, one: ReleaseTask, due_ms: int) -> Draft:
    """For the agency that the settings name, if it sees the person; else for whoever leads."""
    assert release.wearer_no is not None, "a release is of a person"
    agency = one.agency if one.agency in await agencies_of(connection, release.wearer_no) else None
    task = Task(title=one.what, for_agency=agency, origin=Origin.TRANSITION, origin_no=release.item_no)
    return Draft(TASK, release.wearer_no, task, "NEW", due_ms=due_ms, system=OURS, record=_name(release, one))
