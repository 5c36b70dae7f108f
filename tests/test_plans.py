"""Hot queries go by their indexes: no table that grows is read from end to end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from emtrack.db.connect import connect
from emtrack.record import home_units, plans, routing
from emtrack.record.changes import last_change
from emtrack.record.facts import EVENTS, POSITIONS
from emtrack.record.findings import SHOWN
from emtrack.service import identifiers, keys
from ingest.store import (
    DEVICES_WITH_MORE,
    IN_QUARANTINE,
    REPORTS_OF_A_UNIT,
    STORE_EVENTS,
    STORE_POSITIONS,
    STORE_RAW,
    WAITING_REASONS,
)
from tests.service_world import World, event, ms, orders

START = datetime(2026, 3, 2, tzinfo=UTC)
GROWING = ("raw_reports", "positions", "device_events", "findings", "finding_versions", "quarantine")
FILL = """
INSERT INTO devices (device_id, added_at) SELECT 'D' || i, '2026-03-01Z' FROM generate_series(1, 200) i;
INSERT INTO wearers (wearer_id) SELECT 'W' || i FROM generate_series(1, 200) i;
INSERT INTO activations (activation_id, entered_at) SELECT 'A' || i, '2026-03-01Z' FROM generate_series(1, 200) i;
SELECT make_positions_day('2026-03-02'), make_positions_day('2026-03-03');
INSERT INTO raw_reports (device_no, boot, seq, digest, fact_id, received_at, body)
SELECT 1 + i % 200, 1, i / 200, decode(md5(i::text), 'hex'), i, '2026-03-02Z', '\\x00'
FROM generate_series(1, 20000) i;
INSERT INTO positions (fact_id, device_no, fix_time, mechanism, lat_deg, lon_deg, precision_m, received_at)
SELECT i, 1 + i % 200, '2026-03-02Z'::timestamptz + (i / 200) * interval '15 min', 'GPS', 53, -2, 6, '2026-03-02Z'
FROM generate_series(1, 20000) i WHERE i / 200 < 190;
INSERT INTO device_events SELECT i, 1 + i % 200, '2026-03-02Z'::timestamptz + i * interval '1 s', 'RF_IN', NULL, '2026-03-02Z'
FROM generate_series(1, 20000) i;
INSERT INTO quarantine SELECT i, 1 + i % 200, '2026-03-02Z', 1, i, 'unreadable', '', '\\x00' FROM generate_series(1, 20000) i;
INSERT INTO findings SELECT i, 1 + i % 200, NULL, 'TAMPER' FROM generate_series(1, 20000) i;
INSERT INTO finding_versions SELECT i, 1, '2026-03-02Z', 'new', '', '2026-03-02Z', '2026-03-02Z', '2026-03-02Z', NULL, false,
NULL, '{}', '', '{}' FROM generate_series(1, 20000) i;
ANALYZE;
"""


@pytest.fixture
async def filled(database_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """About 20,000 rows in each table that grows."""
    connection = await connect(database_url)
    try:
        await connection.execute(FILL)
        yield connection
    finally:
        await connection.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


async def plan_of(connection: asyncpg.Connection[Any], statement: str, *values: Any) -> list[dict[str, Any]]:
    """The nodes of the plan that was run. As the driver does: prepared, with values that are not known beforehand."""
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *values)
    return list(nodes((json.loads(text) if isinstance(text, str) else text)[0]["Plan"]))


def assert_by_index(plan: list[dict[str, Any]], *, rows: int) -> None:
    for node in plan:
        name = node.get("Relation Name", "")
        if (name in GROWING or name.startswith("positions")) and node["Node Type"] != "ModifyTable":
            assert node["Node Type"] != "Seq Scan", (name, node)
            read = node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
            assert read <= rows, (name, read)


AT = [START + timedelta(seconds=i) for i in range(40)]


async def test_raw_reports_are_stored_by_their_key(filled: asyncpg.Connection[Any]) -> None:
    some = range(40)
    plan = await plan_of(
        filled, STORE_RAW, [100_000 + i for i in some], [1 + i for i in some], [1] * 40, [5] * 40,
        [bytes(16)] * 40, AT, [b"\x00"] * 40, [bytes(16)] * 40,
    )  # fmt: skip
    assert any(node.get("Index Name") == "raw_reports_pkey" for node in plan)
    assert_by_index(plan, rows=100)


async def test_positions_are_stored_by_their_key(filled: asyncpg.Connection[Any]) -> None:
    none: list[Any] = [None] * 40
    plan = await plan_of(
        filled, STORE_POSITIONS, [100_000 + i for i in range(40)], [1 + i for i in range(40)], AT, ["GPS"] * 40,
        [53.0] * 40, [-2.0] * 40, [7.0] * 40, AT, none, none, none, none, none, none, [bytes(16)] * 40,
    )  # fmt: skip
    assert_by_index(plan, rows=100)


async def test_events_are_stored_by_their_key(filled: asyncpg.Connection[Any]) -> None:
    plan = await plan_of(
        filled, STORE_EVENTS, [100_000 + i for i in range(40)], [1 + i for i in range(40)], AT, ["RF_OUT"] * 40,
        [None] * 40, AT, [None] * 40,
    )  # fmt: skip
    assert_by_index(plan, rows=100)


@pytest.mark.parametrize("statement", [POSITIONS, EVENTS], ids=["positions", "events"])
async def test_facts_of_an_activation_are_read_by_device_and_interval(
    filled: asyncpg.Connection[Any], statement: str
) -> None:
    plan = await plan_of(filled, statement, [1, 2], [1, 2], [START, START], [START + timedelta(hours=3), None])
    assert_by_index(plan, rows=1_000)


async def test_findings_shown_are_read_by_activation(filled: asyncpg.Connection[Any]) -> None:
    plan = await plan_of(filled, SHOWN, [1, 2], None, [None, START])
    assert {"findings_of_activation", "finding_versions_pkey"} <= {node.get("Index Name") for node in plan}
    assert_by_index(plan, rows=1_000)


async def test_reports_of_a_home_unit_are_read_again_by_their_key(filled: asyncpg.Connection[Any]) -> None:
    plan = await plan_of(filled, REPORTS_OF_A_UNIT, 1, 1, 0, b"", START, 100)
    assert any(node.get("Index Name") == "raw_reports_pkey" for node in plan)
    assert_by_index(plan, rows=1_000)


async def test_reports_that_wait_for_an_activation_are_read_by_device(filled: asyncpg.Connection[Any]) -> None:
    plan = await plan_of(
        filled, IN_QUARANTINE, [1, 2], [START - timedelta(days=1)] * 2, 1_000, WAITING_REASONS, [], [], [0, 0]
    )
    assert any(node.get("Index Name") == "quarantine_by_receipt" for node in plan)
    assert_by_index(plan, rows=1_000)


async def test_whether_more_waits_is_found_by_device(filled: asyncpg.Connection[Any]) -> None:
    plan = await plan_of(filled, DEVICES_WITH_MORE, [1, 2], [START - timedelta(days=1)] * 2, [0, 0])
    assert_by_index(plan, rows=100)


SCANS = """
SELECT relname, seq_scan FROM pg_stat_user_tables
WHERE relname IN ('findings', 'finding_versions', 'alerts', 'alert_occurrences', 'activations', 'wearers', 'requirement_entries')
"""


async def test_no_turn_reads_a_whole_table_because_it_was_small_once(world: World) -> None:
    """The server keeps plans, those of foreign keys too, from when a few rows were there."""
    await world.enter(orders(*range(1, 9)))
    await world.turn()
    await world.send_at("18:40", "D1", event(1, "18:40", "STRAP_TAMPER"))
    await world.connection.execute("ANALYZE")
    before = None
    for minute in range(41, 49):  # a plan is settled after five uses
        for number in range(1, 9):
            await world.submit(
                f"D{number}", event(minute, f"18:{minute}", "CASE_TAMPER" if minute % 2 else "CASE_CLEAR")
            )
        world.clock.at_ms = ms(f"18:{minute}")
        await world.turn()
        await world.connection.execute("SELECT pg_stat_force_next_flush()")
        scans = {row["relname"]: row["seq_scan"] for row in await world.connection.fetch(SCANS)}
        before = before or scans
    assert scans == before
    assert await world.count("alerts") >= 8


PEOPLE = 4_000
FILL_ORDERS = """
INSERT INTO devices (device_id, added_at) SELECT 'D' || i, '2026-03-01Z' FROM generate_series(1, 4000) i;
INSERT INTO wearers (wearer_id) SELECT 'W' || i FROM generate_series(1, 4000) i;
INSERT INTO activations (activation_id, entered_at) SELECT 'A' || i, '2026-03-01Z' FROM generate_series(1, 4000) i;
INSERT INTO activation_versions (activation_no, device_no, wearer_no, during, report_interval_ms, recorded, entered_by)
SELECT i, i, i, '[2026-03-01Z,)', 1, '[2026-03-01Z,)', '' FROM generate_series(1, 4000) i;
INSERT INTO zones (version, geometry) SELECT i, '{"type": "Circle", "centre": [-2, 53], "radius_m": 60}'
FROM generate_series(1, 4000) i;
INSERT INTO requirement_entries (wearer_no, requirement_id, valid_from)
SELECT i, 'C', '2026-03-01Z' FROM generate_series(1, 4000) i;
INSERT INTO requirement_versions (entry_no, wearer_no, requirement_id, kind, valid, zone_no, buffer_m, confirm_points, confirm_ms,
                                  grace_ms, recorded, entered_by)
