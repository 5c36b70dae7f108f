"""What is allowed in orders and is probably not meant is said, and tells nobody where a home lies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emtrack.forms.cautions import Person, can_be_inside, cautions
from emtrack.forms.reading import read_orders
from emtrack.forms.to_core import plans_of
from emtrack.orders.entry import Cautioned, enter_orders
from geofence import Area, Disc
from tests.service_world import HOME, World, activation, curfew, ms, orders

NOW_MS = ms("12:00")
NEAR_HOME = [HOME[0] + 0.01, HOME[1]]


def zone(*corners: tuple[float, float]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[*map(list, corners), list(corners[0])]]}


def exclusion(geometry: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "requirement_id": "X1", "wearer_id": "W1", "kind": "EXCLUSION", "from": "2026-03-01T00:00:00Z", "geometry": geometry, **more,
    }  # fmt: skip


def said(*requirements: dict[str, Any]) -> list[str]:
    form = {"activations": [activation(1)], "requirements": list(requirements)}
    (plan,) = plans_of(read_orders(json.dumps(form), "orders.json"))
    person = Person("W1", plan.requirements, [plan.activation])
    return [caution.what for caution in cautions(person, lambda _: True, NOW_MS)]


def square(lon_deg: float, lat_deg: float, half_deg: float = 0.005) -> dict[str, Any]:
    signs = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    return zone(*((lon_deg + x * half_deg, lat_deg + y * half_deg) for x, y in signs))


def test_a_zone_with_latitude_and_longitude_exchanged_is_said_once() -> None:
    (what,) = said(curfew(1), exclusion(square(53.025, -2.18)))
    assert "latitude and longitude may be exchanged" in what
    assert str(HOME[0]) not in what


def test_a_zone_that_is_far_from_all_others_is_said() -> None:
    assert any("check where it lies" in what for what in said(curfew(1), exclusion(square(-6.3, 53.3))))
    assert said(curfew(1), exclusion(square(*NEAR_HOME))) == []


@pytest.mark.parametrize(
    ("shape", "widen_m", "can"),
    [
        (Disc(HOME, 4.9), 0.0, False), (Disc(HOME, 5.0), 0.0, True), (Disc(HOME, 1.0), 4.0, True),
        (Area((((HOME, (HOME[0] + 0.02, HOME[1]), (HOME[0] + 0.02, HOME[1] + 1e-10), HOME),),)), 0.0, False),
        (Area((((HOME, (HOME[0] + 0.001, HOME[1]), (HOME[0] + 0.001, HOME[1] + 0.001), HOME),),)), 0.0, True),
    ],
)  # fmt: skip
def test_a_zone_in_which_nobody_can_be_inside_is_said(shape: Any, widen_m: float, can: bool) -> None:
    assert can_be_inside(shape, widen_m) is can


def test_a_curfew_that_no_court_can_order_is_said() -> None:
    days = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
    long_day = [{"day": "MON", "start": "00:00", "end": "20:01"}]
    assert said(curfew(1, timetable=long_day)) == ["it lasts 20 h of a day; a court can order at most 20"]
    week = [{"day": day, "start": "00:00", "end": "16:01"} for day in days]
    assert said(curfew(1, timetable=week)) == ["it lasts 112.1 h in seven days; a court can order at most 112"]
    assert said(curfew(1, timetable=[{"day": day, "start": "18:00", "end": "10:00"} for day in days])) == []


def test_a_gap_of_a_minute_between_two_rows_of_one_night_is_said() -> None:
    rows = [{"day": "MON", "start": "19:00", "end": "23:59"}, {"day": "TUE", "start": "00:00", "end": "07:00"}]
    assert said(curfew(1, timetable=rows)) == ["there is a gap of a minute at 23:59; to go on until then write 00:00"]


async def test_an_import_says_what_is_probably_not_meant_and_with_strict_enters_nothing(world: World) -> None:
    form = orders(requirements=[curfew(1), exclusion(square(53.025, -2.18)), curfew(9)])
    read = read_orders(json.dumps(form), "orders.json")
    with pytest.raises(Cautioned, match="exchanged"):
        async with world.connection.transaction():
            await enter_orders(world.connection, read, who="officer", now_ms=NOW_MS, strict=True)
    assert (
        await world.connection.fetchval("SELECT count(*) FROM requirement_versions WHERE requirement_id = 'X1'") == 0
    )
    async with world.connection.transaction():
        entered = await enter_orders(world.connection, read, who="officer", now_ms=NOW_MS)
    told = [str(caution) for caution in entered.cautions]
    assert len(told) == 2
    assert "requirement 'X1' of wearer 'W1'" in told[0]
    assert "wears a tag" in told[1]


async def test_an_activation_that_begins_years_ago_is_said(world: World) -> None:
    form = {"activations": [activation(7, **{"from": "2006-03-02T08:00:00Z"})]}
    async with world.connection.transaction():
        entered = await enter_orders(
            world.connection, read_orders(json.dumps(form), "orders.json"), who="x", now_ms=NOW_MS
        )
    assert [caution.about for caution in entered.cautions] == ["activation 'A7'"]
