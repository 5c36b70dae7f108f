"""The facts that the measures rest on, out of the record: as known at an instant, of the people whom the session may read.

Records that are merged are one person, under the number of the main one. Who was removed stays in: memberships that ended are read
like those that last. Figures are made in the processes that judge for readers (`emtrack.reading.apart`), because scipy, which
`emtrack.worth` stands on, loads for a second and holds memory that the service need not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emtrack.forms.iom import Cohort, Pathway, RagGrade
from emtrack.forms.wall_time import zone_named
from emtrack.iom.circumstances import CircumstanceKind
from emtrack.iom.entries import records_of_person
from emtrack.iom.offences import HARM_DAYS, PROVEN, OffenceKind, OffenceOutcome
from emtrack.iom.programme_settings import load_settings
from emtrack.iom.statuses import CUSTODY, StatusKind
from emtrack.reading.curfews_kept import months_under_tags
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.worth.facts import Due, Facts, Step
from emtrack.worth.lives import Circumstances, Deed, Index, Life, Needs, Selected, Spell
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.worth.career import Year
    from emtrack.worth.figures import Measure

MERGED = "SELECT wearer_no, group_no FROM merged_people()"
# Of each item of a noun the newest version as known at $1; days are local to $2. The last
# argument: only of these people; null: of everybody.
PEOPLE = """
SELECT DISTINCT ON (item_no) wearer_no, (content ->> 'date_of_birth')::date AS born, content ->> 'sex' AS sex,
       content ->> 'ethnicity' AS ethnicity
FROM iom_entries WHERE noun = 'person' AND recorded_at <= $1 AND ($2::bigint[] IS NULL OR wearer_no = ANY($2))
ORDER BY item_no, version DESC
"""
HOLDING = """
SELECT * FROM (
    SELECT DISTINCT ON (item_no) wearer_no, noun, state, content ->> 'status' AS status, content ->> 'cohort' AS cohort,
           content ->> 'kind' AS kind, (lower(valid) AT TIME ZONE $2)::date AS begin_on,
           (upper(valid) AT TIME ZONE $2)::date AS end_on
    FROM iom_entries WHERE noun IN ('membership', 'status', 'circumstance') AND recorded_at <= $1
          AND ($3::bigint[] IS NULL OR wearer_no = ANY($3))
    ORDER BY item_no, version DESC) e
WHERE state <> 'WITHDRAWN' AND begin_on IS NOT NULL ORDER BY begin_on
"""
HAPPENING = """
SELECT * FROM (
    SELECT DISTINCT ON (item_no) item_no, wearer_no, noun, state, content ->> 'kind' AS kind, content ->> 'outcome' AS outcome,
           (content ->> 'proven_on')::date AS proven_on, (content ->> 'is_non_custodial')::boolean AS is_non_custodial,
           content -> 'needs' AS needs, (occurred_at AT TIME ZONE $2)::date AS on_day
    FROM iom_entries WHERE noun IN ('offence', 'transition', 'assessment') AND recorded_at <= $1
          AND ($3::bigint[] IS NULL OR wearer_no = ANY($3))
    ORDER BY item_no, version DESC) e
WHERE on_day IS NOT NULL AND (state IS NULL OR state IN ('STATED', 'DONE')) ORDER BY on_day, item_no
"""
GRADED = """
SELECT wearer_no, noun, content ->> 'grade' AS grade, (coalesce(occurred_at, recorded_at) AT TIME ZONE $2)::date AS on_day
FROM iom_entries WHERE noun IN ('grade', 'proposal') AND version = 1 AND recorded_at <= $1
      AND ($3::bigint[] IS NULL OR wearer_no = ANY($3))
ORDER BY on_day, entry_no
"""
LOOKED = """
SELECT wearer_no, (looked_at AT TIME ZONE $2)::date AS on_day FROM looks
WHERE what = 'positions' AND wearer_no IS NOT NULL AND looked_at <= $1 AND looked_at > $1 - interval '400 days'
      AND ($3::bigint[] IS NULL OR wearer_no = ANY($3))
GROUP BY 1, 2
"""
# By the first date by which it was to be done: a later one mends nothing.
TASKS = """
SELECT wearer_no, epoch_ms((array_agg(due_at ORDER BY version))[1]) AS due_ms,
       epoch_ms(min(recorded_at) FILTER (WHERE state = 'DONE')) AS done_ms
