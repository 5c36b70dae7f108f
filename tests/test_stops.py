"""Stops and places: who stays stays, however wide a circle is, and what nobody knows is not made up."""

from __future__ import annotations

from collections.abc import Iterable

from geofence import Mechanism, Position
from geofence.dwelling import Certainty, Stop, places_of, stops_of
from tests.service_world import HOME

MINUTE_MS = 60_000
M_PER_DEG = 111_195.0


def fix(minute: float, north_m: float = 0.0, radius_m: float = 6.0) -> Position:
    at_ms = int(minute * MINUTE_MS)
    kind = Mechanism.GPS if radius_m < 30 else Mechanism.LBS
    return Position(at_ms, HOME[1] + north_m / M_PER_DEG, HOME[0], radius_m, kind, at_ms, at_ms)


def each_minute(minutes: Iterable[int], north_m: float = 0.0, radius_m: float = 6.0) -> list[Position]:
    return [fix(minute, north_m, radius_m) for minute in minutes]


def spans(stops: Iterable[Stop]) -> list[tuple[int, int]]:
    return [(stop.begin_ms // MINUTE_MS, stop.end_ms // MINUTE_MS) for stop in stops]


def in_order(*parts: list[Position]) -> list[Position]:
    return sorted((position for part in parts for position in part), key=lambda position: position.fix_ms)


def test_a_cell_circle_of_700_m_is_no_departure() -> None:
    cells = [fix(minute + 0.5, 650.0 * (-1) ** minute, 700.0) for minute in range(0, 60, 5)]
    (stop,) = stops_of(in_order(each_minute(range(61)), cells))
    assert spans([stop]) == [(0, 60)]
    assert stop.certainty is Certainty.CERTAIN
    assert (stop.positions, stop.exact) == (61 + 12, 61)


def test_a_way_to_a_shop_and_back_is_three_stops_of_two_places() -> None:
    out = [fix(minute, 100.0 * (minute - 30)) for minute in range(31, 40)]
    back = [fix(minute, 1_000.0 - 100.0 * (minute - 60)) for minute in range(61, 70)]
    stops = stops_of(
        in_order(each_minute(range(31)), out, each_minute(range(40, 61), 1_000.0), back, each_minute(range(70, 100)))
    )
    assert spans(stops) == [(0, 30), (40, 60), (70, 99)]
    assert [stop.left_by_ms for stop in stops] == [31 * MINUTE_MS, 61 * MINUTE_MS, None]
    home, shop = places_of(stops)
    assert (home.stops, shop.stops) == ([0, 2], [1])
    assert home.dwell_ms == (30 + 29) * MINUTE_MS


def test_one_position_far_away_is_a_stray_and_two_are_a_departure() -> None:
    stay = each_minute(range(61))
    assert spans(stops_of(in_order(stay, [fix(30.5, 400.0)]))) == [(0, 60)]
    assert spans(stops_of(in_order(stay, [fix(30.3, 400.0), fix(30.6, 420.0)]))) == [(0, 30), (31, 60)]
    vague = [fix(30.3, 400.0), fix(30.4, 300.0, 700.0), fix(30.6, 420.0)]
    assert spans(stops_of(in_order(stay, vague))) == [(0, 30), (31, 60)], "what is vague takes no departure back"


def test_an_end_is_the_last_position_that_says_so_and_vague_ones_draw_it_out_no_longer() -> None:
    cells = each_minute(range(40, 90, 5), 300.0, 700.0)
    (stop,) = stops_of([*each_minute(range(31)), *cells, fix(95, 9_000.0), fix(96, 9_100.0)])
    assert spans([stop]) == [(0, 30)]
    assert stop.left_by_ms == 95 * MINUTE_MS


def test_cells_alone_are_a_stay_in_an_area() -> None:
    (stop,) = stops_of(each_minute(range(0, 120, 5), 0.0, 700.0))
    assert stop.certainty is Certainty.AREA
    assert 100 < stop.radius_m < 700
    (place,) = places_of([stop])
    assert place.certainty is Certainty.AREA


def test_nothing_is_joined_over_more_than_an_hour_without_a_position() -> None:
    first, second = each_minute(range(31)), each_minute(range(100, 131))
    assert spans(stops_of([*first, *second])) == [(0, 30), (100, 130)]
    (joined,) = stops_of([*first, *each_minute(range(80, 111))])
    assert joined.certainty is Certainty.LIKELY, "nearly half of it is not covered"
    assert joined.known_ms == 60 * MINUTE_MS


def test_what_is_shorter_than_ten_minutes_is_no_stop_and_who_moves_has_none() -> None:
    assert stops_of(each_minute(range(10))) == []
    assert stops_of([fix(minute, 80.0 * minute) for minute in range(120)]) == []
    assert stops_of([]) == []