SELECT i, i, 'C', 'CURFEW', '[2026-03-01Z,)', i, 0, 2, 0, 0, '[2026-03-01Z,)', '' FROM generate_series(1, 4000) i;
INSERT INTO home_units (hmu_id, wearer_no, requirement_id, during, recorded, entered_by)
SELECT 'D' || i, i, 'C', '[2026-03-01Z,)', '[2026-03-01Z,)', '' FROM generate_series(1, 4000) i;
INSERT INTO absences (wearer_no, during, reason, recorded, entered_by)
SELECT i, '[2026-03-01Z,2026-03-02Z)', '', '[2026-03-01Z,)', '' FROM generate_series(1, 4000) i;
INSERT INTO device_keys (key_hash, device_no, label, added_at)
SELECT decode(md5(i::text), 'hex'), i, '', '2026-03-01Z' FROM generate_series(1, 4000) i;
INSERT INTO signing_keys (device_no, public_key, added_at)
SELECT i, decode(md5(i::text) || md5(i::text), 'hex'), '2026-03-01Z' FROM generate_series(1, 4000) i;
INSERT INTO device_identifiers (device_no, protocol, identifier, added_at)
SELECT i, 'osmand', i, '2026-03-01Z' FROM generate_series(1, 4000) i;
INSERT INTO order_changes (changed_at, changed_by, what, wearer_no, detail)
SELECT '2026-03-01Z'::timestamptz + i * interval '1 s', '', '', i, '{}' FROM generate_series(1, 4000) i;
ANALYZE;
"""
OF_SOME = {
    "activations": (plans.ACTIVATIONS, [START]),
    "requirements": (plans.REQUIREMENTS, [START]),
    "absences": (plans.ABSENCES, [START]),
    "home units": (plans.HOME_UNITS, [START]),
    "home units that call in": (home_units.UNIT_ENTRIES, []),
    "who wears what": (routing.WORN, []),
    "where units stand": (routing.UNITS, []),
    "keys": (keys.KEYS, []),
    "signing keys": (keys.SIGNING_KEYS, []),
    "identifiers": (identifiers.IDENTIFIERS, []),
}
"""What is asked of all, and of some whose orders or keys changed."""


@pytest.fixture
async def many_people(database_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await connect(database_url)
    try:
        await connection.execute(FILL_ORDERS)
        yield connection
    finally:
        await connection.close()


async def test_what_is_asked_of_a_few_people_reads_nothing_of_the_others(
    many_people: asyncpg.Connection[Any],
) -> None:
    for name, (question, before) in OF_SOME.items():
        some = [7, PEOPLE // 2, PEOPLE]
        assert len(await question.fetch(many_people, None, *before)) == PEOPLE, name
        assert len(await question.fetch(many_people, some, *before)) == len(some), name
        for node in await plan_of(many_people, question.of_some, *before, some):
            read = node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
            assert read <= 4 * len(some), (name, node)


READ = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'order_changes'"


async def test_when_orders_changed_last_is_found_without_reading_all_changes(
    many_people: asyncpg.Connection[Any],
) -> None:
    read = []
    for _ in range(2):
        number, changed_ms = await last_change(many_people)
        assert changed_ms == 1000 * number + 1_772_323_200_000
        await many_people.execute("SELECT pg_stat_force_next_flush()")
        read.append(await many_people.fetchval(READ))
    assert read[1] - read[0] < 10


DELETED_ONE_BY_ONE = ("alerts", "findings", "finding_versions", "alert_occurrences")
REFERENCES_WITHOUT_INDEX = """
SELECT c.conrelid::regclass::text FROM pg_constraint c
WHERE c.contype = 'f' AND c.conparentid = 0 AND c.confrelid::regclass::text = ANY ($1::text[])
AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1])
"""


async def test_whatever_refers_to_an_alert_or_a_finding_is_found_by_it_when_that_is_deleted(
    filled: asyncpg.Connection[Any],
) -> None:
    assert await filled.fetch(REFERENCES_WITHOUT_INDEX, list(DELETED_ONE_BY_ONE)) == []
