"""Questions who was near, as they were asked, whom they named, and what a person made of that; appended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from emtrack.db.connect import Connection
from emtrack.errors import MendableError
from emtrack.record.device_identifiers import unauthenticated_among
from geofence import Interval, datetime_of, instant_of
from geofence.nearness import PAIR_MS, Grade, NearRules, Spot

if TYPE_CHECKING:
    from emtrack.people.looks import Looker

LONGEST_TEXT = 1_000
MOST_RUNS = 100


class Asked(StrEnum):
    """Near what: a place; or two people, one person and whoever it was, everybody and everybody."""

    PLACE = "place"
    PAIR = "pair"
    PERSON = "person"
    EVERYBODY = "everybody"


class Question(NamedTuple):
    """`spot` None: near each other, within `near_m`. `label`: what happened there."""

    asked: Asked
    window: Interval
    near_m: float
    spot: Spot | None = None
    label: str | None = None


class Named(NamedTuple):
    """Somebody whom a question names. `fact_id`: the position that it rests on, if one lies in the window."""

    wearer_no: int
    grade: Grade
    probability: float
    fact_id: int | None = None
    fix_ms: int | None = None
    distance_m: float | None = None
    fix_radius_m: float | None = None
    possible: Interval | None = None
    other_wearer_no: int | None = None


class Assessment(NamedTuple):
    is_relevant: bool
    why: str
    assessed_ms: int
    assessed_by: str


class Result(NamedTuple):
    """A row of a run as it is shown. `is_authenticated`: more than an identifier stands behind the position that it rests on;
    where it rests on the time between positions, or is of a pair, behind each around that time, of which some are still stored.
    `assessment` None: nobody has assessed it."""

    result_no: int
    named: Named
    wearer_id: str
    name: str | None
    other_id: str | None
    other_name: str | None
    is_authenticated: bool
    assessment: Assessment | None


class Run(NamedTuple):
    """`counts`: people (or pairs) by grade."""

    run_no: int
    question: Question
    ran_ms: int
    ran_by: str
    purpose: str
    reference: str | None
    rules: dict[str, Any]
    counts: dict[str, int]


class UnfitAssessment(MendableError):
    """What cannot be kept. The message says what to change."""


STORE_RUN = """
INSERT INTO near_runs (ran_at, ran_by, door, purpose, reference, asked, label, lat_deg, lon_deg, radius_m, during, rules, counts)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING run_no
"""
STORE_PEOPLE = """
INSERT INTO near_people (run_no, wearer_no, other_wearer_no, grade, probability, fact_id, fix_time, distance_m, fix_radius_m,
                         possible)
SELECT $1, t.* FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::float8[], $6::bigint[], $7::timestamptz[], $8::float8[],
                           $9::float8[], $10::tstzrange[]) AS t
"""
RUNS = """
SELECT run_no, ran_at, ran_by, purpose, reference, asked, label, lat_deg, lon_deg, radius_m, during, rules, counts FROM near_runs
"""
ONE = f"{RUNS} WHERE run_no = $1"
LAST = f"{RUNS} WHERE ran_by = $1 ORDER BY run_no DESC LIMIT $2"
NUMBERS = "SELECT DISTINCT unnest(ARRAY[wearer_no, other_wearer_no]) AS wearer_no FROM near_people WHERE run_no = $1"
RESULTS = """
SELECT n.*, p.wearer_id, p.name, q.wearer_id AS other_id, q.name AS other_name, a.is_relevant, a.why, a.assessed_at, a.assessed_by
FROM near_people n JOIN people p USING (wearer_no) LEFT JOIN people q ON q.wearer_no = n.other_wearer_no
LEFT JOIN LATERAL (
    SELECT * FROM near_assessments x WHERE x.result_no = n.result_no ORDER BY x.assessment_no DESC LIMIT 1) a ON true
