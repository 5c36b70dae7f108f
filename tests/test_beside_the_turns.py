"""What is judged beside the turns, when something else happens meanwhile: facts, orders, restarts, faults, cuts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count
from random import Random
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from emtrack.record.quarantine import ask_to_examine
from emtrack.record.rules import ask_to_judge_again
from geofence import datetime_of
from geofence.judgement import ActivationJudge
from geofence.words import format_instant
from ingest.inbox import LIVE_REPORTS
from tests.service_world import (
    AWAY,
    HOME,
    World,
    activation,
    as_judged_again,
    as_shown,
    curfew,
    deployed,
    event,
    ms,
    orders,
    position,
    serving,
)
from tests.test_put_off import ALL_DAY, FEW, curfews, out_in_the_night

SEQ = count(200_000)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with deployed(database_url, orders(1, 2), at="08:00") as world:
        world.budget = FEW
        await world.start()
        yield world


async def as_the_rules_have_it(world: World) -> None:
    is_shown, is_right = await as_shown(world), await as_judged_again(world)
    assert [line for line in is_shown if line not in is_right] == [], "shown, and wrong"
    assert [line for line in is_right if line not in is_shown] == [], "right, and not shown"


async def held_back(world: World) -> tuple[Any, Any]:
    """The process has answered, and nobody has seen the answer yet."""
    (live,) = world.worker.activations.waiting()
    waiting = live.waiting
    assert waiting is not None
    while not waiting.is_done:  # noqa: ASYNC110  another process: there is nothing to wait on but its answer
        await asyncio.sleep(0.01)
    rebuilt, waiting.rebuilt = waiting.rebuilt, None
    return waiting, rebuilt


async def broken_once(world: World, monkeypatch: pytest.MonkeyPatch, *reports: Any) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        return 1 // 0

    with monkeypatch.context() as patch:
        patch.setattr(ActivationJudge, "advance", broken)
        await world.send("D1", *reports)


async def test_a_fault_of_a_long_history_is_judged_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await out_in_the_night(world)
    world.clock.at_ms = ms("03T00:05")
    await broken_once(world, monkeypatch, position(next(SEQ), "03T00:04", AWAY))
    assert await world.count("judgement_faults") == 1
    await world.wait_until("03T00:07")
    (live,) = world.worker.activations.waiting()
    while not live.waiting.is_done:  # noqa: ASYNC110  likewise
        await asyncio.sleep(0.01)
    for minute in range(10, 50):
        await world.send_at(f"03T00:{minute}", "D1", position(next(SEQ), f"03T00:{minute}", AWAY))
    assert live.waiting is None, "what was judged beside the turns is there, and nobody takes it over"
    await world.settle()
    await as_the_rules_have_it(world)


async def late_at_21(world: World) -> None:
    await world.send_at("23:56", "D1", *(position(next(SEQ), f"21:{n:02}:30", HOME) for n in range(1, 59)))
    assert await world.count("late_judgements") == 1


async def test_an_earlier_late_fact_that_came_while_one_waited_is_judged_after_a_restart(world: World) -> None:
    await out_in_the_night(world)
    await late_at_21(world)
    await held_back(world)
    await world.send_at("23:57", "D1", event(next(SEQ), "10:05:00", "STRAP_TAMPER"))
    await world.start()
    await world.settle()
    await as_the_rules_have_it(world)


async def test_an_earlier_late_fact_in_the_first_turn_after_a_restart_is_judged(world: World) -> None:
    await out_in_the_night(world)
    await late_at_21(world)
    await world.start()
    await world.send_at("23:57", "D1", event(next(SEQ), "10:05:00", "STRAP_TAMPER"))
    await world.settle()
    await as_the_rules_have_it(world)


async def test_a_late_fact_that_came_with_orders_that_left_its_tag_alone_is_judged_after_a_restart(
    world: World,
) -> None:
    await out_in_the_night(world)
    await world.enter({"activations": [activation(3, wearer_id="W1")]})
    await world.turn()
    assert world.worker.activations.waiting()
    await held_back(world)
    await world.send_at("23:57", "D1", event(next(SEQ), "10:05:00", "STRAP_TAMPER"))
    await world.start()
    await world.settle()
    await as_the_rules_have_it(world)


async def refused_before(world: World, received: str, *reports: dict[str, Any]) -> None:
    device_no = await world.device_no("D1")
    await world.connection.executemany(
        "INSERT INTO quarantine VALUES ($1, $2, $3, 1, $4, 'bad_time', 'as it was', $5)",
        [
            (900_000 + r["seq"], device_no, datetime_of(ms(received)), r["seq"], msgspec.msgpack.encode(r))
            for r in reports
        ],
    )


async def examine(world: World) -> None:
    await ask_to_examine(world.connection, "officer", world.clock.now_ms())
    await world.turn()


async def test_what_comes_out_of_quarantine_while_a_late_fact_waits_is_judged(world: World) -> None:
    await out_in_the_night(world)
    await late_at_21(world)
    waiting, rebuilt = await held_back(world)
    await refused_before(world, "23:40", event(next(SEQ), "10:05:00", "STRAP_TAMPER"))
    await examine(world)
    waiting.rebuilt = rebuilt
    await world.settle()
    await as_the_rules_have_it(world)


async def silent_by_day(world: World) -> None:
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    await out_in_the_night(world)
    await world.wait_until("03T02:00")
    await world.send_at("03T02:10", "D1", position(next(SEQ), "03T02:09"))


async def test_what_was_received_before_a_silence_ended_is_no_fault_of_who_waits(world: World) -> None:
    await silent_by_day(world)
    await world.enter({"requirements": [ALL_DAY]})
    await world.turn()
    waiting, rebuilt = await held_back(world)
    await refused_before(world, "03T01:00", position(next(SEQ), "10:05:30"))
    await examine(world)
    faults = await world.connection.fetch("SELECT error FROM judgement_faults")
    assert faults == []
    waiting.rebuilt = rebuilt
    await world.settle()
    await as_the_rules_have_it(world)


async def test_a_silence_that_what_was_refused_undoes_is_withdrawn_of_who_waits_too(world: World) -> None:
    """In order as it comes out, so that no fault hides it."""
    await silent_by_day(world)
    await world.send_at("03T02:11", "D1", *(position(next(SEQ), f"21:{n:02}:30", HOME) for n in range(1, 59)))
    assert await world.count("late_judgements") == 1
    waiting, rebuilt = await held_back(world)
    await refused_before(world, "03T01:00", position(next(SEQ), "03T02:05"))
    await examine(world)
    waiting.rebuilt = rebuilt
    await world.settle()
    assert await world.count("judgement_faults") == 0
    await as_the_rules_have_it(world)


async def test_what_is_found_while_somebody_waits_is_not_withdrawn_and_found_again(world: World) -> None:
    """An upload of events twenty minutes old: no older than what the state from before has settled, and older than what the new one
    has."""
    await out_in_the_night(world)
    live = world.worker.activations.by_number(1)
    for minute in range(0, 120, 5):
        at_ms = ms("03T00:00") + minute * 60_000
        await world.send_at(format_instant(at_ms), "D1", position(next(SEQ), format_instant(at_ms)))
        if minute > 60 and at_ms - live.state.base.fed_to[0] >= 28 * 60_000:
            break
    await world.enter({"requirements": [curfew(1, seen_within_s=901)]})
    await world.turn()
    waiting, rebuilt = await held_back(world)
    world.clock.at_ms = at_ms + 60_000
    ago = [format_instant(at_ms - minutes * 60_000) for minutes in (20, 17)]
    await world.send("D1", event(next(SEQ), ago[0], "STRAP_TAMPER"), event(next(SEQ), ago[1], "STRAP_CLEAR"))
    assert [line["kind"] for line in await as_shown(world) if line["kind"] == "TAMPER"] == ["TAMPER"]
    waiting.rebuilt = rebuilt
    await world.settle()
    await as_the_rules_have_it(world)
    assert [v for v in await world.versions() if v.startswith("TAMPER")] == ["TAMPER new STRAP_TAMPER"]


async def test_who_asked_to_judge_again_is_not_told_that_it_is_done_while_somebody_waits(world: World) -> None:
    await out_in_the_night(world)
    await ask_to_judge_again(world.connection, ms("09:00"), "officer", world.clock.now_ms())
    await world.turn()
    assert world.worker.activations.waiting()
    await world.enter({"activations": [activation(3, wearer_id="W1")]})
    await world.turn()
    await world.turn()
    if world.worker.activations.waiting():
        asked = "SELECT count(*) FROM rejudgements WHERE done_at IS NULL"
        assert await world.connection.fetchval(asked) == 1


async def test_who_is_to_be_judged_again_after_a_fault_is_not_watched_from_before_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heard at 00:08, in the turn that failed; not silent at 00:09:30."""
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    await out_in_the_night(world)
    await world.settle()
    before = await world.versions()
    world.clock.at_ms = ms("03T00:08")
    await broken_once(world, monkeypatch, position(next(SEQ), "03T00:07"))
    await ask_to_judge_again(world.connection, ms("09:00"), "officer", world.clock.now_ms())
    await world.wait_until("03T00:08:30")
    await held_back(world)
    await world.wait_until("03T00:09:30")
    told = [v for v in await world.versions() if v.startswith("NO_COMM")]
    assert told == [v for v in before if v.startswith("NO_COMM")]


