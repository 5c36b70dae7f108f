"""It says when it does not watch: nothing is committed, or judged time does not follow the clock."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog

from emtrack.db.connect import connect
from emtrack.db.locks import WORKER_LOCK, try_lock
from emtrack.record.clock_back import INSTANTS, RECORDED, ServiceRuns, SeveralDates
from emtrack.record.clock_back import put_back as put_clock_back
from emtrack.sealing.check import changed_rows
from emtrack.service.worker import Pace
from geofence import format_instant
from tests.browser import OpenPage, axe
from tests.command_line import emtrack_aside
from tests.db_fixtures import SUPERUSER, with_user
from tests.kept import kept_reports
from tests.office import Office, open_office
from tests.service_world import (
    Door,
    Stopwatch,
    World,
    activation,
    deployed,
    event,
    ms,
    orders,
    position,
    serving,
)
from tests.test_pages_browser import logged_in
from tests.test_pipeline import judged_from_export
from tests.visitor import Visitor

END_WORKER = """
SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.objid = $1 AND d.datname = current_database()
"""


async def readiness(door: Door) -> tuple[int, dict[str, Any]]:
    async with door.session.get("/readyz") as response:
        return response.status, await response.json()


async def test_a_worker_that_is_stuck_inside_a_turn_is_not_ready_and_is_again_when_it_goes_on(
    database_url: str,
) -> None:
    stopwatch = Stopwatch()
    async with serving(database_url, pace=Pace(stopwatch=stopwatch)) as door:
        assert await readiness(door) == (200, {"status": "ready"})
        locker = await connect(database_url)
        try:
            async with locker.transaction():
                await locker.execute("LOCK TABLE liveness")
                stopwatch.stop()
                stopwatch.advance(9.5)
                assert (await readiness(door))[0] == 200
                stopwatch.advance(2)
                status, told = await readiness(door)
                assert (status, told["status"]) == (503, "not ready")
                assert told["what"].startswith("Nothing was committed since 2026-03-02T12:0")
                assert "emtrack_ready 0.0" in await door.metrics()
        finally:
            await locker.close()
        async with asyncio.timeout(10):
            while (await readiness(door))[0] != 200:  # noqa: ASYNC110  the worker goes on by itself
                await asyncio.sleep(0.01)
        assert "emtrack_ready 1.0" in await door.metrics()


async def end_worker(office: Office) -> None:
    """Its session, which only the superuser may end from outside."""
    superuser = await connect(with_user(office.settings.database_url or "", SUPERUSER))
    await superuser.execute(END_WORKER, WORKER_LOCK)
    await superuser.close()


async def starts_under_a_wrong_date(office: Office) -> None:
    """As far as the record knows; the worker reads it anew."""
    async with office.connection.transaction():
        await office.connection.execute("UPDATE liveness SET alive_at = alive_at + interval '1 day'")
        await end_worker(office)


async def test_every_page_says_that_nobody_is_watched(database_url: str, data_dir: Path) -> None:
    async with open_office(database_url, data_dir) as office:
        visitor = Visitor(office)
        try:
            await visitor.log_in(await office.account())
            assert 'id="not-watching" hidden' in (await visitor.get("/alerts"))[1]
            await starts_under_a_wrong_date(office)
            async with asyncio.timeout(10):
                page = ""
                while "Everything is judged to 2026-03-03T20:0" not in page:
                    _, page = await visitor.get("/alerts")
            assert 'id="not-watching" hidden' not in page
        finally:
            await visitor.http.close()


async def test_a_page_that_stays_open_says_it_within_seconds(
    database_url: str, data_dir: Path, open_page: OpenPage
) -> None:
    async with open_office(database_url, data_dir) as office:
        page = await logged_in(office, open_page, "/alerts")
        await page.wait_for_selector("#not-watching[hidden]", state="attached")
        await starts_under_a_wrong_date(office)
        await page.wait_for_selector("#not-watching:not([hidden]) >> text=ahead of the clock")
        assert await axe(page) == []
        async with office.connection.transaction():  # a turn that ends now would write its own time again
            await office.connection.execute("UPDATE liveness SET alive_at = alive_at - interval '1 day'")
            await end_worker(office)
        await page.wait_for_selector("#not-watching[hidden]", state="attached")


async def test_judged_time_behind_the_clock_is_not_ready(world: World) -> None:
    await world.wait_until("12:00:10")
    world.clock.at_ms = ms("12:00:20")
    assert world.worker.watch.trouble() is None
    world.clock.at_ms = ms("12:00:21")
    assert world.worker.watch.trouble() == "What is judged is 11 s behind the clock."
    await world.turn()
    assert world.worker.watch.trouble() is None


# ---------------------------------------------------------------------------------------------- ahead of the clock


async def ran_under_a_wrong_date(world: World) -> None:
    """Until 12:05 all was well; then the service ran for a while as if it were 20 April, and orders were entered."""
    await world.send_at("12:05", "D1", event(1, "12:05", "HEARTBEAT"))
    world.clock.at_ms = ms("2026-04-20T12:00:00Z")
    await world.start()
    await world.turn()
    await world.send("D1", position(2, "12:06"))
    for minutes in (30, 20):
        world.clock.at_ms += 60_000
        await world.enter(orders(1, activations=[activation(report_interval_s=minutes * 60)]))
    await world.turn()
    world.clock.at_ms = ms("12:10")


@pytest.fixture
async def ahead(database_url: str) -> Any:
    async with deployed(database_url, orders(activations=[activation(report_interval_s=60)])) as world:
        await ran_under_a_wrong_date(world)
        yield world


async def test_judged_time_ahead_of_the_clock_is_said_loudly_at_the_start_and_is_not_ready(ahead: World) -> None:
    with structlog.testing.capture_logs() as logs:
        await ahead.start()
    (said,) = [line for line in logs if line["log_level"] == "error"]
    assert said["event"] == "judged time is ahead of the clock"
    assert said["ahead_s"] == (ms("2026-04-20T12:02:00Z") - ms("12:10")) // 1000
    trouble = ahead.worker.watch.trouble()
    assert trouble is not None
    assert "2026-04-20T12:02:00Z" in trouble
    assert f"{said['ahead_s']} s ahead of the clock" in trouble
    assert "emtrack db clock-back" in trouble
    (value,) = re.findall(r"^emtrack_judged_ahead_seconds (.+)$", ahead.metrics.exposed().decode(), re.MULTILINE)
    assert float(value) // 1 == said["ahead_s"]


async def test_without_the_repair_no_silence_is_found(ahead: World) -> None:
    await ahead.start()
    await ahead.wait_until("19:00")
    assert not any("NO_COMMUNICATION" in line for line in await ahead.findings())


async def facts(world: World) -> list[Any]:
    return [
        await world.connection.fetch(
            "SELECT fact_id, device_no, fix_time, lat_deg, lon_deg FROM positions ORDER BY 1"
        ),
        await world.connection.fetch("SELECT fact_id, device_no, event_time, type FROM device_events ORDER BY 1"),
        [(r.fact_id, r.device_no, r.boot, r.seq, r.body) for r in await kept_reports(world.connection)],
    ]


async def test_put_back_every_fact_is_kept_and_silence_is_found_again(ahead: World) -> None:
    before = await facts(ahead)
    moved_ms = await put_clock_back(ahead.connection, "officer", ms("12:10"))
    assert moved_ms == ms("2026-04-20T12:02:00Z") - ms("12:10")
    assert await facts(ahead) == before
    await ahead.start()
    assert ahead.worker.watch.trouble() is None
    await ahead.turn()
    assert await ahead.outages() == [
        "–12:00 before the first start",
        "12:05–12:08 not running, or no commit was possible",
    ]
    received = await ahead.connection.fetchval("SELECT max(received_at) FROM positions")
    assert received.isoformat() == "2026-03-02T12:08:00+00:00", "in the order and at the distance of the wrong run"
    assert await ahead.findings() == []
    await ahead.wait_until("12:37")
    assert await ahead.findings() == [], "the last orders allow 20 minutes and 9 more"
    await ahead.wait_until("12:37:01")
    assert await ahead.findings() == ["12:37–… NO_COMMUNICATION"]
    assert await ahead.lines() == await judged_from_export(ahead)


async def test_what_the_wrong_date_found_is_withdrawn_as_a_new_version(ahead: World) -> None:
    told = await ahead.versions()
    assert any("UNVERIFIED" in version for version in told), "every night up to the wrong date"
    await put_clock_back(ahead.connection, "officer", ms("12:10"))
    await ahead.start()
    await ahead.turn()
    assert await ahead.findings() == []
    assert set(told) < set(await ahead.versions())


async def test_it_stands_in_the_log_of_changes_by_how_much_and_who_asked(ahead: World) -> None:
    moved_ms = await put_clock_back(ahead.connection, "officer", ms("12:10"))
    row = await ahead.connection.fetchrow("SELECT * FROM order_changes ORDER BY change_no DESC LIMIT 1")
    assert (row["what"], row["changed_by"]) == ("clock put back", "officer")
    assert format_instant(round(row["changed_at"].timestamp() * 1000)) == "2026-03-02T12:10:00Z"
    assert (row["detail"]["back_ms"], row["detail"]["from"]) == (moved_ms, "2026-04-20T12:02:00Z")
    assert row["detail"]["rows"]["raw_requests"] == 1


async def unfit(world: World) -> set[str]:
    async with world.connection.transaction():
        return {row.kind for row in await changed_rows(world.connection)}


async def test_what_was_moved_back_is_sealed_again_and_what_was_changed_before_stays_unfit(ahead: World) -> None:
    await put_clock_back(ahead.connection, "officer", ms("12:10"))
    assert await unfit(ahead) == set()
    assert await ahead.connection.fetchval("SELECT count(*) FROM log_material WHERE why = 'clock put back'") > 2


async def test_putting_the_clock_back_hides_nothing_that_was_changed(ahead: World) -> None:
    await ahead.connection.execute("UPDATE activation_versions SET report_interval_ms = report_interval_ms + 1")
    await put_clock_back(ahead.connection, "officer", ms("12:10"))
    assert await unfit(ahead) == {"activation_versions"}


async def test_orders_of_the_wrong_run_hold_in_the_order_in_which_they_were_entered(ahead: World) -> None:
    await put_clock_back(ahead.connection, "officer", ms("12:10"))
    rows = await ahead.connection.fetch(
        "SELECT report_interval_ms AS s, lower(recorded) AS a, upper(recorded) AS b FROM activation_versions ORDER BY 2"
    )
    assert [row["s"] for row in rows] == [60_000, 1_800_000, 1_200_000]
    assert [row["b"] for row in rows[:-1]] == [row["a"] for row in rows[1:]]
    assert rows[-1]["b"] is None
    assert await ahead.connection.fetchval(
        "SELECT max(lower(recorded)) <= '2026-03-02T12:10Z' FROM activation_versions"
    )


async def test_a_record_of_several_wrong_dates_is_not_put_back_by_one_length(ahead: World) -> None:
    ahead.clock.at_ms = ms("2030-01-01T00:00:00Z")
    await ahead.enter(orders(2))
    before = await ahead.connection.fetch("SELECT * FROM order_changes")
    with pytest.raises(SeveralDates, match="more than one date that had not come, the last 2030-01-01T00:00:00Z"):
        await put_clock_back(ahead.connection, "officer", ms("12:10"))
    assert await ahead.connection.fetch("SELECT * FROM order_changes") == before


async def test_the_service_alone_under_two_wrong_dates_is_not_put_back_either(world: World) -> None:
    for at in ("2026-04-20T12:00:00Z", "2030-01-01T00:00:00Z"):
        world.clock.at_ms = ms(at)
        await world.start()
        await world.turn()
    with pytest.raises(SeveralDates):
        await put_clock_back(world.connection, "officer", ms("12:10"))


async def test_what_was_entered_under_the_right_date_after_the_wrong_run_is_in_nobodys_way(ahead: World) -> None:
    ahead.clock.at_ms = ms("12:08")
    await ahead.enter(orders(2))
    await put_clock_back(ahead.connection, "officer", ms("12:10"))
    ahead.clock.at_ms = ms("12:10")
    await ahead.start()
    assert ahead.worker.watch.trouble() is None


async def test_while_the_service_runs_nothing_is_put_back(ahead: World) -> None:
    other = await connect(ahead.dsn)
    try:
        assert await try_lock(other, WORKER_LOCK)
        with pytest.raises(ServiceRuns, match="End it first"):
            await put_clock_back(ahead.connection, "officer", ms("12:10"))
    finally:
        await other.close()


async def test_the_command_says_what_it_did_and_does_nothing_twice(database_url: str, data_dir: Path) -> None:
    settings = {"EMTRACK_DATABASE_URL": database_url, "EMTRACK_DATA_DIR": str(data_dir)}
    none = await emtrack_aside("db", "clock-back", **settings)
    assert (none.returncode, "nothing to put back" in none.stderr) == (2, True)
    connection = await connect(database_url)
    await connection.execute(
        "INSERT INTO liveness (first_ready_at, alive_at) VALUES (now() - interval '1 day', now() + interval '1000 s')"
    )
    dry = await emtrack_aside("db", "clock-back", "--dry-run", **settings)
    assert (dry.returncode, "nothing was changed" in dry.stderr) == (0, True)
    done = await emtrack_aside("db", "clock-back", **settings)
    assert done.returncode == 0, done.stderr
    assert "was moved back by 99" in done.stderr
    assert await connection.fetchval("SELECT alive_at <= now() FROM liveness")
    await connection.close()


THEIRS = {
    "packed_hours.hour",
    "packed_late.hour",
    "packed_positions.hour",
    "absences.during", "activation_versions.during", "checkpoints.fed_to", "deployment.clock_anchor",
    "deployment.clock_start", "device_events.event_time", "finding_versions.begin_at", "finding_versions.end_at",
    "finding_versions.known_at", "findings.period_start", "future_positions.fix_time", "future_positions.recorded_time",
    "future_positions.uploaded_time", "looks.during", "record_openings.ends_at", "device_keys.expires_at",
    "signing_keys.expires_at", "tokens.expires_at",
    "tokens.former_until", "users.expires_at", "home_units.during", "network_silences.begin_at",
    "older_checkpoints.fed_to", "positions.fix_time", "positions.recorded_time", "positions.uploaded_time",
    "possible_entries.seen_at", "presence_notes.unknown_since", "rejudgements.since", "requirement_entries.valid_from",
    "requirement_versions.valid", "schema_migrations.applied_at", "silence_progress.gap_end_at",
    "silence_progress.heard_at", "outages.during", "shard_outages.during", "shard_liveness.committed_at",
    "shard_liveness.heard_at",
    "late_judgements.late_at", "clock_uploads.newest_at",
    "iom_entries.valid", "iom_entries.occurred_at", "iom_entries.due_at", "iom_silences.look_at",
    "iom_open_tasks.look_at",
    "log_keys.since", "log_heads.signed_at", "retention_holds.entered_at", "retention_runs.begun_at", "retention_removals.removed_at",
    "order_requests.during", "planned_maintenance.during", "visits.due_at", "rota_shifts.during", "alerts.acknowledge_by",
    "alerts.contact_by", "alerts.authority_by", "alerts.look_at", "canary_beats.sent_at", "canary_beats.arrived_at",
    "clock_checks.asked_at", "near_runs.during", "near_people.possible", "near_people.fix_time",
    "disclosures.during", "draft_runs.during",
}  # fmt: skip
"""What tags, orders and judgements say of time, until when a credential is good, what the server wrote, what is forgotten; and
outages, which have a statement of their own."""


async def test_every_time_in_the_schema_is_ours_and_put_back_or_not_ours(database_url: str) -> None:
    connection: asyncpg.Connection[Any] = await connect(database_url)
    rows = await connection.fetch(
        "SELECT table_name || '.' || column_name FROM information_schema.columns "
        "JOIN information_schema.tables USING (table_schema, table_name) WHERE table_schema = 'public' "
        "AND table_type = 'BASE TABLE' AND udt_name IN ('timestamptz', 'tstzrange') AND table_name !~ 'positions_[0-9]'"
    )
    await connection.close()
    ours = {f"{table}.{column}" for table, columns in INSTANTS.items() for column in columns}
    ours |= {f"{table}.recorded" for table in RECORDED}
    assert not ours & THEIRS
    assert {row[0] for row in rows} == ours | THEIRS