WHERE n.run_no = $1
ORDER BY array_position(ARRAY['INSIDE', 'PROBABLY', 'NOT_EXCLUDED'], n.grade), n.probability DESC, n.distance_m, p.wearer_id
"""
# Of chosen results, those that rest on what nobody vouches for, or of which nobody can tell any more. `which`: results of people
# `n` in runs `r`; `pair_s`: how far apart the two positions of a pair may be. A test prepares what is made of it.
NOT_AUTHENTICATED_OF = """-- of some results
WITH spans AS MATERIALIZED (
    -- The time of each person around which positions count, where more than the named position does: time between positions (also
    -- beside a named position, which says nothing by itself then), or a pair. As far as positions held when it was asked.
    SELECT n.result_no, u.wearer_no,
           CASE WHEN n.other_wearer_no IS NULL OR n.fix_time IS NULL
                THEN lower(coalesce(n.possible, r.during)) - make_interval(secs => (r.rules ->> 'max_gap_ms')::float8 / 1000)
                ELSE n.fix_time - make_interval(secs => {pair_s}) END AS begin_at,
           CASE WHEN n.other_wearer_no IS NULL OR n.fix_time IS NULL
                THEN upper(coalesce(n.possible, r.during)) + make_interval(secs => (r.rules ->> 'max_gap_ms')::float8 / 1000)
                ELSE n.fix_time + make_interval(secs => {pair_s}) END AS end_at
    FROM near_people n JOIN near_runs r USING (run_no) CROSS JOIN LATERAL (VALUES (n.wearer_no), (n.other_wearer_no)) AS u (wearer_no)
    WHERE ({which}) AND u.wearer_no IS NOT NULL AND (n.fact_id IS NULL OR n.possible IS NOT NULL OR n.other_wearer_no IS NOT NULL)
), facts AS MATERIALIZED (
    -- What each result rests on: the position that it names, and those around, by any orders that ever held: it was asked by those of
    -- its day. Of devices that never had an identifier none can be without a key.
    SELECT n.result_no, n.fact_id FROM near_people n JOIN near_runs r USING (run_no) WHERE ({which}) AND n.fact_id IS NOT NULL
    UNION ALL
    SELECT s.result_no, p.fact_id
    FROM spans s
    JOIN activation_versions v ON v.wearer_no = s.wearer_no
    CROSS JOIN LATERAL (
        SELECT fact_id FROM positions
        WHERE device_no = v.device_no AND fix_time >= s.begin_at AND fix_time <= s.end_at AND v.during @> fix_time OFFSET 0) AS p
    WHERE v.device_no IN (SELECT device_no FROM device_identifiers)
)
SELECT f.result_no FROM facts f
WHERE f.fact_id IN (SELECT u.fact_id FROM unauthenticated_among(ARRAY(SELECT fact_id FROM facts)) AS u (fact_id))
UNION
-- Of whom nothing is stored any more.
SELECT s.result_no FROM spans s
WHERE (SELECT true FROM activation_versions v
       JOIN positions p ON p.device_no = v.device_no AND v.during @> p.fix_time
       WHERE v.wearer_no = s.wearer_no AND upper_inf(v.recorded) AND p.fix_time >= s.begin_at AND p.fix_time <= s.end_at
       LIMIT 1) IS NULL
"""
NOT_AUTHENTICATED = NOT_AUTHENTICATED_OF.format(which="n.run_no = $1", pair_s=PAIR_MS / 1000)
NOT_AUTHENTICATED_OF_PERSON = NOT_AUTHENTICATED_OF.format(
    which="n.wearer_no = $1 OR n.other_wearer_no = $1", pair_s=PAIR_MS / 1000
)
OF_RESULT = "SELECT run_no, wearer_no FROM near_people WHERE result_no = $1"
ASSESS = """
INSERT INTO near_assessments (result_no, is_relevant, why, assessed_at, assessed_by) VALUES ($1, $2, $3, $4, $5)
"""


async def store_run(
    connection: Connection,
    looker: Looker,
    question: Question,
    named: Sequence[Named],
    counts: Mapping[Grade, int],
    rules: NearRules,
    now_ms: int,
) -> int:
    """The number of the run. In the caller's transaction, after the looks."""
    spot = question.spot
    number: int = await connection.fetchval(
        STORE_RUN, datetime_of(now_ms), looker.name, str(looker.door), looker.purpose, looker.reference, str(question.asked),
        question.label, spot and spot.lat_deg, spot and spot.lon_deg, question.near_m, _span(question.window), rules._asdict(),
        {str(grade): counts.get(grade, 0) for grade in Grade},
    )  # fmt: skip
    await connection.execute(
        STORE_PEOPLE, number, [n.wearer_no for n in named], [n.other_wearer_no for n in named], [str(n.grade) for n in named],
        [n.probability for n in named], [n.fact_id for n in named],
        [None if n.fix_ms is None else datetime_of(n.fix_ms) for n in named], [n.distance_m for n in named],
        [n.fix_radius_m for n in named], [None if n.possible is None else _span(n.possible) for n in named],
    )  # fmt: skip
    return number