async def test_what_is_live_is_judged_in_its_turn_though_something_comes_out_of_quarantine(world: World) -> None:
    await silent_by_day(world)
    await refused_before(world, "03T01:00", position(next(SEQ), "10:05:30"))
    await ask_to_examine(world.connection, "officer", world.clock.now_ms())
    await world.send_at("03T02:12", "D1", event(next(SEQ), "03T02:11", "STRAP_TAMPER"))
    assert world.worker.activations.waiting()
    await held_back(world)
    await world.send_at("03T02:13", "D1", position(next(SEQ), "03T02:13"))
    assert [line["kind"] for line in await as_shown(world) if line["kind"] == "TAMPER"] == ["TAMPER"]


async def test_late_facts_that_waited_reach_what_had_ended_before_new_rules_though_orders_changed_meanwhile(
    world: World,
) -> None:
    """Settled at 23:00 (rules.py): a fact that waits speaks of 21:00; an order of another place changes nothing of that curfew."""
    await out_in_the_night(world)
    for live in world.worker.activations:
        live.reach_ms = ms("23:00")
    world.worker.activations._rules_since_ms = ms("23:00")
    await late_at_21(world)
    await held_back(world)
    await world.enter({"activations": [activation(3, wearer_id="W1")]})
    await world.turn()
    await world.settle()
    assert await curfews(world) != [("21:00", "22:00")]


