"""What a supervisor sees of the queue from three metres away: how much is open, how much comes, how fast it is worked, and what was
raised for nothing.

Alarms are measured against EEMUA 191: about one an operator in ten minutes can be worked, more than ten is a flood. Everything is
counted in the database, of what the asker may see, over times that are bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from alerts.grading import Severity
from alerts.life import Move
from alerts.watch import rules_in_force
from geofence import datetime_of, instant_of

if TYPE_CHECKING:
    from datetime import datetime

    from alerts.store import Connection

TEN_MINUTES_MS = 10 * 60_000
SUSTAINABLE = 1
"""Alarms an operator in ten minutes (EEMUA 191)."""
FLOOD = 10
"""More than so many an operator in ten minutes are a flood."""
DAY_MS = 86_400_000
NOISE_MS = 7 * DAY_MS
"""Noise is counted over so long."""
MOST_CLOSED = 10_000
"""Of the newest that were closed in that time."""
MOST_NOISY = 5
MOST_LISTED = 200
AGES_MS = (15 * 60_000, 3_600_000, 8 * 3_600_000, DAY_MS)
"""Open alerts are counted by age: younger than the first, than the second, …, and older."""

NOT_GROUPED = "NOT EXISTS (SELECT FROM alerts p WHERE p.alert_no = a.incident_no AND p.closed_at IS NULL)"
# Buckets count from 0: the youngest.
OPEN_BY_AGE = f"""
SELECT severity, width_bucket(extract(epoch FROM $1::timestamptz - raised_at) * 1000, $2::numeric[]) AS bucket, count(*) AS open
FROM alerts a WHERE closed_at IS NULL AND {NOT_GROUPED} GROUP BY 1, 2
"""  # noqa: S608  a constant made of constants
# Ten minutes each, counted back from now: 0 are the last ten.
RAISED = """
SELECT floor(extract(epoch FROM $1::timestamptz - raised_at) / 600)::bigint AS back, count(*) AS raised
FROM alerts WHERE raised_at > $2 AND raised_at <= $1 GROUP BY 1
"""
# Of what was raised in a day: who took it first, and how late that was; not taken by now counts as late once it is over its time.
ANSWERED = """
SELECT severity, count(*) FILTER (WHERE taken_at <= due_at) AS in_time,
       count(*) FILTER (WHERE taken_at > due_at OR taken_at IS NULL AND due_at < $1 AND closed_at IS NULL) AS late
FROM (
    SELECT a.severity, a.closed_at, a.raised_at + ($3::interval[])[a.severity] AS due_at, t.taken_at
    FROM alerts a LEFT JOIN LATERAL (
        SELECT min(done_at) AS taken_at FROM alert_actions x WHERE x.alert_no = a.alert_no AND x.action = ANY($4::text[])) t ON true
    WHERE a.raised_at > $2 AND a.raised_at <= $1) q GROUP BY severity
"""
# From when it could be known to when it was raised.
DELAY = """
SELECT count(*) AS alerts, percentile_cont(0.5) WITHIN GROUP (ORDER BY late_s) AS half,
       percentile_cont(0.9) WITHIN GROUP (ORDER BY late_s) AS most
FROM (SELECT greatest(0, extract(epoch FROM raised_at - known_at)) AS late_s FROM alerts WHERE raised_at > $2 AND raised_at <= $1) q
"""
# What was closed and still is, with its outcome. `needless`: with another than that a violation was confirmed.
OUTCOMES_SINCE = f"""
    SELECT x.outcome, a.* FROM (
        SELECT alert_no, wearer_no, requirement_id, activation_no, kind, closed_at FROM alerts
        WHERE closed_at > $2 AND closed_at <= $1 ORDER BY closed_at DESC, alert_no DESC LIMIT {MOST_CLOSED}) a
    JOIN alert_actions x ON a.alert_no = x.alert_no AND x.action = 'closed' AND a.closed_at = x.done_at