def _span(interval: Interval) -> asyncpg.Range[Any]:
    return asyncpg.Range(datetime_of(interval.begin_ms), datetime_of(interval.end_ms))


def _interval(span: asyncpg.Range[Any]) -> Interval:
    lower, upper = span.lower, span.upper
    if lower is None or upper is None:
        raise ValueError("it was made of an interval")
    return Interval(instant_of(lower), instant_of(upper))


async def load_run(connection: Connection, run_no: int) -> Run | None:
    """A run that the asker may see."""
    row = await connection.fetchrow(ONE, run_no)
    return None if row is None else _run(row)


async def last_runs(connection: Connection, name: str) -> list[Run]:
    """Of one account, the newest first."""
    return [_run(row) for row in await connection.fetch(LAST, name, MOST_RUNS)]


def _run(row: asyncpg.Record) -> Run:
    spot = None if row["lat_deg"] is None else Spot(row["lon_deg"], row["lat_deg"], row["radius_m"])
    question = Question(Asked(row["asked"]), _interval(row["during"]), row["radius_m"], spot, row["label"])
    return Run(
        row["run_no"], question, instant_of(row["ran_at"]), row["ran_by"], row["purpose"], row["reference"], row["rules"],
        row["counts"],
    )  # fmt: skip


async def people_of_run(connection: Connection, run_no: int) -> list[int]:
    """Numbers of everybody whom it names and the asker sees: for the look, which comes before the results."""
    return [row["wearer_no"] for row in await connection.fetch(NUMBERS, run_no) if row["wearer_no"] is not None]


async def results_of(connection: Connection, run_no: int) -> list[Result]:
    """Whom it names, the likeliest first. After the look."""
    rows = await connection.fetch(RESULTS, run_no)
    lower = await _not_authenticated(connection, run_no, rows)
    return [_result(row, row["result_no"] not in lower) for row in rows]


async def _not_authenticated(connection: Connection, run_no: int, rows: Sequence[asyncpg.Record]) -> set[int]:
    """Which results rest on what nobody vouches for. Where each rests on the position that it names alone, as mostly, nothing is
    looked for around."""
    if any(
        row["fact_id"] is None or row["possible"] is not None or row["other_wearer_no"] is not None for row in rows
    ):
        return {row["result_no"] for row in await connection.fetch(NOT_AUTHENTICATED, run_no)}
    lower = await unauthenticated_among(connection, {row["fact_id"] for row in rows})
    return {row["result_no"] for row in rows if row["fact_id"] in lower}


def _result(row: asyncpg.Record, is_authenticated: bool) -> Result:
    named = Named(
        row["wearer_no"], Grade(row["grade"]), row["probability"], row["fact_id"],
        None if row["fix_time"] is None else instant_of(row["fix_time"]), row["distance_m"], row["fix_radius_m"],
        None if row["possible"] is None else _interval(row["possible"]), row["other_wearer_no"],
    )  # fmt: skip
    assessment = None
    if row["assessed_at"] is not None:
        assessment = Assessment(row["is_relevant"], row["why"], instant_of(row["assessed_at"]), row["assessed_by"])
    return Result(
        row["result_no"], named, row["wearer_id"], row["name"], row["other_id"], row["other_name"], is_authenticated,
        assessment,
    )  # fmt: skip


async def run_of_result(connection: Connection, result_no: int) -> tuple[int, int] | None:
    """Its run and its person, if the asker sees it."""
    row = await connection.fetchrow(OF_RESULT, result_no)
    return None if row is None else (row["run_no"], row["wearer_no"])


async def assess(
    connection: Connection, result_no: int, is_relevant: bool, why: str, *, who: str, now_ms: int
) -> None:
    """A person says what a result is worth; it may be said again. Raises UnfitAssessment."""
    if not 0 < len(why) <= LONGEST_TEXT:
        raise UnfitAssessment("Enter why, in at most 1,000 characters.")
    await connection.execute(ASSESS, result_no, is_relevant, why, datetime_of(now_ms), who)
