"""The life of an alert: its table, what takes a note, who was faster, and what is looked at again."""

from __future__ import annotations

from typing import Any

import pytest

from alerts import (
    MOVES,
    OUTCOMES,
    Alert,
    AlertFilter,
    AlertState,
    Move,
    NoAlert,
    Overtaken,
    StillLasts,
    UnfitAction,
    act,
    alerts_to_work,
    closed_alerts,
    look_at_alerts_due,
    moves_from,
    one_alert,
)
from alerts.life import LONGEST_SUSPENSION_MS, REOPEN_AFTER_MS, state_after
from tests.service_world import World, event, ms, position
from tests.test_alerting import NORTH, out_at_seven

CLOSING = {"action": "closed", "outcome": "AUTHORISED", "note": "at hospital"}


async def do(world: World, alert_no: int, at: str, action: str, who: str = "Ann", **more: Any) -> None:
    async with world.connection.transaction():
        await act(world.connection, alert_no, who=who, action=action, now_ms=ms(at), **more)


async def close(world: World, alert: Alert, at: str, **more: Any) -> None:
    await do(world, alert.alert_no, at, **({**CLOSING, "confirmed": True} | more))


async def only(world: World) -> Alert:
    (alert,) = await alerts_to_work(world.connection, AlertFilter(), None, 10)
    return alert


async def done(world: World, alert: Alert) -> list[tuple[str, str]]:
    found = await one_alert(world.connection, alert.alert_no)
    assert found is not None
    return [(action.action, action.done_by) for action in found.actions]


def test_every_move_of_people_is_in_the_table_and_closing_takes_outcome_and_note() -> None:
    assert set(Move) - set(MOVES) == {Move.UNACKNOWLEDGE}
    assert moves_from(AlertState.CLOSED) == [Move.NOTE, Move.REOPEN]
    assert {move for move, rule in MOVES.items() if rule.needs_note} == {
        Move.NOTE, Move.CALL, Move.TELL_AUTHORITY, Move.MESSAGE, Move.ESCALATE, Move.SUSPEND, Move.CLOSE, Move.REOPEN,
    }  # fmt: skip
    assert len(OUTCOMES) == 5


def test_where_an_alert_stood_follows_from_its_moves() -> None:
    moves = [("acknowledged", "Ann"), ("started", "Ann"), ("taken over", "Bob"), ("noted", "Ann")]
    assert state_after(moves) == (AlertState.IN_PROGRESS, "Bob")
    assert state_after([*moves, ("unacknowledged", "emtrack")]) == (AlertState.NEW, None)
    assert state_after([*moves, ("closed", "Bob"), ("reopened", "emtrack")]) == (AlertState.NEW, None)


async def test_it_has_an_owner_who_can_change_and_each_move_is_appended(world: World) -> None:
    await out_at_seven(world)
    alert = await only(world)
    assert (alert.state, alert.owner) == (AlertState.NEW, None)
    await do(world, alert.alert_no, "19:01", "acknowledged")
    await do(world, alert.alert_no, "19:02", "taken over", "Bob")
    await do(world, alert.alert_no, "19:03", "started", "Bob")
    alert = await only(world)
    assert (alert.state, alert.owner) == (AlertState.IN_PROGRESS, "Bob")
    assert await done(world, alert) == [("acknowledged", "Ann"), ("taken over", "Bob"), ("started", "Bob")]


async def test_who_is_second_is_told_who_did_what_and_when(world: World) -> None:
    await out_at_seven(world)
    alert = await only(world)
    await do(world, alert.alert_no, "19:01", "acknowledged")
    with pytest.raises(Overtaken) as told:
        await do(world, alert.alert_no, "19:02", "acknowledged", "Bob")
    assert (told.value.done_by, told.value.done_ms, told.value.action) == ("Ann", ms("19:01"), "acknowledged")
    await close(world, alert, "19:03")
    with pytest.raises(Overtaken) as told:
        await close(world, alert, "19:04", who="Bob")
    assert (told.value.done_by, told.value.action, told.value.state) == ("Ann", "closed", AlertState.CLOSED)
    assert len(await done(world, alert)) == 2, "nothing was done"


@pytest.mark.parametrize(
    "wish",
    [
        {"action": "closed"}, {"action": "closed", "outcome": "VIOLATION"}, {"action": "closed", "note": "x"},
        {"action": "noted"}, {"action": "escalated"}, {"action": "suspended", "note": "x"}, {"action": "vanished"},
        {"action": "suspended", "note": "x", "until_ms": ms("19:01") + LONGEST_SUSPENSION_MS + 1},
        {"action": "suspended", "note": "x", "until_ms": ms("19:00")}, {"action": "resumed"}, {"action": "reopened", "note": "x"},
        {"action": "acknowledged", "outcome": "VIOLATION"}, {"action": "noted", "note": "x", "until_ms": ms("20:00")},
        {"action": "taken over"}, {"action": "noted", "note": "x" * 5_000},
    ],
    ids=str,
)  # fmt: skip
async def test_what_does_not_fit_is_not_done(world: World, wish: dict[str, Any]) -> None:
    await out_at_seven(world)
    alert = await only(world)
    with pytest.raises(UnfitAction):
        await do(world, alert.alert_no, "19:01", **wish)
    assert await done(world, alert) == []
    with pytest.raises(NoAlert):
        await do(world, 999_999, "19:01", "acknowledged")