FROM iom_entries WHERE noun = 'task' AND recorded_at <= $1 GROUP BY item_no, wearer_no
HAVING (array_agg(due_at ORDER BY version))[1] IS NOT NULL AND NOT bool_or(state IN ('REJECTED', 'CANCELLED'))
"""
# A review is held when the next grade is given; it may be the same one.
REVIEWS = """
SELECT wearer_no, epoch_ms(due_at) AS due_ms, (due_at AT TIME ZONE $2)::date AS due_on,
       epoch_ms(lead(recorded_at) OVER (PARTITION BY wearer_no ORDER BY entry_no)) AS done_ms
FROM iom_entries WHERE noun = 'grade' AND version = 1 AND recorded_at <= $1
"""
ALERTS = """
SELECT wearer_no, epoch_ms(raised_at) AS raised_ms, epoch_ms(CASE WHEN closed_at <= $1 THEN closed_at END) AS closed_ms,
       (SELECT epoch_ms(min(done_at)) FROM alert_actions x
        WHERE x.alert_no = a.alert_no AND x.action IN ('acknowledged', 'closed') AND x.done_at <= $1) AS seen_ms
FROM alerts a WHERE raised_at <= $1 AND raised_at > $1 - interval '400 days' AND wearer_no IS NOT NULL
"""
BREACHES = """
SELECT item_no, wearer_no, state, epoch_ms(occurred_at) AS found_ms, epoch_ms(recorded_at) AS recorded_ms, content -> 'steps' AS steps
FROM iom_entries WHERE noun = 'breach' AND recorded_at <= $1 ORDER BY item_no, version
"""
# All that decides which rows a session may read, beside the rows of the record up to an instant.
BASIS = """
SELECT (SELECT version_no FROM iom_settings ORDER BY version_no DESC LIMIT 1) AS settings,
       (SELECT md5(string_agg(w::text, ',' ORDER BY w)) FROM shared_wearers() w) AS shared,
       (SELECT md5(string_agg(w::text, ',' ORDER BY w)) FROM closed_wearers() w) AS closed,
       (SELECT md5(string_agg(w::text, ',' ORDER BY w)) FROM narrowed_entries() w) AS narrowed,
       (SELECT md5(string_agg(m::text, ',' ORDER BY m.wearer_no)) FROM merged_people() m) AS merged
