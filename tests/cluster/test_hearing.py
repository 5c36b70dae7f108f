"""Signs of life: how far a worker may judge, and which time is an outage, in memory."""

from __future__ import annotations

from typing import Any

from emtrack.service.hearing import LONGEST_S, Hearing
from geofence import FOREVER_MS
from tests.service_world import FakeClock, ms

BEGIN_S = 1_000.0


class Ear:
    """Two shards, in the hands of a test."""

    def __init__(self, rate: float = 1.0) -> None:
        self.clock: Any = FakeClock("12:00")
        self.clock.rate = rate
        self.now_s = BEGIN_S
        self.signs: dict[int, float] = {}
        self.hearing = Hearing(self.signs.get, lambda: self.now_s)
        self.hearing.begin([1, 2], self.clock.now_ms())

    def after(self, seconds: float, *heard: int) -> None:
        self.now_s += seconds
        self.clock.at_ms += round(seconds * 1000 * self.clock.rate)
        self.signs |= dict.fromkeys(heard, self.now_s)

    def turn(
        self, judged_ms: int = 0, *, has_reports: bool = False, due_ms: int = FOREVER_MS
    ) -> tuple[int, dict[int, int]]:
        """Up to when it judges, and which shards had an outage since when."""
        heard = self.hearing.look(self.clock)
        self.hearing.adopt(heard)
        to_ms = heard.judged_to_ms(LONGEST_S, has_reports=has_reports, due_ms=due_ms)
        return to_ms, heard.unheard_since_ms(max(judged_ms, to_ms), LONGEST_S)


def test_judged_time_follows_the_newest_signs_and_stands_still_without_one() -> None:
    ear = Ear()
    ear.after(1.0, 1, 2)
    assert ear.turn() == (ms("12:00:01"), {})
    for _ in range(60):
        ear.after(1.0)
        assert ear.turn() == (ms("12:00:01"), {})


def test_a_time_without_a_sign_is_an_outage_from_the_last_one_when_there_is_one_again() -> None:
    ear = Ear()
    ear.after(1.0, 1, 2)
    ear.turn()
    ear.after(60.0)
    ear.turn()
    ear.after(1.0, 1, 2)
    assert ear.turn() == (ms("12:01:02"), {1: ms("12:00:01"), 2: ms("12:00:01")})
    ear.after(5.0, 1, 2)
    assert ear.turn() == (ms("12:01:07"), {})


def test_a_shard_whose_lane_alone_says_nothing_has_an_outage_while_the_others_are_judged() -> None:
    ear = Ear()
    ear.after(1.0, 1, 2)
    ear.after(4.0, 1)
    assert ear.turn() == (ms("12:00:01"), {})  # whether it is away is not known yet
    ear.after(1.5, 1)
    assert ear.turn() == (ms("12:00:06"), {2: ms("12:00:01")})
    ear.after(1.0, 1)
    assert ear.turn() == (ms("12:00:07"), {2: ms("12:00:01")})


def test_judged_time_follows_the_lane_that_was_heard_least() -> None:
    ear = Ear()
    ear.after(1.0, 2)
    ear.after(0.3, 1)
    assert ear.turn() == (ms("12:00:01"), {})
    ear.after(0.2)
    assert ear.turn(has_reports=True, due_ms=ms("12:00:01")) == (ms("12:00:01"), {})


def test_reports_are_received_now_where_nobody_is_due_by_the_clock() -> None:
    ear = Ear()
    ear.after(1.0, 2)
    ear.after(0.5, 1)
    assert ear.turn(has_reports=True, due_ms=ms("12:00:02")) == (ms("12:00:01") + 500, {})


def test_a_fast_clock_receives_no_report_long_before_it_is_there() -> None:
    ear = Ear(rate=600.0)
    ear.after(1.0, 1)
    assert ear.turn(has_reports=True, due_ms=ms("12:00:01")) == (ms("12:09:50"), {})


def test_a_shard_is_never_judged_past_its_last_sign_before_that_is_an_outage() -> None:
    ear = Ear()
    for tenth in range(1, 100):
        ear.after(0.1, 1)
        to_ms, outages = ear.turn(has_reports=tenth % 2 == 0, due_ms=ms("12:00"))
        assert outages == ({2: ms("12:00")} if to_ms > ms("12:00") else {})
    assert to_ms == ms("12:00:09")


def test_orders_that_move_judged_time_on_while_nobody_is_heard_leave_an_outage_and_no_silence() -> None:
    ear = Ear()
    ear.after(600.0)
    assert ear.turn(judged_ms=ms("12:10")) == (ms("12:00"), {1: ms("12:00"), 2: ms("12:00")})


def test_a_step_of_the_clock_while_nobody_is_heard_moves_nothing() -> None:
    ear = Ear()
    ear.after(1.0, 1, 2)
    ear.turn()
    ear.clock.at_ms += 3_600_000
    ear.after(10.0)
    assert ear.turn() == (ms("12:00:01"), {})


def test_a_fast_clock_makes_no_outage_of_the_second_between_two_signs() -> None:
    ear = Ear(rate=600.0)
    for _ in range(10):
        ear.after(1.0, 1, 2)
        assert ear.turn()[1] == {}


def test_what_was_given_back_holds_nothing_up() -> None:
    ear = Ear()
    ear.after(100.0, 1)
    ear.hearing.end([2])
    assert ear.turn() == (ms("12:01:40"), {1: ms("12:00")})
    assert ear.hearing.unheard_s() == {1: 0.0}


def test_reports_of_before_that_are_read_first_are_received_now_and_the_time_is_an_outage_in_whole_seconds() -> None:
    ear = Ear()
    ear.after(60.4)
    assert ear.turn(has_reports=True) == (ms("12:01"), {1: ms("12:00"), 2: ms("12:00")})
    ear.after(0.2)
    assert ear.turn(has_reports=True) == (ms("12:01"), {1: ms("12:00"), 2: ms("12:00")})
    ear.after(0.4, 1, 2)
    assert ear.turn(has_reports=True) == (ms("12:01:01"), {1: ms("12:00"), 2: ms("12:00")})


def test_a_machine_whose_clock_is_ahead_makes_no_outage_of_shards_that_hear() -> None:
    ear = Ear()
    ear.hearing.begin([1, 2], ms("12:05"))  # judged so far by a worker before us
    for _ in range(20):
        ear.after(1.0, 1, 2)
        assert ear.turn(judged_ms=ms("12:05"))[1] == {}
    ear.after(1.0, 1, 2)
    assert ear.turn(judged_ms=ms("12:10"))[1] == {}  # orders, by pages whose clock is ahead
