"""The demonstration: its past, built through the real pipeline, and its live part that goes on after an interruption."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import msgspec
import pytest

from alerts.casework import OUTCOMES
from emtrack.db.connect import Connection, connect
from emtrack.db.migrate import migrate
from emtrack.demo import run as demo
from emtrack.demo.history import STEP_MS, STEP_OF_FEW_MS, Demo, Progress, build_history
from emtrack.demo.operator import ACKNOWLEDGED_AFTER_MIN, LOOKED_AT_AFTER_MIN, LOOKED_AT_AGAIN_AFTER_MIN, operator_at
from emtrack.demo.run import DemoRefused, last_evening_ms, run_demo
from emtrack.emulator import PRESETS
from emtrack.service.app import running_service
from emtrack.service.worker import Pace
from emtrack.settings import ClockSetting, Settings
from geofence.words import Kind, datetime_of, instant_of, parse_instant
from tests.db_fixtures import TEMPLATE, TestServer, server_pid
from tests.service_world import assert_conserved, deployed, orders

END_MS = parse_instant("2026-03-05T07:30:00Z")  # after a night
PAST = Demo(wearers=40, long=4, hours=9, days=1.5, seed=21, end_ms=END_MS)
SMALL = {"wearers": 6, "long": 2, "hours": 1.0, "days": 0.1, "seed": 1}
HOUR = timedelta(hours=1)


class Past:
    """A history that was built once, in a database that tests only read."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.keys: dict[str, str] = {}
        self.progress: list[Progress] = []

    async def build(self) -> None:
        connection = await connect(self.dsn)
        try:
            self.keys = await build_history(
                connection, PAST, PAST.worlds(), tell=self.progress.append, stop=asyncio.Event()
            )
        finally:
            await connection.close()


@pytest.fixture(scope="module")
def past(embedded_test_server: TestServer) -> Iterator[Past]:
    with asyncio.Runner() as runner:
        dsn = runner.run(embedded_test_server.create("demo_past", TEMPLATE))
        found = Past(dsn)
        runner.run(found.build())
        yield found
        runner.run(embedded_test_server.drop("demo_past"))


@pytest.fixture
async def record(past: Past) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await connect(past.dsn)
    yield connection
    await connection.close()


# --- the past ---------------------------------------------------------------------------------------------------------


async def test_everybody_has_a_past_and_a_few_have_a_longer_one(record: asyncpg.Connection[Any]) -> None:
    rows = await record.fetch(
        "SELECT wearer_id, min(at) AS first, max(at) AS last FROM (SELECT device_no, fix_time AS at FROM positions "
        "UNION ALL SELECT device_no, event_time FROM device_events) f JOIN activation_versions v "
        "USING (device_no) JOIN wearers w USING (wearer_no) WHERE v.during @> at GROUP BY wearer_id ORDER BY 1"
    )
    assert [row["wearer_id"] for row in rows] == [f"W{number:04d}" for number in range(1, 41)]
    end = datetime_of(END_MS)
    for row in rows:
        length = timedelta(days=1.5) if row["wearer_id"] <= "W0004" else timedelta(hours=9)
        assert end - length - HOUR < row["first"] < end - length + HOUR
        assert row["last"] > end - 9 * HOUR


async def test_a_wearer_is_entered_when_their_past_begins(record: asyncpg.Connection[Any]) -> None:
    rows = await record.fetch(
        "SELECT changed_at, count(*) FROM order_changes WHERE what = 'wearer entered' GROUP BY 1"
    )
    entered = {row["changed_at"]: row["count"] for row in rows}
    assert [entered[instant] for instant in sorted(entered)] == [4, 36]
    assert [world.start_ms for world in PAST.worlds()] == [instant_of(instant) for instant in sorted(entered)]


async def test_every_report_of_the_past_is_accounted_for(past: Past, record: asyncpg.Connection[Any]) -> None:
    received = await assert_conserved(record)
    sent = {
        world.wearers[0].number: sum(len(upload.reports) for upload in world.uploads(world.start_ms, END_MS))
        for world in PAST.worlds()
    }
    assert sum(received.values()) == sum(sent.values()) == past.progress[-1].reports
    assert await record.fetchval("SELECT count(*) FROM judgement_faults") == 0


