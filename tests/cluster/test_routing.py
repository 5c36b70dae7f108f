"""Which shard a report is for, in memory."""

from __future__ import annotations

import msgspec
import pytest

from emtrack.record.routing import Routing, Stands, Worn
from geofence import ALWAYS_MS, FOREVER_MS
from ingest import Received, read_request
from tests.service_world import event

UNIT = 9_000_000


def worn(wearer_no: int) -> Worn:
    return Worn(wearer_no, wearer_no, f"D{wearer_no}", wearer_no, None, ALWAYS_MS, FOREVER_MS, tells_of_places=True)


def of_many(wearers: int) -> Routing:
    routing = Routing(16)
    standing = [Stands(UNIT, wearer_no, ALWAYS_MS, FOREVER_MS) for wearer_no in (1, 2)]
    routing._take_in([worn(number) for number in range(1, wearers + 1)], standing)
    return routing


def of_itself() -> Received:
    """What a home unit says of itself."""
    body = msgspec.json.encode({"boot": 1, "reports": [event(1, "12:00", "HMU_POWER_LOST")]})
    (received,) = read_request(body, "application/json").reports
    return received


@pytest.mark.parametrize("wearers", [10, 1_000])
def test_a_report_of_a_home_unit_is_routed_without_a_look_at_everybody(
    wearers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    routing, looked = of_many(wearers), []
    covers = Worn.covers
    monkeypatch.setattr(Worn, "covers", lambda one, at_ms: looked.append(one) or covers(one, at_ms))
    route = routing.route(UNIT, of_itself())
    assert (route.shard, route.hear) == (1, {2})
    assert len(looked) == 2


def test_a_home_unit_is_looked_after_where_it_stands_now_and_its_home_is_always_the_same() -> None:
    routing = Routing(16)
    routing._take_in([], [Stands(UNIT, 1, 0, 1_000), Stands(UNIT, 7, 500, 2_000), Stands(UNIT, 5, 2_000, FOREVER_MS)])
    assert [routing.shard_that_looks(UNIT, at_ms) for at_ms in (0, 999, 1_000, 1_999, 2_000)] == [1, 1, 7, 7, 5]
    assert routing.shard_that_looks(UNIT, -1) == routing.shard_of_unit(UNIT) == routing.home_of(UNIT) == 1
