"""IOM records: versions, grades with their history, and what the migration keeps of the old form."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import emtrack.db.migrate
from emtrack.db.connect import connect
from emtrack.db.migrate import migrate
from emtrack.forms.errors import FormError
from emtrack.forms.reading import read_orders
from emtrack.iom.record import IomRecord, load_iom
from emtrack.record.entering import OrdersConflict
from geofence.words import format_instant
from tests.service_world import World, deployed, ms

IOM = {
    "pnc": "DEMO/0000001P", "crn": "DEMO-X000001", "cohort": "FIXED", "mappa_category": 2, "mappa_level": 1,
    "pathways": ["DRUGS_ALCOHOL"], "agencies": ["Police", "Probation Service"], "lead_officer": "B. Ash",
    "lead_agency": "Police", "rag": "RED",
    "rag_history": [
        {"grade": "AMBER", "from": "2026-01-10T09:00:00Z", "reason": "selected", "by": "B. Ash"},
        {"grade": "RED", "from": "2026-02-20T15:30:00Z", "reason": "missed two appointments"},
    ],
}  # fmt: skip


def form(**iom: Any) -> dict[str, Any]:
    return {"wearers": [{"wearer_id": "W1", "name": "Ann", "iom": iom}]}


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with deployed(database_url) as world:
        yield world


async def record(world: World) -> IomRecord:
    number = await world.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = 'W1'")
    return (await load_iom(world.connection, [number]))[number]


def grades(record: IomRecord) -> list[tuple[str, str | None]]:
    return [(g.grade, None if g.since_ms is None else format_instant(g.since_ms)) for g in record.grades]


async def test_a_record_is_read_as_it_was_entered_with_its_grades(world: World) -> None:
    await world.enter(form(**IOM))
    found = await record(world)
    assert (found.pnc, found.cohort, found.pathways, found.lead_officer) == (
        "DEMO/0000001P", "FIXED", ["DRUGS_ALCOHOL"], "B. Ash",
    )  # fmt: skip
    assert found.rag == "RED"
    assert grades(found) == [("RED", "2026-02-20T15:30:00Z"), ("AMBER", "2026-01-10T09:00:00Z")]
    assert found.grades[0].reason == "missed two appointments"


async def test_a_grade_that_changes_is_added_and_the_same_grade_is_not(world: World) -> None:
    await world.enter(form(rag="AMBER"))
    world.clock.at_ms = ms("12:10")
    await world.enter(form(rag="AMBER"))
    world.clock.at_ms = ms("12:20")
    await world.enter(form(rag="GREEN"), who="B. Ash")
    found = await record(world)
    assert grades(found) == [("GREEN", "2026-03-02T12:20:00Z"), ("AMBER", "2026-03-02T12:00:00Z")]
    assert found.grades[0].graded_by == "B. Ash"


async def test_a_record_that_changes_is_a_new_version_and_the_old_one_stays(world: World) -> None:
    await world.enter(form(cohort="FIXED", crn="X1"))
    world.clock.at_ms = ms("12:10")
    await world.enter(form(cohort="FLEX", crn="X1"))
    rows = await world.connection.fetch("SELECT cohort, upper_inf(recorded) FROM iom_versions ORDER BY version_no")
    assert [tuple(row) for row in rows] == [("FIXED", False), ("FLEX", True)]
    assert (await record(world)).cohort == "FLEX"


async def test_a_grade_from_an_instant_to_come_is_refused(world: World) -> None:
    with pytest.raises(
        OrdersConflict, match="wearer 'W1', the grade RED would hold from an instant that has not come"
    ):
        await world.enter(form(rag_history=[{"grade": "RED", "from": "2026-03-02T13:00:00Z"}]))


async def test_an_iom_record_makes_nobody_be_judged_again(world: World) -> None:
    before = world.worker._activations
    await world.enter(form(**IOM))
    await world.turn()
    assert world.worker._activations is before
    assert await world.count("finding_versions") == 0


@pytest.mark.parametrize(
    ("iom", "message"),
    [
        ({"rag": "PURPLE"}, "PURPLE"),
        ({"cohort": "OTHER"}, "OTHER"),
        ({"mappa_level": 4}, "<= 3"),
        ({"colour": 1}, "colour"),
        ({"rag": "GREEN", "rag_history": IOM["rag_history"]}, "expected them to agree"),
        ({"rag_history": list(reversed(IOM["rag_history"]))}, "ascending order"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_with_its_place(iom: dict[str, Any], message: str) -> None:
    with pytest.raises(FormError, match=message) as caught:
        read_orders(json.dumps(form(**iom)), "orders.json")
    assert "line 1" in str(caught.value)


async def test_records_of_before_are_taken_over(database_url: str, tmp_path: Path) -> None:
    files = Path(emtrack.db.migrate.__file__).parent / "migrations"
    for name in ("0001_record.sql", "0002_alerts.sql"):
        (tmp_path / name).write_bytes((files / name).read_bytes())
    connection: asyncpg.Connection = await connect(database_url)
    try:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await migrate(connection, tmp_path)
        rows = [
            ("W1", {"rag": "RED", "cohort": "FLEX", "mappa_level": 3, "pnc": "P1"}),
            ("W2", {"rag": "?", "mappa_level": "?"}),
            ("W3", None),
        ]
        await connection.executemany("INSERT INTO wearers (wearer_id, iom) VALUES ($1, $2)", rows)
        await migrate(connection)
        numbers = [row[0] for row in await connection.fetch("SELECT wearer_no FROM wearers ORDER BY wearer_id")]
        found = await load_iom(connection, numbers)
        assert sorted(found) == numbers[:2]
        first, second = found[numbers[0]], found[numbers[1]]
        assert (first.rag, first.cohort, first.mappa_level, first.pnc) == ("RED", "FLEX", 3, "P1")
        assert grades(first) == [("RED", None)]
        assert (second.rag, second.mappa_level) == (None, None)
    finally:
        await connection.close()
