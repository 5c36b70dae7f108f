"""An alert stands where its actions left it, or `emtrack audit check` says that it does not."""

from __future__ import annotations

from typing import Any

import pytest

from alerts import Alert, AlertFilter, act, alerts_to_work, misplaced_alerts
from alerts.following import Standing
from alerts.life import LONGEST_SUSPENSION_MS
from tests.command_line import emtrack_aside
from tests.office import Office
from tests.service_world import World, ms
from tests.test_alerting import out_at_seven

CLOSING: dict[str, Any] = {"outcome": "AUTHORISED", "note": "at hospital", "confirmed": True}
LIFE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("acknowledged", {}),
    ("suspended", {"note": "rings back", "until_ms": ms("19:00") + LONGEST_SUSPENSION_MS}),
    ("resumed", {}),
    ("suspended", {"note": "again", "until_ms": ms("19:00") + LONGEST_SUSPENSION_MS}),
    ("escalated", {"note": "to the duty officer"}),
    ("started", {}),
    ("closed", CLOSING),
    ("reopened", {"note": "not at hospital"}),
    ("acknowledged", {}),
    ("closed", CLOSING),
)


async def only(world: World) -> Alert:
    (alert,) = await alerts_to_work(world.connection, AlertFilter(), None, 10)
    return alert


async def misplaced(world: World) -> dict[int, tuple[str, ...]]:
    async with world.connection.transaction():
        return {found.alert_no: found.columns async for found in misplaced_alerts(world.connection)}


async def lived(world: World, *, moves: int = len(LIFE)) -> int:
    """The number of an alert after so many moves, each of which it was asked about."""
    await out_at_seven(world)
    alert_no = (await only(world)).alert_no
    for minute, (action, more) in enumerate(LIFE[:moves], 1):
        async with world.connection.transaction():
            now_ms = ms("19:00") + minute * 60_000
            await act(world.connection, alert_no, who="Ann", action=action, now_ms=now_ms, **more)
        assert await misplaced(world) == {}, action
    return alert_no


async def test_whatever_is_done_to_an_alert_it_stands_where_that_left_it(world: World) -> None:
    await lived(world)


async def test_what_emtrack_does_by_the_clock_is_followed_too(world: World) -> None:
    await lived(world, moves=7)
    await world.wait_until("19:22")  # closed while it lasted: it is open again
    assert (await only(world)).state == "new"
    assert await misplaced(world) == {}


CHANGES = {
    "state": "state = 'new'",
    "owner": "owner = 'Eve'",
    "closed_at": "closed_at = now()",
    "escalated_at": "escalated_at = NULL",
    "suspended_until": "suspended_until = NULL",
    "reopen_at": "reopen_at = now()",
}


@pytest.mark.parametrize("column", CHANGES)
async def test_a_column_that_was_changed_beside_the_actions_is_named(world: World, column: str) -> None:
    alert_no = await lived(world, moves=6)
    await world.connection.execute(f"UPDATE alerts SET {CHANGES[column]} WHERE alert_no = $1", alert_no)  # noqa: S608
    assert await misplaced(world) == {alert_no: (column,)}


async def test_an_alert_that_was_opened_or_closed_in_silence_is_named(world: World) -> None:
    alert_no = await lived(world)
    await world.connection.execute(
        "UPDATE alerts SET closed_at = NULL, reopen_at = NULL WHERE alert_no = $1", alert_no
    )
    assert await misplaced(world) == {alert_no: ("closed_at",)}


def test_every_column_that_people_change_is_looked_at() -> None:
    assert {*Standing._fields, "reopen_at"} == set(CHANGES)


async def test_the_audit_tells_which_alert_was_touched(office: Office) -> None:
    await office.two_are_out()
    alert_no = await office.connection.fetchval("SELECT min(alert_no) FROM alerts")
    assert alert_no is not None
    here = {
        "EMTRACK_DATABASE_URL": str(office.settings.database_url),
        "EMTRACK_DATA_DIR": str(office.settings.data_dir),
    }
    assert "actions left it" not in (await emtrack_aside("audit", "check", **here)).stdout
    await office.connection.execute(
        "UPDATE alerts SET state = 'acknowledged', owner = 'Eve' WHERE alert_no = $1", alert_no
    )
    ran = await emtrack_aside("audit", "check", **here)
    assert ran.returncode == 1
    assert f"alert {alert_no} does not stand where its actions left it: state, owner" in ran.stdout