"""  # noqa: S608
NOISE = f"""
WITH outcomes AS ({OUTCOMES_SINCE}),
counted AS (
    SELECT grouping(requirement_id) AS no_zone, grouping(activation_no) AS no_device, grouping(kind) AS no_kind, wearer_no,
           requirement_id, activation_no, kind, outcome, count(*) AS closed,
           count(*) FILTER (WHERE outcome <> 'VIOLATION') AS needless
    FROM outcomes GROUP BY GROUPING SETS ((wearer_no, requirement_id), (activation_no), (kind), (outcome))),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY no_zone, no_device, no_kind ORDER BY needless DESC, closed DESC) AS place FROM counted
    WHERE (no_zone = 1 OR requirement_id IS NOT NULL) AND (no_device = 1 OR activation_no IS NOT NULL))
SELECT r.*, w.wearer_id, w.name, n.name AS zone_name, d.device_id
FROM ranked r LEFT JOIN people w ON w.wearer_no = r.wearer_no
LEFT JOIN requirement_names n ON n.wearer_no = r.wearer_no AND n.requirement_id = r.requirement_id AND upper_inf(n.recorded)
LEFT JOIN activation_versions v ON v.activation_no = r.activation_no AND upper_inf(v.recorded)
LEFT JOIN devices d USING (device_no)
WHERE place <= $3 AND (needless > 0 OR outcome IS NOT NULL) ORDER BY place
"""  # noqa: S608
# Who worked the queue lately: a line of looks for a quarter of an hour.
ON_DUTY = """
SELECT count(DISTINCT looked_by) FILTER (WHERE role = 'operator') AS operators, count(DISTINCT looked_by) AS staff
FROM looks WHERE wearer_no IS NULL AND what = 'shift' AND door = 'page' AND role IN ('operator', 'supervisor', 'administrator')
    AND looked_at > $1 AND looked_at <= $2
"""
ON_DUTY_MS = 20 * 60_000

OPEN_BETWEEN = f"""
SELECT alert_no FROM alerts a WHERE closed_at IS NULL AND {NOT_GROUPED} AND ($3::bigint IS NULL OR severity = $3)
    AND raised_at > $1 AND raised_at <= $2 ORDER BY severity, raised_at LIMIT $4
"""  # noqa: S608
IN_LISTS: Mapping[str, str] = {
    "open": OPEN_BETWEEN,
    "raised": """SELECT alert_no FROM alerts WHERE raised_at > $1 AND raised_at <= $2 AND ($3::bigint IS NULL OR severity = $3)
        ORDER BY raised_at DESC LIMIT $4""",
    "late": """SELECT alert_no FROM alerts WHERE raised_at > $1 AND raised_at <= $2 AND ($3::bigint IS NULL OR severity = $3)
        ORDER BY raised_at - known_at DESC LIMIT $4""",
}
UNANSWERED = """
SELECT a.alert_no FROM alerts a LEFT JOIN LATERAL (
    SELECT min(done_at) AS taken_at FROM alert_actions x WHERE x.alert_no = a.alert_no AND x.action = ANY($6::text[])) t ON true
WHERE a.raised_at > $1 AND a.raised_at <= $2 AND ($3::bigint IS NULL OR a.severity = $3)
    AND (t.taken_at > a.raised_at + ($5::interval[])[a.severity]
         OR t.taken_at IS NULL AND a.closed_at IS NULL AND a.raised_at + ($5::interval[])[a.severity] < $2)
ORDER BY a.raised_at DESC LIMIT $4
"""
CLOSED_WITH = f"""
SELECT alert_no FROM ({OUTCOMES_SINCE}) o
WHERE ($3::text IS NULL OR outcome = $3) AND ($3 IS NOT NULL OR outcome <> 'VIOLATION') AND ($4::text IS NULL OR kind = $4)
    AND ($5::bigint IS NULL OR activation_no = $5) AND ($6::bigint IS NULL OR wearer_no = $6)
    AND ($7::text IS NULL OR requirement_id = $7)