async def test_the_same_where_orders_do_not_change(world: World) -> None:
    await out_in_the_night(world)
    for live in world.worker.activations:
        live.reach_ms = ms("23:00")
    world.worker.activations._rules_since_ms = ms("23:00")
    await late_at_21(world)
    await world.settle()
    assert await curfews(world) != [("21:00", "22:00")]


async def test_an_error_of_nobody_sets_nobody_aside(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is due by the clock in the turn in which something of no activation fails."""
    await world.send_at("18:55", "D1", position(next(SEQ), "18:50", AWAY), position(next(SEQ), "18:54", AWAY))

    async def failing(*_: Any) -> None:
        raise KeyError("of all")

    monkeypatch.setattr("emtrack.service.worker.record_alive", failing)
    world.clock.at_ms = ms("19:01")
    for _ in range(3):
        with suppress(KeyError):
            await world.turn()
    assert await world.connection.fetch("SELECT activation_no, error FROM judgement_faults") == []


def test_a_year_of_silences_is_compared_within_a_turn() -> None:
    """Of one key: ten a day; what is compared is every one with every other."""
    import time

    from geofence import Kind
    from geofence.judgement import Finding, amendments

    found = [Finding(Kind.NO_COMMUNICATION, n * 10_000, n * 10_000 + 5_000, n * 10_000) for n in range(3_650)]
    began = time.monotonic()
    amendments([(n, f) for n, f in enumerate(found)], found)
    took_s = time.monotonic() - began
    assert took_s < 1, f"{took_s:.1f} s"


async def test_orders_that_nobody_waits_for_are_not_judged_any_more(world: World) -> None:
    await out_in_the_night(world)
    for seen in (901, 902, 903, 904):
        await world.enter({"requirements": [curfew(1, seen_within_s=seen)]})
        await world.turn()
    assert len(world.worker._rebuilder) <= 2


async def test_a_database_that_the_process_cannot_reach_is_no_fault_of_who_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emtrack.service.rebuilder.RETRY_S", 0.01)
    await out_in_the_night(world)
    await world.enter({"requirements": [ALL_DAY]})
    world.worker._rebuilder._dsn = "postgresql://nobody@127.0.0.1:1/none"
    await world.turn()
    (live,) = world.worker.activations.waiting()
    for _ in range(200):
        if live.waiting is None or live.waiting.is_done:
            break
        await asyncio.sleep(0.01)
    await world.turn()
    assert await world.count("judgement_faults") == 0


async def test_the_costs_of_others_stay_known_though_one_is_judged_from_its_start(world: World) -> None:
    """D1: something out of quarantine undoes a silence. W2's orders change in that turn, and are put off or judged in it."""
    await silent_by_day(world)
    await world.enter({"requirements": [curfew(2, seen_within_s=901)]})
    await refused_before(world, "03T01:00", position(next(SEQ), "10:05:30"))
    await examine(world)
    assert not world.worker.activations._again, "little enough for the turn, and left for another"


@pytest.mark.parametrize("what", ["restart", "orders"])
async def test_very_many_changes_that_are_cut_in_the_middle_are_taken_in_all_the_same(
    world: World, what: str
) -> None:
    since = {"from": "2015-03-02T00:00:00Z"}
    await world.enter({"activations": [activation(3, **since)], "requirements": [curfew(3, **since)]})
    before = await world.count("finding_versions")
    for _ in range(2_000):
        await world.turn()
        if await world.count("finding_versions") > before + 500:
            break
        await asyncio.sleep(0.02)
    assert world.worker.activations.to_judge_again_count == 1
    if what == "restart":
        await world.start()
    else:
        await world.enter({"requirements": [curfew(3, seen_within_s=901, **since)]})
    await world.settle()
    await as_the_rules_have_it(world)
    versions = await world.connection.fetchval("SELECT count(*) FROM finding_versions WHERE version > 1")
    assert versions == 0


@pytest.mark.parametrize("seed", range(int(os.environ.get("SEEDS", "12"))))
async def test_whatever_comes_while_somebody_waits(world: World, seed: int) -> None:
    """Late facts, orders that change, facts of the future, same instants, answers held back."""
    toss = Random(seed)
    await out_in_the_night(world)
    at_ms, held = ms("23:51"), []
    for _ in range(60):
        at_ms += toss.choice([0, 0, 1, 1_000, 60_000, 300_000, 1_200_000])
        world.clock.at_ms = at_ms
        for waiting, rebuilt in held:
            waiting.rebuilt = rebuilt
        held = []
        if toss.random() < 0.1:
            await world.enter({"requirements": [curfew(1, seen_within_s=toss.randrange(60, 900))]})
        if toss.random() < 0.05:
            await ask_to_judge_again(world.connection, ms("09:00"), "officer", at_ms)
        reports = []
        for _ in range(toss.randrange(4)):
            ago_ms = toss.choice(
                [-200_000, -10_000, 0, 60_000, 600_000, 1_200_000, 1_700_000, 20_000_000, 40_000_000]
            )
            own = format_instant(max(ms("08:00"), at_ms - ago_ms - toss.randrange(60) * 1000))
            what = toss.choice(["STRAP_TAMPER", "STRAP_CLEAR", "RF_IN", "RF_OUT", "HMU_MOVED"])
            one = event(next(SEQ), own, what)
            reports.append(one if toss.random() < 0.3 else position(next(SEQ), own, toss.choice([HOME, AWAY])))
        await world.send("D1", *reports)
        for live in world.worker.activations.waiting():
            waiting = live.waiting
            if waiting is not None and toss.random() < 0.5:
                while not waiting.is_done:  # noqa: ASYNC110  likewise
                    await asyncio.sleep(0.005)
                if toss.random() < 0.5:
                    held.append((waiting, waiting.rebuilt))
                    waiting.rebuilt = None
    for waiting, rebuilt in held:
        waiting.rebuilt = rebuilt
    await world.settle()
    assert await world.connection.fetch("SELECT error FROM judgement_faults") == []
    await as_the_rules_have_it(world)


async def test_a_body_that_never_comes_gives_its_room_back(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tags that lose the network in the middle of an upload."""
    monkeypatch.setattr("ingest.http.BODY_WITHIN_S", 0.2)
    async with serving(database_url, orders(1, 2), inbox_reports=1_000) as door:
        url = urlsplit(door.service.address)
        head = (
            f"POST /v1/devices/D1/reports HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.keys['D1']}\r\n"
            "Content-Type: application/json\r\nContent-Length: 150000\r\n\r\n"
        )
        _, lost = await asyncio.open_connection(url.hostname, url.port)
        lost.write(head.encode())
        await lost.drain()
        await asyncio.sleep(1.0)
        backlog = [position(n, "11:59", note="x" * 100) for n in range(LIVE_REPORTS + 5)]
        status, _ = await door.reports(*backlog, device="D2")
        lost.close()
        assert status == 200


async def test_a_fact_of_the_future_received_at_the_instant_of_a_judgement_beside_the_turns_waits_for_its_time(
    world: World,
) -> None:
    """One instant, two turns: our clock stands (the machine's stepped back). The process reads what came in the second."""
    await out_in_the_night(world)
    await world.settle()
    world.worker._rebuilder._dsn, dsn = "postgresql://nobody@127.0.0.1:1/none", world.dsn
    await late_at_21(world)
    await world.send_at("23:56", "D1", event(next(SEQ), "23:59", "STRAP_TAMPER"))
    world.worker._rebuilder._dsn = dsn
    await world.settle()
    assert await world.count("judgement_faults") == 0
    await as_the_rules_have_it(world)


async def test_who_waits_under_new_orders_after_a_fault_is_not_watched_from_before_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders that wait, a fault, and orders again: heard at 00:08, in the turn that failed."""
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    await out_in_the_night(world)
    await world.settle()
    before = await world.versions()
    await world.enter({"requirements": [curfew(1, seen_within_s=901)]})
    await world.wait_until("03T00:07:30")
    await held_back(world)
    world.clock.at_ms = ms("03T00:08")
    await broken_once(world, monkeypatch, position(next(SEQ), "03T00:07"))
    assert await world.count("judgement_faults") == 1
    await world.enter({"requirements": [curfew(1, seen_within_s=902)]})
    await world.wait_until("03T00:08:30")
    await held_back(world)
    await world.wait_until("03T00:09:30")
    told = [v for v in await world.versions() if v.startswith("NO_COMM")]
    assert told == [v for v in before if v.startswith("NO_COMM")]


async def test_what_a_late_fact_costs_is_counted_of_a_tag_that_reports_each_second(world: World) -> None:
    from emtrack.service.costs import USUAL, late_cost

    for hour in (12, 13):
        for minute in range(0, 60, 10):
            at = [f"{hour}:{minute + n // 60:02}:{n % 60:02}" for n in range(600)]
            await world.send_at(f"{hour}:{minute + 9:02}:59", "D1", *(position(next(SEQ), one) for one in at))
    await world.settle()
    live, now_ms = world.worker.activations.by_number(1), ms("13:59:59")
    cost = await late_cost(world.connection, live, ms("12:30"), USUAL.most, now_ms)
    facts = await world.connection.fetchval(
        "SELECT count(*) FROM positions WHERE device_no = $1 AND fix_time >= $2",
        await world.device_no("D1"),
        datetime_of(ms("12:30")),
    )
    assert cost > USUAL.most or facts <= cost, (cost, facts)