async def test_a_past_has_no_outage(record: asyncpg.Connection[Any]) -> None:
    rows = await record.fetch("SELECT upper(during) AS until, cause FROM outages")
    assert [(instant_of(row["until"]), row["cause"]) for row in rows] == [
        (PAST.worlds()[0].start_ms, "before the first start")
    ]
    assert instant_of(await record.fetchval("SELECT alive_at FROM liveness")) == END_MS


async def test_alerts_are_raised_in_the_step_that_could_know_of_them(record: asyncpg.Connection[Any]) -> None:
    others_ms = PAST.worlds()[1].start_ms
    rows = await record.fetch(
        "SELECT a.kind, a.raised_at, a.known_at, min(v.recorded_at) AS found_at FROM alerts a "
        "JOIN alert_occurrences o USING (alert_no) JOIN finding_versions v USING (finding_no) "
        "WHERE NOT v.within_grace GROUP BY a.alert_no"
    )
    assert len(rows) >= 8
    for row in rows:
        step_ms = STEP_OF_FEW_MS if instant_of(row["raised_at"]) <= others_ms else STEP_MS
        if row["kind"] not in (Kind.UNVERIFIED, Kind.EXCLUSION):  # an entry is possible before it is found
            assert row["raised_at"] == row["found_at"]
        if row["kind"] == Kind.NO_COMMUNICATION:  # found by the clock: nothing has to come first
            assert timedelta(0) <= row["raised_at"] - row["known_at"] <= timedelta(milliseconds=step_ms)


ACTIONS = """
SELECT a.alert_no, a.severity, a.raised_at, a.closed_at, c.action, c.done_at, c.done_by, c.outcome, c.note
FROM alerts a LEFT JOIN alert_actions c USING (alert_no) ORDER BY a.alert_no, c.action_no
"""
# Open ones last if any of their findings has no end; `last_end` is the end of the last finding otherwise.
STANDING = """
SELECT a.alert_no, a.raised_at, a.closed_at, bool_or(v.end_at IS NULL AND v.change <> 'withdrawn') AS lasts,
       max(v.end_at) AS last_end
FROM alerts a JOIN alert_occurrences o USING (alert_no)
CROSS JOIN LATERAL (SELECT * FROM finding_versions WHERE finding_no = o.finding_no ORDER BY version DESC LIMIT 1) v
GROUP BY a.alert_no
"""


async def test_the_operator_acknowledged_within_minutes_and_closed_with_an_outcome(
    record: asyncpg.Connection[Any],
) -> None:
    end = datetime_of(END_MS)
    rows = await record.fetch(ACTIONS)
    for row in rows:
        if row["action"] == "acknowledged":  # the severity may have risen since
            slowest = timedelta(minutes=max(most for _, most in ACKNOWLEDGED_AFTER_MIN.values()))
            assert timedelta(0) < row["done_at"] - row["raised_at"] <= slowest
        if row["action"] in ("escalated", "unacknowledged", "reopened"):  # by the clock
            continue
        if row["action"] is not None:
            assert row["done_by"] == operator_at(instant_of(row["done_at"]))
            assert row["done_at"] < end
    closed = [row for row in rows if row["action"] == "closed"]
    assert len(closed) >= 5
    assert all(row["outcome"] in OUTCOMES and row["note"] and row["closed_at"] == row["done_at"] for row in closed)


async def test_what_is_open_at_the_end_is_young_or_lasts_or_was_over_only_now(
    record: asyncpg.Connection[Any],
) -> None:
    end = datetime_of(END_MS)
    rows = await record.fetch(STANDING)
    assert any(row["closed_at"] is None for row in rows)
    for row in rows:
        if row["closed_at"] is None:
            slowest = max(most for _, most in LOOKED_AT_AFTER_MIN.values()) + max(
                most for _, most in ACKNOWLEDGED_AFTER_MIN.values()
            )
            young = row["raised_at"] > end - timedelta(minutes=slowest)
            assert young or row["lasts"] or row["last_end"] > end - timedelta(minutes=LOOKED_AT_AGAIN_AFTER_MIN[1])
        else:
            assert not row["lasts"]


