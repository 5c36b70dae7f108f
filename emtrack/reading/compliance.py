"""How a person kept to what was asked of them: night by night, week by week, and beside their own normal, as known at an instant.

A night is from noon to noon on the wearer's clock, so that it is one row however a curfew lies, with 23 or 25 hours where the clock
changes. In, out and not known come from obligations and findings (`curfews_kept`): no position is judged again. In is what is left:
no finding says otherwise. Places are counted, and never said: a new place is one where nobody saw the person in the weeks before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from emtrack.forms.wall_time import zone_named
from emtrack.iom.contacts import CONTACT, Contact, Outcome
from emtrack.iom.entries import load, records_of_person
from emtrack.reading.curfews_kept import FoundOf, findings_of, kept, lengths_within
from emtrack.record.plans import Assignment, load_assignments
from geofence import Interval, Kind, ObligationKind, clipped, datetime_of, instant_of, merged, subtracted
from geofence.judgement import DAY_MS

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

NIGHTS: Final = 14
WEEKS: Final = 12
WEEK: Final = 7
"""Nights of a week."""
NORMAL_NIGHTS: Final = 28
"""A person's own normal is of so many nights, before the last seven."""
NOON: Final = time(12)
OF_THE_TAG: Final = frozenset({Kind.BATTERY, Kind.TAMPER, Kind.NO_COMMUNICATION, Kind.JAMMING, Kind.HMU})
CELL_M: Final = 250.0
"""A place is made of cells of this size that touch."""
LARGEST_CIRCLE_M: Final = 100
LEAST_MINUTES: Final = 10
"""Of seven days, in which there was a position at a place: less is passing by."""
MINUTE_MS: Final = 60_000

ALERTS = """
SELECT epoch_ms(raised_at) AS at_ms FROM alerts WHERE wearer_no = ANY($1::bigint[]) AND raised_at > $2 AND raised_at <= $3
"""
CALLS = """
SELECT epoch_ms(c.done_at) AS at_ms FROM alerts a JOIN alert_actions c USING (alert_no)
WHERE a.wearer_no = ANY($1::bigint[]) AND c.action = 'called' AND c.done_at > $2 AND c.done_at <= $3
"""
# A row for each cell: in how many minutes there was a position, after an instant and before it.
CELLS = """
SELECT x, y, count(DISTINCT minute) FILTER (WHERE minute >= $5) AS after, count(DISTINCT minute) FILTER (WHERE minute < $5) AS before
FROM (SELECT floor(p.lat_deg * 111320 / $6)::bigint AS y,
             floor(p.lon_deg * 111320 * cos(radians(round(p.lat_deg))) / $6)::bigint AS x,
             epoch_ms(p.fix_time) / 60000 AS minute
      FROM activation_versions v JOIN positions p ON p.device_no = v.device_no AND v.during @> p.fix_time
      WHERE v.wearer_no = ANY($1::bigint[]) AND upper_inf(v.recorded) AND p.fix_time >= $2 AND p.fix_time < $3
            AND p.received_at <= $4 AND p.precision_m BETWEEN 1 AND $7) f
GROUP BY x, y
"""


class Part(NamedTuple):
    """A stretch of a night under curfew: `in`, `out` or `unknown`."""

    begin_ms: int
    end_ms: int
    presence: str


class Night(NamedTuple):
    """`is_worn`: a tag was, at some time of it. `parts`: of its hours under curfew that are past. `alerts`, `calls`: how many. `tag`:
    kinds of finding about the tag itself."""

    begin_ms: int
    end_ms: int
    is_worn: bool
    parts: list[Part]
    alerts: int
    calls: int
    tag: list[str]

    def length_ms(self, presence: str) -> int:
        return sum(part.end_ms - part.begin_ms for part in self.parts if part.presence == presence)


class Sums(NamedTuple):
    """Of some nights, or a share of them. Times in milliseconds. `missed`: contacts that were unacceptably missed."""

    obliged_ms: float
    out_ms: float
    unknown_ms: float
    nights_out: float
    findings: float
    alerts: float
    missed: float


class Week(NamedTuple):
    begin_ms: int
    end_ms: int
    sums: Sums


class Beside(NamedTuple):
    """The last seven nights beside the four weeks before: `normal` for seven nights. None: no tag was worn then.
    `places`: new ones of the last seven days; None: nobody can tell, because there is nothing to set them beside."""

    lately: Sums
    normal: Sums | None
    places: int | None


class Compliance(NamedTuple):
    """`nights`: the newest last, the one that lasts included. `weeks`: of seven whole nights, the newest last."""

    nights: list[Night]
    weeks: list[Week]
    beside: Beside


class Progress(NamedTuple):
    """The curfews of the last seven whole nights, the newest last: `in`, `out` where the person was out at all, `unknown` where
    nobody could tell for some of it, `none` without a curfew."""

    nights: tuple[str, ...]
    out_ms: float

    @property
    def has_curfew(self) -> bool:
        return any(night != "none" for night in self.nights)


