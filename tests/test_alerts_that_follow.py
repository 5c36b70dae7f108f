"""Which alert or finding came before another does not go by its number: workers take numbers in blocks of their own, so that a later
one can have a lower one."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from alerts.casework import act
from alerts.home_units import HOME_UNIT_SILENT
from alerts.incidents import INCIDENT
from alerts.ledger import ATV
from alerts.queue import AlertFilter, open_alerts
from emtrack.db.connect import Connection
from emtrack.db.ids import IdBlocks
from emtrack.record.findings import versions_of_alert
from tests import test_atv, test_incidents, test_silent_home_units
from tests.service_world import HOME, World, deployed, event, format_instant, ms


class OfAnotherWorker:
    """Numbers out of another block each time, and of a lower one."""

    def __init__(self) -> None:
        self._first = count(1_000_000, -1_000)

    async def take(self, _: Connection, how_many: int) -> list[int]:
        first = next(self._first)
        return list(range(first, first + how_many))


class FallingBlocks(IdBlocks):
    """The same of what is held before it is taken: each number is lower than the one before."""

    _next = 1_000_000

    async def hold(self, _: Connection, count: int) -> None:
        while self.held < count:
            self._next -= 1
            self._left.append(self._next)


@pytest.fixture(autouse=True)
def numbers_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of alerts."""

    def blocks(sequence: str) -> Any:
        return OfAnotherWorker() if sequence == "alert_no_blocks" else IdBlocks(sequence)

    monkeypatch.setattr("emtrack.service.worker.IdBlocks", blocks)


async def follows(world: World, kind: str, before: int | None) -> int:
    """The only one that is open is linked to that before; it is closed, and its number is told."""
    (alert,) = await open_alerts(world.connection, AlertFilter(kind=kind), None, 10)
    assert alert.previous_alert_no == before
    async with world.connection.transaction():
        await act(
            world.connection,
            alert.alert_no,
            who="Ann",
            action="closed",
            outcome="EQUIPMENT",
            note="called",
            confirmed=True,
            now_ms=world.clock.now_ms(),
        )
    return alert.alert_no


async def test_the_third_silence_of_a_home_unit_follows_the_second(database_url: str) -> None:
    async with deployed(database_url, test_silent_home_units.forms()) as world:
        before = None
        for seq, silent_at in enumerate(("13:10", "15:10", "17:10")):
            await world.wait_until(silent_at)
            called_at = format_instant(ms(silent_at) + 60_000)
            await world.send_at(called_at, "H1", event(seq, called_at, "HEARTBEAT"))
            before = await follows(world, HOME_UNIT_SILENT, before)


async def test_the_third_incident_of_a_network_follows_the_second(database_url: str) -> None:
    everybody = range(1, test_incidents.PEOPLE + 5)
    async with deployed(database_url, test_incidents.orders_of_a_network()) as world:
        before = None
        for begin_ms in (ms("12:00"), ms("13:00"), ms("14:00")):
            await test_incidents.hear(world, format_instant(begin_ms), everybody)
            await test_incidents.hear(world, format_instant(begin_ms + 9 * 60_000), everybody[21:])
            await world.wait_until(format_instant(begin_ms + 10 * 60_000 + 1_000))
            before = await follows(world, INCIDENT, before)
            for minute in range(12, 60, 8):
                await test_incidents.hear(world, format_instant(begin_ms + minute * 60_000), everybody)


async def test_the_third_time_over_the_threshold_follows_the_second(database_url: str) -> None:
    async with deployed(database_url, test_atv.with_threshold(), at="18:00") as world:
        await test_atv.seen(world, "18:50", HOME)
        before = None
        for begin, end in (("19:10", "21:30"), ("22:10", "22:20"), ("22:40", "22:50")):
            await test_atv.out_from_to(world, begin, end)
            before = await follows(world, ATV, before)


async def test_of_the_findings_of_an_alert_the_one_that_was_added_last_comes_first(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with deployed(database_url, test_atv.with_threshold(), at="18:00") as world:
        monkeypatch.setattr(world.worker, "_finding_nos", FallingBlocks("finding_no_blocks"))
        await test_atv.seen(world, "18:50", HOME)
        for begin, end in (("19:10", "19:30"), ("20:10", "20:30"), ("21:10", "21:30")):
            await test_atv.out_from_to(world, begin, end)
        (alert,) = await open_alerts(world.connection, AlertFilter(kind="CURFEW"), None, 10)
        begins = [
            versions[0].finding.begin_ms for versions in await versions_of_alert(world.connection, alert.alert_no, 10)
        ]
        assert len(begins) == 3
        assert begins == sorted(begins, reverse=True)