def test_progress_goes_from_nothing_to_everything(past: Past) -> None:
    shares = [progress.share for progress in past.progress]
    assert shares == sorted(shares)
    assert shares[0] < 0.01
    assert shares[-1] == 1.0
    orders = [world.orders() for world in PAST.worlds()]
    tags = {row["device_id"] for one in orders for row in one["activations"]}
    assert set(past.keys) == tags | {row["hmu_id"] for one in orders for row in one["home_units"]}


# --- the live part ----------------------------------------------------------------------------------------------------


class Stage:
    """Runs the demo in this process, and ends it where a test wants to."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.said: list[str] = []

    async def run(self, end_at: Callable[[str], bool] | None = None, **options: Any) -> list[str]:
        """Until a line is said for which `end_at` holds: by default the one that ends the announcement."""
        stop = asyncio.Event()
        self.said = []

        def say(text: str) -> None:
            self.said.append(text)
            if (end_at or _announced)(text):
                stop.set()

        async with asyncio.timeout(60):
            await run_demo(self.settings, stop, say=say, **{**SMALL, **options})
        return self.said

    @property
    def passwords(self) -> dict[str, str]:
        lines = [line.split() for line in self.said if line.startswith("  demo-")]
        return {name: password for name, password in lines}


def _announced(line: str) -> bool:
    return line.startswith("Ctrl-C")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn without reports waits less, so that the service ends at once."""
    monkeypatch.setattr(demo, "running_service", partial(running_service, pace=Pace(max_wait_s=0.05)))


@pytest.fixture
def stage(database_url: str, tmp_path: Path) -> Stage:
    return Stage(Settings(data_dir=tmp_path, database_url=database_url, listen="127.0.0.1:0"))


async def facts_of(stage: Stage) -> dict[str, Any]:
    connection = await connect(stage.settings.database_url or "")
    try:
        await assert_conserved(connection)
        return {
            "clock": tuple(await connection.fetchrow("SELECT clock_start, clock_rate, clock_anchor FROM deployment")),
            "wearers": await connection.fetchval("SELECT count(*) FROM wearers"),
            "began": await connection.fetchval("SELECT count(*) FROM order_changes WHERE what = 'demo began'"),
            "keys": await connection.fetchval("SELECT count(*) FROM device_keys"),
            "outages": await connection.fetchval("SELECT count(*) FROM outages"),
            "reports": await connection.fetchval("SELECT sum(received) FROM device_counts"),
        }
    finally:
        await connection.close()


async def test_the_demo_says_where_it_is_who_may_enter_and_what_its_clock_shows(stage: Stage) -> None:
    """And its live part goes on from the past without an outage."""
    said = await stage.run()
    assert any(line.startswith("emtrack demo: http://127.0.0.1:") and line.endswith("/alerts") for line in said)
    assert list(stage.passwords) == ["demo-operator", "demo-officer", "demo-administrator"]
    assert all(len(password) >= 12 for password in stage.passwords.values())
    assert any("clock is emulated and shows" in line and "18:5" in line for line in said)
    assert (await facts_of(stage))["outages"] == 1  # the one before everything


async def test_started_again_it_goes_on_with_the_same_clock_people_and_keys(stage: Stage) -> None:
    await stage.run()
    before, passwords = await facts_of(stage), stage.passwords
    said = await stage.run(wearers=7)
    after = await facts_of(stage)
    for name in ("clock", "wearers", "began", "keys"):
        assert after[name] == before[name]
    assert after["reports"] >= before["reports"]
    assert not set(stage.passwords.values()) & set(passwords.values())
    assert any("--wearers 6" in line for line in said)
    assert not any("Building" in line for line in said)


