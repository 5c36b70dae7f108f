"""Which shard a report is for, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emtrack.record import routing as module
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


DEVICES, WEARERS = range(1, 5), range(1, 6)


@st.composite
def orders(draw: st.DrawFn) -> tuple[list[Worn], list[Stands]]:
    """Who wears what, and where units stand: each device by one person after the other, each unit with several."""
    worn, standing = [], []
    for device_no in DEVICES:
        turns = sorted(draw(st.sets(st.integers(0, 9), max_size=4)))
        for place, from_ms in enumerate(turns):
            to_ms = turns[place + 1] if place + 1 < len(turns) else FOREVER_MS
            number, wearer_no = 10 * device_no + place, draw(st.sampled_from(WEARERS))
            worn.append(Worn(number, device_no, f"D{device_no}", wearer_no, "N", from_ms, to_ms, True))
    for wearer_no in WEARERS:
        for from_ms in sorted(draw(st.sets(st.integers(0, 9), max_size=2))):
            standing.append(Stands(UNIT + draw(st.sampled_from([0, 1])), wearer_no, from_ms, from_ms + 5))
    return worn, standing


def asked(routing: Routing) -> list[Any]:
    """All that anybody asks it."""
    devices, instants = [*DEVICES, UNIT, UNIT + 1], range(-1, 12)
    return [
        [(routing.shards_of_device(n), routing.is_divided(n), routing.home_of(n)) for n in devices],
        [[routing.shard_that_looks(n, at_ms) for at_ms in instants] for n in devices],
        [routing.wearer_of(number) for number in range(60)],
        [routing.count_active("N", at_ms) for at_ms in instants],
        [routing.devices_of([wearer_no]) for wearer_no in WEARERS],
        [[one and one.activation_no for one in map(lambda t: module._covering(routing._of_device.get(n, ()), t), instants)]
         for n in DEVICES],
        [[one and one.activation_no for one in map(lambda t: module._covering(routing._of_tag.get(f"D{n}", ()), t), instants)]
         for n in DEVICES],
    ]  # fmt: skip


@given(orders(), orders(), st.sets(st.sampled_from(WEARERS)))
async def test_what_is_known_after_changes_is_what_is_known_from_the_start(
    before: tuple[list[Worn], list[Stands]], after: tuple[list[Worn], list[Stands]], changed: set[int]
) -> None:
    """Orders of some people change, those of the others stay."""
    worn = [one for one in before[0] if one.wearer_no not in changed]
    standing = [one for one in before[1] if one.wearer_no not in changed]
    taken = {one.activation_no for one in worn}
    fresh = [one for one in after[0] if one.wearer_no in changed and one.activation_no not in taken]
    stands = [one for one in after[1] if one.wearer_no in changed]

    async def found(_: Any, wearer_nos: Sequence[int] | None, of: Sequence[Any]) -> list[Any]:
        assert wearer_nos == sorted(changed)
        return list(of)

    routing, anew = Routing(16), Routing(16)
    routing._take_in(*before)
    with (
        mock.patch.object(module, "_worn", lambda c, w: found(c, w, fresh)),
        mock.patch.object(module, "_standing", lambda c, w: found(c, w, stands)),
    ):
        await routing.reload(mock.sentinel.connection, sorted(changed))
    anew._take_in([*worn, *fresh], [*standing, *stands])
    assert asked(routing) == asked(anew)