class _Curfews(NamedTuple):
    obliged: list[Interval]
    out: list[Interval]
    unknown: list[Interval]


async def compliance_of(connection: Connection, wearer_no: int, known_ms: int) -> Compliance | None:
    """Of all records of a person. None: no tag was worn in the last weeks. After the look is on record."""
    records = await records_of_person(connection, wearer_no)
    assignments = await load_assignments(connection, known_ms, records)
    zone = next((zone_named(one.plan.timezone) for one in assignments.values()), None)
    if zone is None:
        return None
    noons = noons_before(known_ms, WEEK * WEEKS + 1, zone)
    span = Interval(noons[0], known_ms)
    worn = clipped(((a.plan.activation.from_ms, a.plan.activation.to_ms) for a in assignments.values()), *span)
    if not worn:
        return None
    found = await findings_of(connection, list(assignments), *span)
    curfews = _curfews(assignments, found, span)
    times = await _times(connection, records, span)
    begins = [at for one in found.values() for at in one.begins]
    counts = [_counts(found_at, noons) for found_at in (begins, times.alerts, times.missed)]
    weeks = _weeks(curfews, counts, noons)
    places = await new_places(connection, records, known_ms)
    return Compliance(
        _nights(curfews, found, times, noons, merged(worn)),
        weeks,
        _beside(curfews, counts, noons, merged(worn)[0].begin_ms, places),
    )


async def progress_of(connection: Connection, records: Mapping[int, int], known_ms: int) -> dict[int, Progress]:
    """Of those who had a curfew in the last week. `records`: number of a record to that of the person."""
    assignments = await load_assignments(connection, known_ms, list(records))
    zone = next((zone_named(one.plan.timezone) for one in assignments.values()), None)
    if zone is None:
        return {}
    noons = noons_before(known_ms, WEEK + 1, zone)[:-1]
    span = Interval(noons[0], noons[-1])
    found = await findings_of(connection, list(assignments), span.begin_ms, known_ms)
    theirs: dict[int, dict[int, Assignment]] = {}
    for number, assignment in assignments.items():
        theirs.setdefault(records[assignment.wearer_no], {})[number] = assignment
    told = {person: _progress(_curfews(own, found, span), noons) for person, own in theirs.items()}
    return {person: one for person, one in told.items() if one.has_curfew}


def _progress(curfews: _Curfews, noons: Sequence[int]) -> Progress:
    obliged, out, unknown = (lengths_within(spans, np.array(noons, np.int64)) for spans in curfews)
    states = np.select([obliged == 0, out > 0, unknown > 0], ["none", "out", "unknown"], "in")
    return Progress(tuple(map(str, states)), float(out.sum()))


def noons_before(now_ms: int, nights: int, zone: ZoneInfo) -> list[int]:
    """Where so many nights begin, the last being the one that lasts, and where that one ends: `nights + 1` instants."""
    now = datetime_of(now_ms).astimezone(zone)
    day = now.date() - timedelta(days=0 if now.timetz().replace(tzinfo=None) >= NOON else 1)
    days = [day + timedelta(days=no) for no in range(1 - nights, 2)]
    return [instant_of(datetime.combine(one, NOON, zone)) for one in days]


def _curfews(assignments: Mapping[int, Assignment], found: Mapping[int, FoundOf], span: Interval) -> _Curfews:
    """All curfews as one: who is out of one of two that hold at a time is out."""
    obliged: list[Interval] = []
    out: list[Interval] = []
    unknown: list[Interval] = []
    for number, assignment in assignments.items():
        activation = assignment.plan.activation
        for worn in clipped([(activation.from_ms, activation.to_ms)], *span):
            for requirement in assignment.plan.judged:
                if requirement.kind is ObligationKind.CURFEW:
                    periods, outs, untolds = kept(assignment, requirement, found[number], worn)
                    obliged += periods
                    out += within(periods, outs)
                    unknown += within(periods, untolds)
    outs = merged(out)
    return _Curfews(merged(obliged), outs, subtracted(merged(unknown), outs))


def within(spans: Sequence[Interval], others: Sequence[Interval]) -> list[Interval]:
    """What lies in both; each sorted and apart."""
    return subtracted(spans, subtracted(spans, others))


class _Times(NamedTuple):
    alerts: list[int]
    calls: list[int]
    missed: list[int]


async def _times(connection: Connection, records: Sequence[int], span: Interval) -> _Times:
    begin, known = map(datetime_of, span)
    alerts, calls = [
        [row["at_ms"] for row in await connection.fetch(statement, records, begin, known)]
        for statement in (ALERTS, CALLS)
    ]
    contacts = await load(connection, records, [CONTACT], span.end_ms)
    missed = [
        entry.occurred_ms
        for entry in contacts
        if isinstance(entry.content, Contact)
        and entry.content.outcome is Outcome.UNACCEPTABLE_ABSENCE
        and entry.state != "WITHDRAWN"
        and entry.occurred_ms is not None
    ]
    return _Times(alerts, calls, missed)