"""


class Asked(NamedTuple):
    """Of which cohort (None: of any), with index dates and releases of which days, as known at which local midnight."""

    cohort: Cohort | None
    begin: date
    end: date
    today: date
    known_ms: int
    timezone: str


class Performance(NamedTuple):
    """`chosen`: people of the cohort who were ever members; `pool`: everybody on record. Those whom the session may read."""

    measures: list[Measure]
    chosen: int
    pool: int


async def performance(connection: Connection, zone_sets: ZoneSetCache, asked: Asked) -> Performance:
    """All measures; in a process of its own. The facts are read in one snapshot."""
    from emtrack.worth.measures import all_measures, chosen_of  # scipy: not where requests are answered

    del zone_sets
    facts = await facts_of(connection, asked)
    chosen = chosen_of(facts.everybody, asked.cohort)
    return Performance(all_measures(facts, asked.cohort), len(chosen), len(facts.everybody))


async def career_of(connection: Connection, wearer_no: int, asked: Asked) -> list[Year]:
    """Of one person, by year of age; nothing where nobody knows when they were born."""
    from emtrack.worth.career import career

    lives = await lives_of(connection, asked, await records_of_person(connection, wearer_no))
    return career(lives[0], asked.today) if lives else []


async def basis_of(connection: Connection) -> tuple[Any, ...]:
    """What figures as known at an instant rest on besides: the same for as long as they may be shown again."""
    row = await connection.fetchrow(BASIS)
    return () if row is None else tuple(row.values())


async def facts_of(connection: Connection, asked: Asked) -> Facts:
    main = await _main_numbers(connection)
    lives = await lives_of(connection, asked)
    chosen = {life.person for life in lives if life.selected}
    tagged = {no: main.get(no, no) for no in [*chosen, *(n for n, m in main.items() if m in chosen)]}
    cohorts = {life.person: str(life.selected[-1].cohort) for life in lives if life.selected}
    settings = (await load_settings(connection)).settings
    known_at = datetime_of(asked.known_ms)
    return Facts(
        everybody=tuple(lives),
        period=(asked.begin, asked.end),
        today=asked.today,
        known_ms=asked.known_ms,
        months=tuple(await months_under_tags(connection, tagged, cohorts, asked.known_ms)),
        tasks=tuple(
            Due(main.get(row["wearer_no"], row["wearer_no"]), row["due_ms"], row["done_ms"])
            for row in await connection.fetch(TASKS, known_at)
        ),
        reviews=tuple(await _reviews(connection, asked, main, {life.person: life for life in lives})),
        steps=await _steps(connection, known_at, main),
        yearly_cost=settings.yearly_cost,
        unit_costs=settings.unit_costs,
        unit_costs_of=settings.unit_costs_of,
    )


async def _main_numbers(connection: Connection) -> dict[int, int]:
    return {row["wearer_no"]: row["group_no"] for row in await connection.fetch(MERGED)}


# ------------------------------------------------------------------ lives


class _Rows(NamedTuple):
    """Of one person, by what they are of, each in order of days."""

    person: list[Any]
    holding: list[Any]
    happening: list[Any]
    graded: list[Any]
    looked: list[Any]


async def lives_of(connection: Connection, asked: Asked, only: Sequence[int] | None = None) -> list[Life]:
    """Everybody on record, by number; or `only` some records."""
    main = await _main_numbers(connection)
    known_at = datetime_of(asked.known_ms)
    given = known_at, asked.timezone, only
    found: dict[int, _Rows] = defaultdict(lambda: _Rows([], [], [], [], []))
    for place, (statement, arguments) in enumerate(
        ((PEOPLE, (known_at, only)), (HOLDING, given), (HAPPENING, given), (GRADED, given), (LOOKED, given))
    ):
        for row in await connection.fetch(statement, *arguments):
            if row["wearer_no"] is not None:
                found[main.get(row["wearer_no"], row["wearer_no"])][place].append(row)
    return [_life(number, rows) for number, rows in sorted(found.items()) if _is_on_record(rows)]


def _is_on_record(rows: _Rows) -> bool:
    """A look at somebody's positions alone makes nobody a person of the programme's record."""
    return bool(rows.person or rows.holding or rows.happening)


def _life(number: int, rows: _Rows) -> Life:
    by_noun: dict[str, list[Any]] = defaultdict(list)
    for row in [*rows.holding, *rows.happening, *rows.graded]:
        by_noun[row["noun"]].append(row)
    statuses, offences = by_noun["status"], by_noun["offence"]
    released = sorted(
        {
            *(row["on_day"] for row in by_noun["transition"] if row["kind"] == "RELEASE"),
            *_ends_of_custody(statuses),
        }
    )
    first = {
        name: next((row[name] for row in rows.person if row[name]), None) for name in ("born", "sex", "ethnicity")
    }
    return Life(
        person=number,
        **first,
        deeds=tuple(_deed(row) for row in offences),
        indexes=tuple(sorted(_indexes(offences, released), key=lambda one: (one.day, one.deed or 0))),
        selected=tuple(Selected(Cohort(row["cohort"]), _spell(row)) for row in by_noun["membership"]),
        custody=tuple(_spell(row) for row in statuses if StatusKind(row["status"]) in CUSTODY),
        somewhere=tuple(_spell(row) for row in statuses),
        needs=tuple(
            Needs(row["on_day"], frozenset(Pathway(one) for one in row["needs"]))
            for row in by_noun["assessment"]
            if row["needs"]
        ),
        releases=tuple(released),
        circumstances=tuple(
            Circumstances(CircumstanceKind(row["kind"]), _spell(row)) for row in by_noun["circumstance"]
        ),
        grades=tuple((row["on_day"], RagGrade(row["grade"])) for row in by_noun["grade"]),
        proposals=tuple((row["on_day"], RagGrade(row["grade"])) for row in by_noun["proposal"]),
        removals=tuple(row["end_on"] for row in by_noun["membership"] if row["state"] == "ENDED"),
        trail_looks=tuple(row["on_day"] for row in rows.looked),
    )


def _spell(row: Any) -> Spell:
    return Spell(row["begin_on"], row["end_on"])


def _deed(row: Any) -> Deed:
    kind = OffenceKind(row["kind"])
    proven = row["proven_on"] if OffenceOutcome(row["outcome"]) in PROVEN else None
    return Deed(row["item_no"], row["on_day"], kind, proven, None if kind is OffenceKind.OTHER else HARM_DAYS[kind])


def _indexes(offences: Iterable[Any], released: Iterable[date]) -> list[Index]:
    """A release; a conviction whose sentence was not custodial; a caution. Of a sentence that nobody told of: none."""
    proven = [
        Index(row["proven_on"], row["item_no"])
        for row in offences
        if row["outcome"] == OffenceOutcome.CAUTIONED
        or (row["outcome"] == OffenceOutcome.CONVICTED and row["is_non_custodial"])
    ]
    return [*proven, *(Index(day) for day in released)]


def _ends_of_custody(statuses: Sequence[Any]) -> list[date]:
    """Days on which somebody came into the community from custody."""
    left = {row["end_on"] for row in statuses if StatusKind(row["status"]) in CUSTODY}
    return [row["begin_on"] for row in statuses if row["status"] == StatusKind.COMMUNITY and row["begin_on"] in left]


# ------------------------------------------------------------------ how the work is done


async def _reviews(
    connection: Connection, asked: Asked, main: Mapping[int, int], lives: Mapping[int, Life]
) -> list[Due]:
    """Reviews of members: who was removed before a review was due needed none."""
    found = []
    for row in await connection.fetch(REVIEWS, datetime_of(asked.known_ms), asked.timezone):
        person = main.get(row["wearer_no"], row["wearer_no"])
        if row["due_ms"] is None or person not in lives:
            continue
        is_member = any(one.spell.covers(row["due_on"]) for one in lives[person].selected)
        if row["done_ms"] is not None or is_member:
            found.append(Due(person, row["due_ms"], row["done_ms"]))
    return found


async def _steps(connection: Connection, known_at: Any, main: Mapping[int, int]) -> dict[str, tuple[Step, ...]]:
    seen, decided = [], []
    for row in await connection.fetch(ALERTS, known_at):
        person = main.get(row["wearer_no"], row["wearer_no"])
        seen.append(Step(person, row["raised_ms"], row["seen_ms"]))
        decided.append(Step(person, row["raised_ms"], row["closed_ms"]))
    breaches: dict[int, list[Any]] = defaultdict(list)
    for row in await connection.fetch(BREACHES, known_at):
        breaches[row["item_no"]].append(row)
    found: dict[str, list[Step]] = {"seen": seen, "decided": decided}
    for versions in breaches.values():
        for name, step in _breach_steps(versions, main):
            found.setdefault(name, []).append(step)
    return {name: tuple(steps) for name, steps in found.items()}


DECIDED: Final = frozenset(
    {"NO_ACTION", "WARNED", "PACK_IN_PREPARATION", "RECALL_REQUESTED", "RECALLED", "RECALL_REFUSED", "ARRESTED"}
)
ENDED_WITHOUT: Final = frozenset({"RECALL_REFUSED", "NO_ACTION", "CLOSED"})


def _breach_steps(versions: Sequence[Any], main: Mapping[int, int]) -> list[tuple[str, Step]]:
    """From finding to arrest; each state from when it was, if somebody said, or else from when it was recorded. What ended without a
    recall or an arrest waits for none."""
    at: dict[str, int] = {}
    for row in versions:
        at.setdefault(row["state"], (row["steps"] or {}).get(row["state"], row["recorded_ms"]))
    person = versions[0]["wearer_no"]
    person = main.get(person, person)
    found_ms = versions[0]["found_ms"] or versions[0]["recorded_ms"]
    decided_ms = min((ms for state, ms in at.items() if state in DECIDED), default=None)
    steps = [("breach decided", Step(person, found_ms, decided_ms))]
    is_over = versions[-1]["state"] in ENDED_WITHOUT
    if decided_ms is not None and "RECALL_REQUESTED" in at and ("RECALLED" in at or not is_over):
        steps.append(("recalled", Step(person, decided_ms, at.get("RECALLED"))))
    if "RECALLED" in at and ("ARRESTED" in at or not is_over):
        steps.append(("arrested", Step(person, at["RECALLED"], at.get("ARRESTED"))))
    return steps


def midnight_of(day: date, timezone: str) -> int:
    """The instant at which a local day begins."""
    return instant_of(datetime.combine(day, datetime.min.time(), zone_named(timezone)))


def day_of(now_ms: int, timezone: str) -> date:
    """The local day of an instant."""
    return datetime_of(now_ms).astimezone(zone_named(timezone)).date()


def whole_period(today: date) -> tuple[date, date]:
    """The period where nobody asks for one: the last three years."""
    return today - timedelta(days=3 * 365), today