ORDER BY closed_at DESC LIMIT $8
"""  # noqa: S608
NEVER = timedelta(days=36_500)
TAKEN = [str(move) for move in (Move.ACKNOWLEDGE, Move.TAKE_OVER, Move.START)]


class Answered(NamedTuple):
    """Of what was raised in a day: taken in its time, and not."""

    in_time: int
    late: int


class Flow(NamedTuple):
    """Alarms of ten minutes: the last ones, and the busiest of a day. `floods`: in how many of that day an operator had more
    than ten. `operators`: who work the queue now; at least one is reckoned with."""

    now: int
    most: int
    floods: int
    operators: int

    @property
    def each(self) -> float:
        return self.now / self.operators


class Delay(NamedTuple):
    """From knowable to raised, in a day, in ms; None: nothing was raised."""

    alerts: int
    half_ms: int | None
    most_ms: int | None


class Noisy(NamedTuple):
    """A zone, a device or a kind of alert: how many of its alerts were closed, and how many of them with another outcome than that a
    violation was confirmed. `wearer_no` and `requirement_id`: of a zone."""

    closed: int
    needless: int
    wearer_no: int | None = None
    wearer_id: str | None = None
    name: str | None = None
    requirement_id: str | None = None
    zone_name: str | None = None
    activation_no: int | None = None
    device_id: str | None = None
    kind: str | None = None


class Noise(NamedTuple):
    """The noisiest of each sort, and how many were closed by outcome."""

    zones: list[Noisy]
    devices: list[Noisy]
    kinds: list[Noisy]
    outcomes: dict[str, int]


async def open_by_age(connection: Connection, now_ms: int) -> dict[Severity, list[int]]:
    """Of each severity how many are open, by `AGES_MS`."""
    counts = {severity: [0] * (len(AGES_MS) + 1) for severity in Severity}
    for row in await connection.fetch(OPEN_BY_AGE, datetime_of(now_ms), list(AGES_MS)):
        counts[Severity(row["severity"])][row["bucket"]] += row["open"]
    return counts


async def flow_of(connection: Connection, now_ms: int) -> Flow:
    row = await connection.fetchrow(ON_DUTY, datetime_of(now_ms - ON_DUTY_MS), datetime_of(now_ms))
    assert row is not None, "an aggregate is one row"
    operators = max(1, row["operators"] or row["staff"])
    raised = {
        one["back"]: one["raised"]
        for one in await connection.fetch(RAISED, datetime_of(now_ms), datetime_of(now_ms - DAY_MS))
    }
    floods = sum(count > FLOOD * operators for count in raised.values())
    return Flow(raised.get(0, 0), max(raised.values(), default=0), floods, operators)


async def answered(connection: Connection, now_ms: int) -> dict[Severity, Answered]:
    rows = await connection.fetch(
        ANSWERED, datetime_of(now_ms), datetime_of(now_ms - DAY_MS), await _targets(connection), TAKEN
    )
    found = {Severity(row["severity"]): Answered(row["in_time"], row["late"]) for row in rows}
    return {severity: found.get(severity, Answered(0, 0)) for severity in Severity}


async def _targets(connection: Connection) -> list[timedelta]:
    """The time to acknowledge, by severity, by the rules of now; where there is none, nothing is late."""
    rules = (await rules_in_force(connection)).rules
    minutes = (rules.of(severity).acknowledge for severity in Severity)
    return [NEVER if one is None else timedelta(minutes=one) for one in minutes]


async def delay_of(connection: Connection, now_ms: int) -> Delay:
    row = await connection.fetchrow(DELAY, datetime_of(now_ms), datetime_of(now_ms - DAY_MS))
    assert row is not None, "an aggregate is one row"
    return Delay(
        row["alerts"], *(None if row[name] is None else round(row[name] * 1000) for name in ("half", "most"))
    )


async def noise_of(connection: Connection, now_ms: int) -> Noise:
    noise = Noise([], [], [], {})
    rows = await connection.fetch(NOISE, datetime_of(now_ms), datetime_of(now_ms - NOISE_MS), MOST_NOISY)
    for row in rows:
        if row["outcome"] is not None:
            noise.outcomes[row["outcome"]] = row["closed"]
        elif not row["no_zone"]:
            noise.zones.append(
                Noisy(row["closed"], row["needless"], row["wearer_no"], row["wearer_id"], row["name"], row["requirement_id"],
                      row["zone_name"])
            )  # fmt: skip
        elif not row["no_device"]:
            noise.devices.append(
                Noisy(row["closed"], row["needless"], activation_no=row["activation_no"], device_id=row["device_id"])
            )
        else:
            noise.kinds.append(Noisy(row["closed"], row["needless"], kind=row["kind"]))
    return noise


class WallList(NamedTuple):
    """Which alerts a number of the wall stands for. `of`: open, raised, late, unanswered, needless. The rest narrows it down."""

    of: str
    severity: int | None = None
    age: int | None = None
    """Of open ones: which of `AGES_MS`, from 0."""
    kind: str | None = None
    activation_no: int | None = None
    wearer_no: int | None = None
    requirement_id: str | None = None
    outcome: str | None = None


LISTS = ("open", "raised", "late", "unanswered", "needless")


async def numbers_behind(connection: Connection, wanted: WallList, now_ms: int) -> list[int]:
    """The alerts that a number of the wall counts, at most `MOST_LISTED`."""
    now, day = datetime_of(now_ms), datetime_of(now_ms - DAY_MS)
    if wanted.of == "needless":
        return await _numbers(
            connection, CLOSED_WITH, now, datetime_of(now_ms - NOISE_MS), wanted.outcome, wanted.kind, wanted.activation_no,
            wanted.wearer_no, wanted.requirement_id, MOST_LISTED,
        )  # fmt: skip
    if wanted.of == "unanswered":
        return await _numbers(
            connection, UNANSWERED, day, now, wanted.severity, MOST_LISTED, await _targets(connection), TAKEN
        )
    begin, end = (day, now) if wanted.of == "late" else (datetime_of(now_ms - TEN_MINUTES_MS), now)
    if wanted.of == "open":
        begin, end = _raised_between(wanted.age, now_ms)
    return await _numbers(connection, IN_LISTS[wanted.of], begin, end, wanted.severity, MOST_LISTED)


def _raised_between(age: int | None, now_ms: int) -> tuple[datetime, datetime]:
    edges = (0, *AGES_MS, now_ms)
    if age is None or not 0 <= age < len(edges) - 1:
        return datetime_of(0), datetime_of(now_ms)
    return datetime_of(now_ms - edges[age + 1]), datetime_of(now_ms - edges[age])


async def _numbers(connection: Connection, statement: str, *arguments: object) -> list[int]:
    return [row["alert_no"] for row in await connection.fetch(statement, *arguments)]


# ---------------------------------------------------------------------------------------------- not monitored

SILENT = """
SELECT DISTINCT ON (a.wearer_no) a.wearer_no, a.alert_no, a.kind, v.begin_at
FROM alerts a JOIN alert_occurrences o USING (alert_no) CROSS JOIN LATERAL newest_version(o.finding_no) v
WHERE (a.closed_at IS NULL OR a.reopen_at IS NOT NULL) AND v.change <> 'withdrawn' AND v.end_at IS NULL
    AND (a.kind = 'NO_COMMUNICATION' OR a.kind = 'TAMPER' AND v.reason = 'STRAP_TAMPER')