def _counts(instants: Collection[int], noons: Sequence[int]) -> NDArray[np.int64]:
    """How many fall into each night."""
    counts: NDArray[np.int64] = np.histogram(np.array(list(instants), np.int64), np.array(noons))[0]
    return counts


def _nights(
    curfews: _Curfews, found: Mapping[int, FoundOf], times: _Times, noons: Sequence[int], worn: Sequence[Interval]
) -> list[Night]:
    told = {"in": subtracted(curfews.obliged, merged([*curfews.out, *curfews.unknown])), "out": curfews.out}
    told["unknown"] = curfews.unknown
    alerts, calls = _counts(times.alerts, noons), _counts(times.calls, noons)
    of_tag = [
        (at_ms, kind)
        for one in found.values()
        for at_ms, kind in zip(one.begins, one.kinds, strict=True)
        if kind in OF_THE_TAG
    ]
    nights = []
    for no in range(len(noons) - 1 - NIGHTS, len(noons) - 1):
        begin_ms, end_ms = noons[no : no + 2]
        parts = [
            Part(*part, presence) for presence, spans in told.items() for part in clipped(spans, begin_ms, end_ms)
        ]
        tag = sorted({kind for at_ms, kind in of_tag if begin_ms <= at_ms < end_ms})
        is_worn = bool(clipped(worn, begin_ms, end_ms))
        nights.append(Night(begin_ms, end_ms, is_worn, sorted(parts), int(alerts[no]), int(calls[no]), tag))
    return nights


def _weeks(curfews: _Curfews, counts: Sequence[NDArray[np.int64]], noons: Sequence[int]) -> list[Week]:
    """Of whole nights: the one that lasts is in none."""
    last = len(noons) - 2
    begins = range(last - WEEK * WEEKS, last, WEEK)
    return [Week(noons[no], noons[no + WEEK], _sums(curfews, counts, noons, no, no + WEEK)) for no in begins]


def _sums(curfews: _Curfews, counts: Sequence[NDArray[np.int64]], noons: Sequence[int], first: int, end: int) -> Sums:
    """Of the nights `first` to `end`, which is not one of them."""
    edges = np.array(noons[first : end + 1], np.int64)
    obliged, out, unknown = (lengths_within(spans, edges) for spans in curfews)
    findings, alerts, missed = (int(count[first:end].sum()) for count in counts)
    return Sums(
        float(obliged.sum()), float(out.sum()), float(unknown.sum()), int((out > 0).sum()), findings, alerts, missed
    )


def _beside(
    curfews: _Curfews, counts: Sequence[NDArray[np.int64]], noons: Sequence[int], worn_ms: int, places: int | None
) -> Beside:
    """The four weeks before, or as much of them as a tag was worn."""
    last = len(noons) - 2
    lately = _sums(curfews, counts, noons, last - WEEK, last)
    first = last - WEEK - NORMAL_NIGHTS
    while first < last - WEEK and noons[first] < worn_ms:
        first += 1
    nights = last - WEEK - first
    if nights == 0:
        return Beside(lately, None, places)
    sums = _sums(curfews, counts, noons, first, last - WEEK)
    return Beside(lately, Sums(*(value * WEEK / nights for value in sums)), places)


# ------------------------------------------------------------------ places that are new


async def new_places(connection: Connection, records: Sequence[int], known_ms: int) -> int | None:
    """Places of the last seven days, for ten minutes or more, that the four weeks before did not know. None: those weeks, or these
    days, have no position that is good enough."""
    begin_ms, lately_ms = known_ms - (WEEK + NORMAL_NIGHTS) * DAY_MS, known_ms - WEEK * DAY_MS
    begin, known = datetime_of(begin_ms), datetime_of(known_ms)
    rows = await connection.fetch(
        CELLS, records, begin, known, known, lately_ms // MINUTE_MS, CELL_M, LARGEST_CIRCLE_M
    )
    before = {(row["x"], row["y"]) for row in rows if row["before"]}
    after = {(row["x"], row["y"]): row["after"] for row in rows if row["after"]}
    if not before or not after:
        return None
    return sum(minutes >= LEAST_MINUTES for minutes in _minutes_of_places(after, before))


def _minutes_of_places(after: Mapping[tuple[int, int], int], before: set[tuple[int, int]]) -> Iterable[int]:
    """Minutes in each group of cells that touch, none of which touches a cell of before."""
    left = dict(after)
    while left:
        group, edge = 0, [next(iter(left))]
        is_new = True
        while edge:
            cell = edge.pop()
            minutes = left.pop(cell, None)
            if minutes is None:
                continue
            group += minutes
            around = _around(cell)
            is_new = is_new and before.isdisjoint(around)
            edge += [other for other in around if other in left]
        if is_new:
            yield group


def _around(cell: tuple[int, int]) -> set[tuple[int, int]]:
    """A cell and its eight neighbours."""
    x, y = cell
    return {(x + dx, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)}
