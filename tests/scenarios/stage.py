"""Where stories are played: in the core, in the running service, and in the service with everything at once and shuffled.

A deployment costs half a second to make and some milliseconds to empty, so that tests share one and begin with nothing in
it. Facts of the service are read back from its database, so that what is compared is what was stored.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

import asyncpg
import msgspec

from emtrack.forms.lines import finding_line
from emtrack.forms.reading import read_orders
from emtrack.forms.to_core import plans_of
from emtrack.record.facts import load_facts
from emtrack.record.plans import load_assignments
from emtrack.record.zone_sets import ZoneSetCache
from geofence.facts import DeviceEvent, Fact, Position
from geofence.intervals import merged
from geofence.judgement.findings import Finding
from geofence.judgement.judge import judge_history
from geofence.obligations import Activation, Plan
from geofence.words import ALWAYS_MS, FOREVER_MS, EventType, Mechanism, format_instant, parse_instant
from tests.db_fixtures import SUPERUSER, with_user
from tests.scenarios.story import (
    Again,
    Closed,
    Down,
    Entered,
    Event,
    Found,
    Raised,
    Restarted,
    Sent,
    Shows,
    Story,
    Tick,
)
from tests.service_world import World, deployed

SILENCE = "NO_COMMUNICATION"

# ---------------------------------------------------------------------------------------------- one deployment for many

FILLED = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public' AND NOT c.relispartition
  AND c.relname NOT IN ('schema_migrations', 'shard_count')
"""


async def emptied(dsn: str) -> None:
    """As it was when it was migrated: every row goes, which only tests may do."""
    connection = await asyncpg.connect(with_user(dsn, SUPERUSER))
    try:
        tables = [row[0] for row in await connection.fetch(FILLED)]
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")  # no order among the tables
            for table in tables:
                await connection.execute(f"DELETE FROM {table}")  # noqa: S608
    finally:
        await connection.close()


@asynccontextmanager
async def empty_deployment(dsn: str, form: dict[str, Any], at_ms: int) -> AsyncIterator[World]:
    await emptied(dsn)
    async with deployed(dsn, form, at=format_instant(at_ms)) as world:
        world.stopwatch.stop()
        yield world


def iso(at_ms: int) -> str:
    return format_instant(at_ms)


# ---------------------------------------------------------------------------------------------- what is compared


def found_of(line: dict[str, Any]) -> Found:
    end = line["end"]
    return Found(
        line["wearer_id"], line["requirement_id"], line["kind"], line["reason"], parse_instant(line["begin"]),
        None if end is None else parse_instant(end), parse_instant(line["known_at"]), line["within_grace"],
    )  # fmt: skip


def found(pairs: Iterable[tuple[Activation, Finding]]) -> list[Found]:
    lines = (msgspec.to_builtins(finding_line(activation, finding)[1]) for activation, finding in pairs)
    return [found_of(line) for line in lines]


def told(findings: Iterable[Found]) -> list[str]:
    """Findings as sorted lines, in the words of the stories."""
    lines = []
    for f in findings:
        end = ", lasting" if f.end_ms is None else f" to {iso(f.end_ms)}"
        what = " ".join(filter(None, [f.wearer_id, f.kind, f.reason, f.requirement_id and f"on {f.requirement_id}"]))
        grace = ", within grace" if f.within_grace else ""
        lines.append(f"{what} from {iso(f.begin_ms)}{end}, known {iso(f.known_ms)}{grace}")
    return sorted(lines)


# ---------------------------------------------------------------------------------------------- the course of a story


