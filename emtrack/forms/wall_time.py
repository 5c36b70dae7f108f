"""Times of a wall clock in a named time zone: which of them happen twice or never is known, and nobody guesses."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from emtrack.forms.errors import FormError
from geofence import NotAnInstant, format_instant, instant_of, read_time


class UnknownZone(FormError):
    """There is no time zone of that name."""


class NoSuchTime(NotAnInstant):
    """A wall time that the clocks leave out in spring."""


class TwoSuchTimes(NotAnInstant):
    """A wall time that the clocks show twice in autumn. `passes`: both, the earlier first."""

    def __init__(self, message: str, passes: tuple[Pass, Pass]) -> None:
        super().__init__(message)
        self.passes = passes


class Pass(NamedTuple):
    """One of the times that a wall time can be. `name`: what its offset is called there (BST, GMT)."""

    instant_ms: int
    name: str


def wall_clock(minute: int) -> str:
    """ "19:00", of a minute of a day or of a week."""
    return f"{minute % 1440 // 60:02}:{minute % 60:02}"


def zone_named(name: str) -> ZoneInfo:
    """Raises UnknownZone."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise UnknownZone(f"{name!r} is not a known time zone; expected a name such as Europe/London") from error


def is_wall_time(text: str) -> bool:
    """Whether a text is a time that carries no zone."""
    try:
        return read_time(text).tzinfo is None
    except NotAnInstant:
        return False


def instant_of_wall(text: str, zone: ZoneInfo, pass_name: str = "") -> int:
    """Milliseconds of a wall time. `pass_name`: which of two is meant, by the name of its offset. Raises NoSuchTime, TwoSuchTimes or
    NotAnInstant."""
    wall = read_time(text)
    if wall.tzinfo is not None:
        raise NotAnInstant(f"{text!r} carries a zone; expected a local time without one")
    passes = _passes(wall, zone)
    if not passes:
        raise NoSuchTime(f"{text} does not exist in {zone.key}: the clocks go forward over it")
    meant = [one for one in passes if one.name == pass_name] or passes
    if len(meant) == 2:
        one, two = meant
        raise TwoSuchTimes(
            f"{text} happens twice in {zone.key}: as {one.name} ({format_instant(one.instant_ms)}) and as {two.name} "
            f"({format_instant(two.instant_ms)})",
            (one, two),
        )
    return meant[0].instant_ms


def passes_of_wall(text: str, zone: ZoneInfo) -> tuple[Pass, ...]:
    """Both passes of a wall time that happens twice; none of any other text."""
    try:
        instant_of_wall(text, zone)
    except TwoSuchTimes as error:
        return error.passes
    except NotAnInstant:
        pass
    return ()


def _passes(wall: datetime, zone: ZoneInfo) -> list[Pass]:
    """The instants at which a clock there shows this time: none, one or two."""
    found: list[Pass] = []
    for fold in (0, 1):
        moment = wall.replace(tzinfo=zone, fold=fold)
        instant_ms = instant_of(moment)
        shown = moment.astimezone(_UTC).astimezone(zone).replace(tzinfo=None, fold=0)
        if shown == wall and all(one.instant_ms != instant_ms for one in found):
            found.append(Pass(instant_ms, moment.tzname() or ""))
    return found


_UTC = ZoneInfo("UTC")