async def test_a_half_built_history_is_built_anew_and_said_so(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "TELL_EVERY_S", 0.0)
    said = await stage.run(end_at=lambda line: "50%" in line)
    assert said[-1].startswith("Stopped before the history was complete")
    monkeypatch.undo()
    said = await stage.run()
    assert "not complete" in said[0]
    facts = await facts_of(stage)
    assert (facts["wearers"], facts["began"], facts["outages"]) == (6, 1, 1)


async def test_what_begins_anew_finds_all_rows_that_migrations_put_there(stage: Stage) -> None:
    """And none besides: a log without its kinds could not be checked, a stream without its shards not begun."""
    connection = await connect(stage.settings.database_url or "")
    try:
        await migrate(connection)
        new = await rows_by_table(connection)
        await connection.execute("INSERT INTO wearers (wearer_id, name) VALUES ('W1', 'Somebody invented')")
        await connection.execute(demo.EMPTY)
        assert await rows_by_table(connection) == new
    finally:
        await connection.close()


async def rows_by_table(connection: Connection) -> dict[str, int]:
    """How many rows each table has that has any."""
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    counts = {name: len(await connection.fetch(f'TABLE "{name}"')) for (name,) in tables}
    return {name: count for name, count in counts.items() if count}


async def test_keys_are_in_a_file_of_their_owner_alone_and_are_made_anew_when_it_is_gone(stage: Stage) -> None:
    await stage.run()
    path = stage.settings.data_dir / "demo" / "device-keys.json"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    before = msgspec.json.decode(path.read_bytes())
    path.unlink()
    await stage.run()
    after = msgspec.json.decode(path.read_bytes())
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())


async def test_tags_send_to_the_service_while_it_is_on(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "AGAIN_MS", 20 * 60_000)
    stop = asyncio.Event()
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def say(text: str) -> None:
        if text.startswith("emtrack demo: "):
            address.set_result(text.removeprefix("emtrack demo: ").removesuffix("/alerts"))

    await stage.run()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:  # started again, tags repeat their last minutes
        group.create_task(run_demo(stage.settings, stop, say=say, **SMALL))
        async with aiohttp.ClientSession(await address) as session:
            while not await _answers(session):
                continue
        stop.set()


async def _answers(session: aiohttp.ClientSession) -> int:
    """How many uploads the service has taken since it was started."""
    async with session.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum('status="200"' in line and not line.endswith(" 0.0") for line in lines)