ORDER BY a.wearer_no, v.begin_at
"""
STANDING = """
SELECT DISTINCT ON (wearer_no) wearer_no, is_taken, done_at, done_by, note FROM gap_work WHERE wearer_no = ANY($1::bigint[])
ORDER BY wearer_no, work_no DESC
"""
WORK = "INSERT INTO gap_work (wearer_no, is_taken, done_at, done_by, note) VALUES ($1, $2, $3, $4, $5)"


class Silent(NamedTuple):
    """Somebody whose tag is silent, or whose strap is open, and the alert that says so."""

    wearer_no: int
    alert_no: int
    kind: str
    since_ms: int


class GapWork(NamedTuple):
    """Who sees to it."""

    done_by: str
    done_ms: int
    note: str | None


async def silent_people(connection: Connection) -> dict[int, Silent]:
    """By wearer. After the look is on record."""
    return {
        row["wearer_no"]: Silent(row["wearer_no"], row["alert_no"], row["kind"], instant_of(row["begin_at"]))
        for row in await connection.fetch(SILENT)
    }


async def work_on(connection: Connection, since_ms: Mapping[int, int]) -> dict[int, GapWork]:
    """Who took whom since when the gap began, by wearer."""
    return {
        row["wearer_no"]: GapWork(row["done_by"], instant_of(row["done_at"]), row["note"])
        for row in await connection.fetch(STANDING, list(since_ms))
        if row["is_taken"] and instant_of(row["done_at"]) >= since_ms[row["wearer_no"]]
    }


async def work_gap(
    connection: Connection, wearer_no: int, *, taken: bool, who: str, note: str | None, now_ms: int
) -> None:
    """Somebody sees to a person who is not monitored, or does so no longer."""
    await connection.execute(WORK, wearer_no, taken, datetime_of(now_ms), who, note)
