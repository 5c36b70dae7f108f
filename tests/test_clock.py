"""The one clock: emulated or real, kept in the database, never mixed."""

from __future__ import annotations

import asyncio

import pytest

from emtrack.clock import Clock, ClockError, clock_of, machine_ms
from emtrack.db.connect import connect
from emtrack.service.app import refuse_foreign_listeners, running_service
from emtrack.settings import ClockSetting, SettingsError
from tests.service_world import ms, settings_for

FROM_NOON = ClockSetting(ms("12:00"), 60.0)


async def test_an_emulated_clock_goes_on_after_a_restart(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await connect(database_url)
    try:
        monkeypatch.setattr("emtrack.clock.machine_ms", lambda: 1_000_000_000_000)
        first = await clock_of(connection, FROM_NOON, adopt=False)
        assert (first.now_ms(), first.rate, first.emulated) == (ms("12:00"), 60.0, True)
        monkeypatch.setattr("emtrack.clock.machine_ms", lambda: 1_000_000_060_000)
        assert first.now_ms() == ms("13:00")
        again = await clock_of(connection, FROM_NOON, adopt=False)
        assert again.now_ms() == ms("13:00"), "not noon again"
    finally:
        await connection.close()


async def test_another_clock_than_the_databases_is_refused_and_says_what_to_set(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        await clock_of(connection, FROM_NOON, adopt=False)
        for other in (None, ClockSetting(ms("12:01"), 60.0), ClockSetting(ms("12:00"), 1.0)):
            with pytest.raises(ClockError, match=r"2026-03-02T12:00:00Z×60") as refused:
                await clock_of(connection, other, adopt=False)
            assert "Set EMTRACK_CLOCK" in str(refused.value)
        adopted = await clock_of(connection, None, adopt=True)
        assert adopted.emulated, "a command without a wish of its own takes the clock that is there"
        with pytest.raises(ClockError):
            await clock_of(connection, ClockSetting(ms("12:00"), 2.0), adopt=True)
    finally:
        await connection.close()


async def test_a_database_of_real_time_takes_no_emulated_clock(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        clock = await clock_of(connection, None, adopt=False)
        assert not clock.emulated
        assert abs(clock.now_ms() - machine_ms()) < 1_000
        with pytest.raises(ClockError, match="real time"):
            await clock_of(connection, FROM_NOON, adopt=False)
    finally:
        await connection.close()


async def test_the_service_refuses_another_clock_before_it_listens(database_url: str) -> None:
    connection = await connect(database_url)
    await clock_of(connection, FROM_NOON, adopt=False)
    await connection.close()
    with pytest.raises(ClockError):
        async with running_service(settings_for(database_url), asyncio.Event()):
            pytest.fail("it must not run")


@pytest.mark.parametrize("listen", ["0.0.0.0:8040", "[::]:8040", "192.0.2.1:8040", "example.org:8040"])
def test_an_emulated_clock_listens_on_this_machine_only(listen: str) -> None:
    with pytest.raises(SettingsError, match="EMTRACK_LISTEN"):
        refuse_foreign_listeners(settings_for("", listen=listen), Clock(0, 0, 1.0, emulated=True))
    refuse_foreign_listeners(settings_for("", listen=listen), Clock())


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:8040", "localhost:8040", "127.9.9.9:1"])
def test_loopback_has_more_than_one_name(listen: str) -> None:
    refuse_foreign_listeners(settings_for("", listen=listen), Clock(0, 0, 1.0, emulated=True))
