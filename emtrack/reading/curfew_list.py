"""Tonight's curfews as plain text: what a printer takes when there is no browser."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from emtrack.reading.curfews import AtHome, curfews_of, listed_people, night_of
from emtrack.record.deployment_settings import load_settings
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

AT_ONCE = 1_000


async def curfew_list(connection: Connection, now_ms: int) -> str:
    """All of it, by wearer id. After the look is on record."""
    timezone, _ = await load_settings(connection, now_ms)
    zone, night = ZoneInfo(timezone), night_of(now_ms, timezone)
    parts: list[str] = []
    after, count = None, 0
    while people := await listed_people(connection, night, after, AT_ONCE):
        found = await curfews_of(connection, people, night, timezone, now_ms)
        parts += [_entry(one, zone) for one in found]
        count += len(found)
        after = people[-1]["wearer_id"]
    head = (
        f"Curfews from {_at(night.begin_ms, zone)} to {_at(night.end_ms, zone)}, as known at {_at(now_ms, zone)}\n"
        f"{count} {'person' if count == 1 else 'people'}. Keep it locked away, and destroy it in the morning.\n"
    )
    return "\n".join([head, *parts])


def _at(instant_ms: int, zone: ZoneInfo) -> str:
    moment: datetime = datetime_of(instant_ms).astimezone(zone)
    return f"{moment:%a} {moment.day} {moment:%b %H:%M %Z}"


def _entry(one: AtHome, zone: ZoneInfo) -> str:
    """A person, in a few lines."""
    lines = [f"[ ] {one.wearer_id}  {one.name or ''}".rstrip() + ("" if one.has_tag else "  (no tag)")]
    for curfew in one.curfews:
        lines += [
            f"    at home {_at(p.begin_ms, zone)} to {_at(p.end_ms, zone)}  {curfew.requirement_id}"
            for p in curfew.periods
        ]
        lines += [f"    may be away {_at(a.begin_ms, zone)} to {_at(a.end_ms, zone)}" for a in curfew.absences]
    details = one.details
    if one.is_closed:
        return "\n".join([*lines, "    restricted: address and phone are not listed"]) + "\n"
    lines.append(f"    {details.address or 'no address is entered'}")
    if details.phones:
        lines.append(f"    {', '.join(details.phones)}")
    if details.responsible_officer is not None:
        officer = details.responsible_officer
        lines.append(
            "    officer: " + ", ".join(part for part in (officer.name, officer.agency, officer.phone) if part)
        )
    return "\n".join(lines) + "\n"