async def test_the_embedded_server_ends_with_the_demo_whether_built_or_not(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir.chmod(0o755)  # the server's own user passes through it
    stage = Stage(Settings(data_dir=data_dir, listen="127.0.0.1:0"))
    monkeypatch.setattr(demo, "TELL_EVERY_S", 0.0)
    await stage.run(end_at=lambda line: "20%" in line)
    assert server_pid(data_dir / "demo") is None
    await stage.run()
    assert server_pid(data_dir / "demo") is None


async def test_a_demo_of_another_version_with_other_people_is_left_alone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.run()
    before = await facts_of(stage)
    monkeypatch.setattr("emtrack.demo.history.MIX", PRESETS["clean"])
    with pytest.raises(DemoRefused, match="another version"):
        await stage.run()
    assert await facts_of(stage) == before


# --- what it refuses --------------------------------------------------------------------------------------------------


async def test_a_database_that_holds_something_else_is_left_alone(stage: Stage, database_url: str) -> None:
    async with deployed(database_url, orders(1)) as world:
        before = await world.count("wearers")
        with pytest.raises(DemoRefused, match="holds something else"):
            await stage.run()
        assert await world.count("wearers") == before


async def test_a_clock_of_somebody_elses_choice_is_refused(stage: Stage) -> None:
    stage.settings = msgspec.structs.replace(stage.settings, clock=ClockSetting(END_MS, 1.0))
    with pytest.raises(DemoRefused, match="Unset EMTRACK_CLOCK"):
        await stage.run()


async def test_a_database_that_another_program_serves_is_refused(stage: Stage, database_url: str) -> None:
    await stage.run()
    connection = await connect(database_url)
    await connection.execute("SELECT pg_advisory_lock($1)", demo.WORKER_LOCK)
    with pytest.raises(DemoRefused, match="Another emtrack"):
        await stage.run()
    await connection.close()


@pytest.mark.parametrize(
    ("now", "end"),
    [
        ("2026-11-22T12:00:00Z", "2026-11-21T18:59:20Z"),
        ("2026-11-22T19:00:00Z", "2026-11-22T18:59:20Z"),
        ("2026-07-01T18:30:00Z", "2026-07-01T17:59:20Z"),
        ("2026-07-01T17:30:00Z", "2026-06-30T17:59:20Z"),
    ],
)
def test_a_history_ends_on_the_last_evening_of_the_wall_clock(now: str, end: str) -> None:
    assert datetime.fromtimestamp(last_evening_ms(parse_instant(now)) / 1000, UTC) == datetime.fromisoformat(end)


# --- the past contradicts itself nowhere ------------------------------------------------------------------------------

WORKED = """
SELECT a.alert_no, a.kind, a.requirement_id, a.severity, w.wearer_id, a.raised_at, a.closed_at, c.action, c.done_at, c.outcome,
       c.note, v.begin_at, v.end_at
FROM alerts a JOIN wearers w USING (wearer_no) JOIN alert_actions c USING (alert_no)
LEFT JOIN LATERAL (
    SELECT min(n.begin_at) AS begin_at, max(n.end_at) AS end_at FROM alert_occurrences o
    CROSS JOIN LATERAL newest_version(o.finding_no) n WHERE o.alert_no = a.alert_no AND n.change <> 'withdrawn') v ON true
ORDER BY a.alert_no, c.action_no
"""
PLACES = (Kind.EXCLUSION, Kind.CURFEW, Kind.INCLUSION)


def broken(wearer_id: str, requirement_id: str, begin: datetime, end: datetime) -> bool:
    """Whether the order was truly broken about then."""
    world = next(world for world in PAST.worlds() if any(w.wearer_id == wearer_id for w in world.wearers))
    around = instant_of(begin - HOUR / 4), instant_of(end + HOUR / 4)
    return any(span["requirement_id"] == requirement_id for span in world.truth(wearer_id, *around))


async def test_what_operators_wrote_is_what_the_trail_shows(record: asyncpg.Connection[Any]) -> None:
    closed = [row for row in await record.fetch(WORKED) if row["action"] == "closed" and row["begin_at"] is not None]
    of_places = [row for row in closed if row["kind"] in PLACES]
    assert of_places
    for row in of_places:
        was_broken = broken(row["wearer_id"], row["requirement_id"], row["begin_at"], row["end_at"])
        if row["outcome"] == "VIOLATION":
            assert was_broken, row["note"]
        if row["outcome"] == "LOCATION_ERROR":
            assert not was_broken, row["note"]
        assert row["closed_at"] > row["end_at"], "what goes on is not closed"


async def test_people_are_called_before_an_alert_is_closed_and_authorities_of_what_is_grave(
    record: asyncpg.Connection[Any],
) -> None:
    rows = await record.fetch(WORKED)
    called = [row for row in rows if row["action"] == "called"]
    assert called
    assert all(row["severity"] <= 2 and row["note"] for row in called)
    assert all(row["closed_at"] is None or row["done_at"] < row["closed_at"] for row in called)
    assert all(row["severity"] == 1 for row in rows if row["action"] == "authority told")
    minutes = sorted(
        (row["done_at"] - max(row["raised_at"], row["end_at"] or row["raised_at"])).total_seconds() / 60
        for row in rows
        if row["action"] == "closed" and row["severity"] <= 2
    )
    assert minutes[len(minutes) // 2] < 75, "nobody leaves what is grave and over for hours"


async def test_deadlines_of_the_past_were_set_when_its_alerts_were_raised(record: asyncpg.Connection[Any]) -> None:
    """So that the live part does not begin with a flood of escalations."""
    assert await record.fetchval("SELECT count(*) FROM alerts WHERE look_at <= $1", datetime_of(END_MS)) == 0
    late = await record.fetchval(
        "SELECT count(*) FROM alert_occasions o JOIN alerts a USING (alert_no) WHERE o.noted_at > o.counts_from + interval '1 day'"
    )
    assert late == 0