async def test_closing_what_goes_on_takes_a_confirmation_and_it_is_opened_again_while_it_does(world: World) -> None:
    await out_at_seven(world)
    alert = await only(world)
    with pytest.raises(StillLasts):
        await do(world, alert.alert_no, "19:05", **CLOSING)
    await close(world, alert, "19:05")
    await world.wait_until("19:19:59")
    assert await alerts_to_work(world.connection, AlertFilter(), None, 10) == []
    await world.wait_until("19:20")
    again = await only(world)
    assert (again.alert_no, again.state, again.owner, again.closed_ms) == (alert.alert_no, AlertState.NEW, None, None)
    assert (await done(world, alert))[-1] == ("reopened", "emtrack")
    assert ms("19:20") - ms("19:05") == REOPEN_AFTER_MS[alert.severity]


async def test_what_has_ended_meanwhile_stays_closed(world: World) -> None:
    await out_at_seven(world)
    await close(world, await only(world), "19:05")
    await world.send_at("19:10", "D1", position(3, "19:07"), position(4, "19:09"))
    await world.wait_until("19:30")
    assert await alerts_to_work(world.connection, AlertFilter(), None, 10) == []
    assert await world.connection.fetchval("SELECT count(*) FROM alerts WHERE reopen_at IS NOT NULL") == 0


async def test_another_finding_makes_a_new_alert_with_a_link_and_the_old_one_is_not_opened_beside_it(
    world: World,
) -> None:
    await out_at_seven(world)
    first = await only(world)
    await world.send_at("19:05", "D1", position(3, "19:02"), position(4, "19:04"))
    await close(world, first, "19:06", confirmed=False)
    await world.send_at("19:15", "D1", position(5, "19:12", NORTH), position(6, "19:14", NORTH))
    second = await only(world)
    assert second.previous_alert_no == first.alert_no
    await close(world, second, "19:16")
    await world.send_at("19:20", "D1", position(7, "19:17"), position(8, "19:19"))
    await world.send_at("19:29", "D1", position(9, "19:26", NORTH), position(10, "19:28", NORTH))
    third = await only(world)
    await world.wait_until("20:00")
    assert (await only(world)).alert_no == third.alert_no
    with pytest.raises(UnfitAction, match=str(third.alert_no)):
        await do(world, second.alert_no, "20:01", "reopened", note="wrong one")


async def test_a_person_opens_a_closed_alert_again(world: World) -> None:
    await out_at_seven(world)
    await world.send_at("19:05", "D1", position(3, "19:02"), position(4, "19:04"))
    alert = await only(world)
    await close(world, alert, "19:06", confirmed=False)
    (closed,) = await closed_alerts(world.connection, AlertFilter(), None, 10)
    assert closed.closed is not None
    await do(world, alert.alert_no, "19:08", "reopened", "Bob", note="the mother says otherwise")
    again = await only(world)
    assert (again.closed, again.state) == (None, AlertState.NEW)


async def test_a_suspension_and_an_escalation_stand_on_the_row_and_hide_nothing(world: World) -> None:
    await out_at_seven(world)
    alert = await only(world)
    await do(world, alert.alert_no, "19:01", "suspended", note="ambulance is there", until_ms=ms("19:31"))
    await do(world, alert.alert_no, "19:02", "escalated", note="needs a decision")
    row = await only(world)
    assert (row.suspended_until_ms, row.escalated_ms) == (ms("19:31"), ms("19:02"))
    await do(world, alert.alert_no, "19:03", "resumed")
    assert (await only(world)).suspended_until_ms is None


async def test_what_nobody_acknowledged_comes_first_for_those_who_work_and_keeps_its_order_for_programs(
    world: World,
) -> None:
    await world.send_at("18:40", "D1", event(1, "18:40", "STRAP_TAMPER"))
    strap = await only(world)
    await do(world, strap.alert_no, "18:41", "acknowledged")
    await world.send_at("18:55", "D1", position(2, "18:50", NORTH), position(3, "18:54", NORTH))
    await world.wait_until("19:00")
    first, second = await alerts_to_work(world.connection, AlertFilter(), None, 10)
    assert (first.kind, second.kind) == ("CURFEW", "TAMPER")
    (page,) = await alerts_to_work(world.connection, AlertFilter(), first.place, 10)
    assert page.kind == "TAMPER", "a page goes on where the one before ended"
    async with world.connection.transaction():
        await look_at_alerts_due(world.connection, ms("19:00"))

    async def overdue(at: str) -> list[str]:
        found = await alerts_to_work(world.connection, AlertFilter(overdue_at_ms=ms(at)), None, 10)
        return [alert.kind for alert in found]

    assert await overdue("19:11") == ["CURFEW", "TAMPER"]
    assert await overdue("19:09") == ["TAMPER"], "nobody was called about the strap"
    assert await overdue("18:44") == []
    mine = await alerts_to_work(world.connection, AlertFilter(owner="Ann"), None, 10)
    assert [alert.kind for alert in mine] == ["TAMPER"]


async def test_repeats_count_what_is_the_same_and_not_a_low_battery_and_then_a_critical_one(world: World) -> None:
    await world.send_at("12:00", "D1", event(1, "12:00", "BATTERY_LOW"))
    await world.send_at("13:00", "D1", event(2, "13:00", "BATTERY_CRITICAL"))
    alert = await only(world)
    assert (alert.occurrences, alert.repeats) == (2, 1)