def merged_forms(*forms: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Orders as they stand after several entries: of a tag on somebody and of a requirement the last entry holds."""
    together: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for form in forms:
        activations = {row["activation_id"] for row in form.get("activations", [])}
        requirements = {row["requirement_id"] for row in form.get("requirements", [])}
        kept = [row for row in together["activations"] if row["activation_id"] not in activations]
        together["activations"] = kept
        kept = [row for row in together["requirements"] if row["requirement_id"] not in requirements]
        together["requirements"] = kept
        for what, rows in form.items():
            together[what] = together[what] + rows
    return dict(together)


def outages(story: Story) -> list[tuple[int, int]]:
    return [(e.at_ms, e.action.until_ms) for e in story.course if isinstance(e.action, Down)]


def received_ms(story: Story, at_ms: int) -> int:
    """When what is sent then is received: a device that finds nobody keeps it and comes again."""
    return next((end_ms for begin_ms, end_ms in outages(story) if begin_ms < at_ms < end_ms), at_ms)


def numbered(story: Story) -> list[Event]:
    """The course as it reaches the service: receipts during an outage after it, reports with their numbers, and what is
    delivered again as reports of its own."""
    events = sorted(
        (Event(received_ms(story, e.at_ms), e.action) if isinstance(e.action, Sent | Again) else e for e in story.course),
        key=lambda event: event.at_ms,
    )  # fmt: skip
    sent: dict[str, list[dict[str, Any]]] = defaultdict(list)
    numbers: dict[str, int] = defaultdict(int)
    course = []
    for event in events:
        action = event.action
        if isinstance(action, Sent):
            numbers[action.device_id] += 1
            report = {"seq": numbers[action.device_id], **action.report}
            sent[action.device_id].append(report)
            course.append(Event(event.at_ms, Sent(action.device_id, report)))
        elif isinstance(action, Again):
            for report in list(sent[action.device_id]):
                if action.first_ms <= own_ms(report) <= action.last_ms:
                    if action.renumbered:
                        numbers[action.device_id] += 1
                        report = {**report, "seq": numbers[action.device_id]}
                    course.append(Event(event.at_ms, Sent(action.device_id, report)))
        else:
            course.append(event)
    return course


def own_ms(report: dict[str, Any]) -> int:
    return parse_instant(report["fix_time"] if report["type"] == "position" else report["event_time"])


def fact_of(report: dict[str, Any], at_ms: int, units: dict[str, str]) -> Fact:
    if report["type"] == "event":
        unit = report.get("hmu_id")
        return DeviceEvent(own_ms(report), EventType(report["event"]), units.get(unit, unit), at_ms)
    precision_m = None if report["precision_m"] is None else float(report["precision_m"])
    mechanism = Mechanism(report["mechanism"])
    return Position(own_ms(report), report["lat_deg"], report["lon_deg"], precision_m, mechanism, at_ms)


# ---------------------------------------------------------------------------------------------- in the core


def _plans(story: Story, now_ms: int) -> list[Plan]:
    """What was held at that instant, with each activation's entry and the outages until then."""
    entries = [(story.ready_ms, story.orders)]
    entries += [(e.at_ms, e.action.form) for e in story.course if isinstance(e.action, Entered) and e.at_ms <= now_ms]
    told_at: dict[str, int] = {}
    for at_ms, form in entries:
        for row in form.get("activations", []):
            told_at.setdefault(row["activation_id"], at_ms)
    orders = read_orders(json.dumps(merged_forms(*(form for _, form in entries))), story.name)
    ours = [(ALWAYS_MS, story.ready_ms), *(span for span in outages(story) if span[1] <= now_ms)]
    plans = []
    for plan in plans_of(orders):
        activation = msgspec.structs.replace(plan.activation, entered_ms=told_at[plan.activation.activation_id])
        plans.append(msgspec.structs.replace(plan, activation=activation, outages=tuple(merged(ours))))
    return plans


def _units(story: Story) -> dict[str, str]:
    forms = [story.orders, *(e.action.form for e in story.course if isinstance(e.action, Entered))]
    return {row["hmu_id"]: row["requirement_id"] for form in forms for row in form.get("home_units", [])}


def in_the_core(story: Story, now_ms: int) -> list[Found]:
    """The findings of the whole history at that instant."""
    facts: dict[str, list[Fact]] = defaultdict(list)
    for event in numbered(story):
        if isinstance(event.action, Sent) and event.at_ms <= now_ms:
            facts[event.action.device_id].append(fact_of(event.action.report, event.at_ms, _units(story)))
    pairs = []
    for plan in _plans(story, now_ms):
        span = plan.activation
        own = [fact for fact in facts[span.device_id] if span.from_ms <= fact.own_ms < span.to_ms]
        pairs += [(span, finding) for finding in judge_history(plan, own, now_ms)]
    return found(pairs)


# ---------------------------------------------------------------------------------------------- in the service


class Stage:
    """One deployment in which a story is played, event by event."""

    def __init__(self, world: World) -> None:
        self.world = world

    def moved_to(self, at_ms: int) -> None:
        assert at_ms >= self.world.clock.at_ms, "a story goes forward"
        self.world.clock.at_ms = at_ms

    async def send(self, device_id: str, reports: Sequence[dict[str, Any]]) -> None:
        answer = await self.world.send(device_id, *reports)
        assert answer.ack == [report["seq"] for report in reports]

    async def shown(self) -> list[Found]:
        return [found_of(line) for line in await self.world.lines()]

    async def do(self, event: Event) -> None:
        action = event.action
        if isinstance(action, Down):
            await self.world.turn()
            self.moved_to(action.until_ms)
            await self.world.start()
        elif isinstance(action, Restarted):
            await self.world.start()
        elif isinstance(action, Entered):
            await self.world.enter(action.form)
        elif isinstance(action, Closed):
            await self.close(action.wearer_id, action.kind)
        await self.world.turn()
        if isinstance(action, Shows):
            shown = [f for f in await self.shown() if f.wearer_id == action.wearer_id]
            assert told(shown) == told(action.findings), f"shown at {iso(event.at_ms)}"

    async def close(self, wearer_id: str, kind: str) -> None:
        closed = await self.world.connection.execute(
            "UPDATE alerts a SET closed_at = greatest(raised_at, $3) FROM wearers w WHERE w.wearer_no = a.wearer_no "
            "AND w.wearer_id = $1 AND a.kind = $2 AND a.closed_at IS NULL",
            wearer_id, kind, _moment(self.world.clock.at_ms),
        )  # fmt: skip
        assert closed == "UPDATE 1", f"{wearer_id} has no open alert of {kind}"

    async def play(self, story: Story) -> None:
        """The course in order of receipt. The clock also stops where something must be shown, as a watch would."""
        course = numbered(story)
        course += [Event(f.shown_ms, Tick()) for f in story.findings if f.shown_ms is not None]
        course += [Event(alert.raised_ms, Tick()) for alert in story.alerts or [] if alert.raised_ms is not None]
        course += [Event(together.by_ms, Tick()) for together in story.together]
        down = outages(story)
        for at_ms, events in groupby(sorted(course, key=lambda event: event.at_ms), key=lambda event: event.at_ms):
            if any(begin_ms < at_ms < end_ms for begin_ms, end_ms in down):
                continue  # a tick at which we did not run
            self.moved_to(at_ms)
            await self._take(list(events))
        self.moved_to(story.now_ms)
        await self.world.turn()

    async def _take(self, events: Sequence[Event]) -> None:
        for device_id, same in groupby(
            events, key=lambda e: e.action.device_id if isinstance(e.action, Sent) else ""
        ):
            if device_id:
                await self.send(device_id, [e.action.report for e in same if isinstance(e.action, Sent)])
            else:
                for event in same:
                    await self.do(event)

    async def play_at_once(self, story: Story, rng: random.Random) -> None:
        """All orders entered, and then all reports at the end, in any order, a third of them more than once, in requests of
        any size, with a restart among them."""
        for event in story.course:
            if isinstance(event.action, Entered):
                await self.world.enter(event.action.form)
        self.moved_to(story.now_ms)
        await self.world.turn()
        sent = [e.action for e in numbered(story) if isinstance(e.action, Sent)]
        sent += rng.sample(sent, len(sent) // 3)
        rng.shuffle(sent)
        while sent:
            count = rng.randint(1, max(1, len(sent) // 3))
            batch, sent = sorted(sent[:count], key=lambda s: s.device_id), sent[count:]
            for device_id, same in groupby(batch, key=lambda s: s.device_id):
                await self.world.submit(device_id, *(s.report for s in same))
            await self.world.turn()
            if rng.random() < 0.25:
                await self.world.start()
        await self.world.turn()

    async def by_the_facts(self, now_ms: int) -> list[Found]:
        """What the core makes of the facts that were stored, under the orders that are held."""
        assignments = list((await load_assignments(self.world.connection, now_ms)).values())
        facts = await load_facts(self.world.connection, [(assignment, ALWAYS_MS) for assignment in assignments])
        pairs = []
        for assignment in assignments:
            sets = await ZoneSetCache().sets_of(self.world.connection, assignment.plan.requirements)
            history = judge_history(assignment.plan, facts[assignment.activation_no], now_ms, sets)
            pairs += [(assignment.plan.activation, finding) for finding in history]
        return found(pairs)

    # ------------------------------------------------------------------------------------- what is recorded

    async def kinds_ever(self) -> set[tuple[str, str]]:
        rows = await self.world.connection.fetch(
            "SELECT DISTINCT w.wearer_id, f.kind FROM findings f JOIN activation_versions v USING (activation_no) "
            "JOIN wearers w USING (wearer_no)"
        )
        return {(row["wearer_id"], row["kind"]) for row in rows}

    SHOWN_SINCE = """
    SELECT w.wearer_id, v.requirement_id, f.kind, v.reason, epoch_ms(v.begin_at) AS begin_ms,
           min(epoch_ms(v.recorded_at)) AS shown_ms
    FROM findings f JOIN finding_versions v USING (finding_no) JOIN activation_versions a USING (activation_no)
    JOIN wearers w USING (wearer_no) WHERE v.change <> 'withdrawn' GROUP BY 1, 2, 3, 4, 5
    """

    async def shown_since(self) -> dict[tuple[Any, ...], int]:
        """When a finding with this beginning was shown first, whatever its reason was then."""
        since: dict[tuple[Any, ...], int] = {}
        for row in await self.world.connection.fetch(self.SHOWN_SINCE):
            key = (row["wearer_id"], row["requirement_id"], row["kind"], row["begin_ms"])
            since[key] = min(since.get(key, FOREVER_MS), row["shown_ms"])
        return since

    ALERTS = """
    SELECT w.wearer_id, a.kind, a.requirement_id, a.code, a.severity::int AS severity, a.closed_at IS NOT NULL AS closed,
           a.previous_alert_no IS NOT NULL AS linked, epoch_ms(a.raised_at) AS raised_ms,
           count(o.finding_no)::int AS findings, coalesce(bool_and(v.change = 'withdrawn'), false) AS withdrawn
    FROM alerts a LEFT JOIN wearers w USING (wearer_no) LEFT JOIN alert_occurrences o USING (alert_no)
    LEFT JOIN LATERAL (
        SELECT change FROM finding_versions WHERE finding_no = o.finding_no ORDER BY version DESC LIMIT 1) v ON true
    GROUP BY a.alert_no, w.wearer_id ORDER BY a.alert_no
    """

    async def alerts(self) -> list[Raised]:
        return [
            Raised(
                row["wearer_id"], row["kind"], row["requirement_id"], row["code"], row["severity"], row["findings"],
                row["closed"], row["withdrawn"], row["linked"], row["raised_ms"],
            )
            for row in await self.world.connection.fetch(self.ALERTS)
        ]  # fmt: skip


def _moment(at_ms: int) -> Any:
    from geofence.words import datetime_of

    return datetime_of(at_ms)
