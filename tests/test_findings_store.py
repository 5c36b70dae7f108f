"""Findings in the database: versions that are only added, and the newest of them as people are shown it."""

from __future__ import annotations

import asyncpg
import pytest

from emtrack.record.finding_rows import FindingRows
from emtrack.record.findings import NewVersion, ShownFinding, add_versions, copy_versions, load_shown
from geofence.judgement.findings import Finding
from geofence.words import EntryId, Kind
from tests.service_world import World, event, ms, position

AWAY = (-2.1753, 53.0127)
BEGIN = ms("19:00")


def finding(end: str | None = None, **fields: object) -> Finding:
    values = {
        "kind": Kind.CURFEW, "begin_ms": BEGIN, "end_ms": None if end is None else ms(end), "known_ms": BEGIN + 1,
        "reason": "OUT_AT_START", "requirement_id": "C1", "entry_id": EntryId("1"), "period_ms": BEGIN,
        "evidence": (3, 5), "facts_hash": "abc", **fields,
    }  # fmt: skip
    return Finding(**values)  # type: ignore[arg-type]


def version(number: int, change: str, found: Finding) -> NewVersion:
    return NewVersion(1, 7, number, change, "because", found, {"rules": "1"})


async def test_a_finding_comes_back_as_it_was_recorded(world: World) -> None:
    wholes = [
        finding(), finding(entry_id=None, requirement_id=None, kind=Kind.NO_COMMUNICATION, period_ms=None, reason=None),
        finding(evidence=(), within_grace=True), finding(kind=Kind.TAMPER, entry_id=None, reason="STRAP_TAMPER"),
    ]  # fmt: skip
    records = [NewVersion(1, 10 + i, 1, "new", "because", found, {}) for i, found in enumerate(wholes)]
    await add_versions(world.connection, records, BEGIN)
    shown = await load_shown(world.connection, {1: None, 2: None})
    assert sorted(shown[1]) == [ShownFinding(10 + i, 1, found) for i, found in enumerate(wholes)]
    assert shown[2] == []


async def test_what_goes_by_copy_is_what_is_inserted(world: World) -> None:
    found = [
        finding(), finding(entry_id=None, requirement_id=None, kind=Kind.NO_COMMUNICATION, period_ms=None, reason=None),
        finding("19:40", evidence=(), within_grace=True, zone_id="Süd 1"), finding(evidence=tuple(range(40))),
        finding(kind=Kind.HMU, entry_id=None, reason="HMU_MOVED", requirement_id="C\t1"),
    ]  # fmt: skip
    under = {"rules": "1", "settings": 'é"\\'}

    async def stored(first: int) -> list[list[dict[str, object]]]:
        """Without what chance brings, and counted from the first."""
        tables = []
        for table in ("findings", "finding_versions"):
            rows = await world.connection.fetch(f"SELECT * FROM {table} WHERE finding_no >= $1", first)  # noqa: S608
            tables.append([dict(row) | {"finding_no": row["finding_no"] - first, "salt": None} for row in rows])
        return tables

    def records(first: int) -> list[NewVersion]:
        fresh = [NewVersion(1, first + i, 1, "new", "because", f, under) for i, f in enumerate(found)]
        return [*fresh, NewVersion(1, first, 2, "amended", "for another reason", found[2], {})]

    await add_versions(world.connection, records(100), BEGIN)
    inserted = await stored(100)
    rows = FindingRows(BEGIN)
    rows.add(records(200)[:3])
    rows.add(records(200)[3:])
    await copy_versions(world.connection, rows)
    assert await stored(200) == inserted
    salts = await world.connection.fetch("SELECT salt FROM findings UNION ALL SELECT salt FROM finding_versions")
    assert len({row["salt"] for row in salts}) == len(salts) == 2 * (5 + 6)
    assert {len(row["salt"]) for row in salts} == {16}


async def test_the_newest_version_is_shown_and_earlier_ones_can_be_asked_for(world: World) -> None:
    first, then = finding(), finding("19:40", reason="RETURNED_LATE")
    await add_versions(world.connection, [version(1, "new", first)], BEGIN)
    await add_versions(world.connection, [version(2, "amended", then)], BEGIN + 1000)
    await add_versions(world.connection, [version(3, "withdrawn", then)], BEGIN + 2000)

    async def shown(at_ms: int | None) -> list[Finding]:
        return [s.finding for s in (await load_shown(world.connection, {1: None}, as_known_ms=at_ms))[1]]

    assert await shown(BEGIN - 1) == []
    assert await shown(BEGIN) == [first]
    assert await shown(BEGIN + 1999) == [then]
    assert await shown(BEGIN + 2000) == []
    assert await shown(None) == []


async def test_only_those_are_read_that_last_or_end_late_enough(world: World) -> None:
    await add_versions(world.connection, [version(1, "new", finding("19:40"))], BEGIN)
    for ending, count in ((ms("19:40"), 1), (ms("19:40") + 1, 0)):
        assert len((await load_shown(world.connection, {1: ending}))[1]) == count


async def test_no_version_is_written_twice(world: World) -> None:
    await add_versions(world.connection, [version(1, "new", finding())], BEGIN)
    with pytest.raises(asyncpg.UniqueViolationError):
        await add_versions(world.connection, [version(1, "amended", finding())], BEGIN)


async def test_each_version_says_when_why_under_what_and_on_which_facts(world: World) -> None:
    await world.turn()
    await world.send_at("19:05", "D1", position(1, "19:01", AWAY), position(2, "19:03", AWAY))
    row = await world.connection.fetchrow("SELECT * FROM finding_versions WHERE reason = 'SEEN_OUT'")
    assert (row["change"], row["why"], row["recorded_at"].hour) == ("new", "more facts came", 19)
    facts = {r["fact_id"] for r in await world.connection.fetch("SELECT fact_id FROM positions")}
    assert set(row["evidence"]) == facts
    assert row["facts_hash"]
    assert len(row["decided_under"]) >= 4


async def test_findings_of_two_home_units_are_two(world: World) -> None:
    await world.send(
        "D1", event(1, "11:50", "HMU_POWER_LOST", hmu_id="U1"), event(2, "11:51", "HMU_POWER_LOST", hmu_id="U2")
    )
    rows = await world.connection.fetch("SELECT device_reason, home_unit FROM findings ORDER BY home_unit")
    assert [tuple(row) for row in rows] == [("HMU_POWER_LOST", "U1"), ("HMU_POWER_LOST", "U2")]
