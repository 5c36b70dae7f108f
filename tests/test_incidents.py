"""Platform incidents (RULES.md section 8): one alert for a network that falls silent, and nobody is lost in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from alerts.casework import act
from alerts.incidents import WINDOW_MS, NetworkSilence, burst, going_on
from alerts.queue import AlertFilter, alerts_under, one_alert, open_alerts, open_counts
from tests.service_world import World, activation, deployed, iso, ms, position

MINUTE_MS = 60_000


def silences(*minutes: float) -> list[NetworkSilence]:
    return [
        NetworkSilence(round(minute * MINUTE_MS), number, number) for number, minute in enumerate(sorted(minutes))
    ]


def spread(count: int, minutes: float) -> list[float]:
    """So many minutes, evenly over [0, minutes]."""
    return [minutes * n / (count - 1) for n in range(count)]


@pytest.mark.parametrize(
    ("count", "minutes", "activations", "is_one"),
    [
        (20, 10, 100, True),
        (19, 10, 50, False),
        (20, 10, 101, False),
        (21, 10, 101, True),
        (20, 10.01, 100, False),
        (300, 10, 1500, True),
        (299, 10, 1500, False),
    ],
)
def test_at_least_20_and_at_least_20_percent_within_10_minutes(
    count: int, minutes: float, activations: int, is_one: bool
) -> None:
    assert (burst(silences(*spread(count, minutes)), activations) is not None) == is_one


def test_an_activation_counts_once_however_often_it_falls_silent() -> None:
    again = [NetworkSilence(n * 1000, n, n % 19) for n in range(40)]
    assert burst(again, 50) is None


def test_an_incident_takes_in_what_goes_on_without_a_gap() -> None:
    found = burst(silences(-30, *spread(20, 9), 18, 27, 38), 60)
    assert found is not None
    assert found.known_ms == 9 * MINUTE_MS
    assert [s.begin_ms / MINUTE_MS for s in found.silences][-2:] == [18, 27]
    assert len(found.silences) == 22
    assert going_on(silences(0, 10, 20.1), 0)[-1].begin_ms == WINDOW_MS


# --------------------------------------------------------------------------------------------- in the service

PEOPLE = 25


def orders_of_a_network() -> dict[str, Any]:
    fields: dict[str, Any] = {"report_interval_s": 60, "network": "carrier-a"}
    others = {"report_interval_s": 60, "network": "carrier-b"}
    return {
        "activations": [
            *(activation(n, **fields) for n in range(1, PEOPLE + 1)),
            *(activation(n, **others) for n in range(PEOPLE + 1, PEOPLE + 5)),
        ]
    }


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """25 people on one network and 4 on another, all of whom were heard at 12:00."""
    async with deployed(database_url, orders_of_a_network()) as world:
        await hear(world, "12:00", range(1, PEOPLE + 5))
        yield world


async def hear(world: World, at: str, numbers: Any) -> None:
    world.clock.at_ms = ms(at)
    for n in numbers:
        await world.submit(f"D{n}", position(round(ms(at) / 1000) % 1_000_000, at))
    await world.turn()


async def queue(world: World) -> list[tuple[str, str | None, int]]:
    return [(a.kind, a.wearer_id, a.people) for a in await open_alerts(world.connection, AlertFilter(), None, 100)]


async def test_below_20_everybody_has_an_alert_of_their_own(world: World) -> None:
    await hear(world, "12:09", range(20, PEOPLE + 5))
    await world.wait_until("12:10:01")
    assert len(await queue(world)) == 19
    assert {kind for kind, *_ in await queue(world)} == {"NO_COMMUNICATION"}


async def all_but(world: World, heard: range) -> None:
    await hear(world, "12:09", heard)
    await world.wait_until("12:10:01")


async def test_a_network_that_falls_silent_is_one_alert_that_lists_the_people(world: World) -> None:
    await all_but(world, range(22, PEOPLE + 5))
    assert await queue(world) == [("PLATFORM_INCIDENT", None, 21)]
    (incident,) = await open_alerts(world.connection, AlertFilter(), None, 10)
    assert (incident.severity.name, incident.network, incident.lasts) == ("CRITICAL", "carrier-a", True)
    members = await alerts_under(world.connection, incident.alert_no, 100)
    assert {m.wearer_id for m in members} == {f"W{n}" for n in range(1, 22)}
    assert len([line for line in await world.lines() if line["kind"] == "NO_COMMUNICATION"]) == 21
    assert sum((await open_counts(world.connection)).values()) == 1


async def test_those_who_follow_join_the_incident_and_another_network_does_not(world: World) -> None:
    await all_but(world, range(22, PEOPLE + 5))
    await hear(world, "12:15", range(24, PEOPLE + 2))
    await world.wait_until("12:19:01")
    assert await queue(world) == [
        ("PLATFORM_INCIDENT", None, 23),
        ("NO_COMMUNICATION", f"W{PEOPLE + 2}", 0),
        ("NO_COMMUNICATION", f"W{PEOPLE + 3}", 0),
        ("NO_COMMUNICATION", f"W{PEOPLE + 4}", 0),
    ]


async def test_whoever_was_silent_long_before_is_a_case_of_their_own(world: World) -> None:
    await hear(world, "12:05", range(2, PEOPLE + 5))
    await world.wait_until("12:10:01")
    await hear(world, "12:14", range(2, PEOPLE + 5))
    await hear(world, "12:23", range(22, PEOPLE + 5))
    await world.wait_until("12:24:01")
    assert await queue(world) == [("PLATFORM_INCIDENT", None, 20), ("NO_COMMUNICATION", "W1", 0)]


async def test_when_it_is_closed_those_who_are_still_silent_come_back_and_the_others_are_closed(world: World) -> None:
    await all_but(world, range(22, PEOPLE + 5))
    (incident,) = await open_alerts(world.connection, AlertFilter(), None, 10)
    await hear(world, "12:12", range(2, 22))
    async with world.connection.transaction():
        await act(
            world.connection,
            incident.alert_no,
            who="Ann",
            action="closed",
            outcome="EQUIPMENT",
            note="called the carrier",
            confirmed=True,
            now_ms=ms("12:13"),
        )
    assert await queue(world) == [("NO_COMMUNICATION", "W1", 0)]
    members = await alerts_under(world.connection, incident.alert_no, 100)
    over = [m for m in members if m.wearer_id != "W1"]
    assert {(m.closed.done_by, m.closed.outcome) for m in over if m.closed} == {("Ann", "EQUIPMENT")}
    assert all(m.closed for m in over)
    closed = await one_alert(world.connection, incident.alert_no)
    assert closed is not None
    assert not (closed.lasts and closed.closed is None)


async def test_a_restart_in_the_middle_finds_the_same_incident(world: World) -> None:
    await all_but(world, range(22, PEOPLE + 5))
    await world.start()
    await hear(world, "12:15", range(24, PEOPLE + 5))
    await world.wait_until("12:19:01")
    assert await queue(world) == [("PLATFORM_INCIDENT", None, 23)]


async def test_a_silence_of_an_incident_that_is_withdrawn_is_forgotten(world: World) -> None:
    await all_but(world, range(22, PEOPLE + 5))
    before = await world.count("network_silences")
    await world.enter({"outages": [{"from": iso("12:01"), "to": iso("12:09")}]})
    await world.settle()
    assert (before, await world.count("network_silences")) == (21, 0)
    (incident,) = await open_alerts(world.connection, AlertFilter(), None, 10)
    assert not incident.lasts


async def test_an_incident_that_was_closed_is_not_raised_again_when_its_tags_speak(world: World) -> None:
    await all_but(world, range(22, PEOPLE + 5))
    (incident,) = await open_alerts(world.connection, AlertFilter(), None, 10)
    async with world.connection.transaction():
        await act(
            world.connection,
            incident.alert_no,
            who="Ann",
            action="closed",
            outcome="EQUIPMENT",
            note="called the carrier",
            confirmed=True,
            now_ms=ms("12:12"),
        )
    await hear(world, "12:13", range(5, 10))
    await hear(world, "12:14", range(22, PEOPLE + 5))
    assert {kind for kind, *_ in await queue(world)} == {"NO_COMMUNICATION"}


async def test_a_later_silence_of_one_of_its_people_stands_in_the_queue(world: World) -> None:
    await all_but(world, range(22, PEOPLE + 5))
    for at in ("12:12", "12:20", "12:28", "12:36"):
        await hear(world, at, range(1, PEOPLE + 5))
    for at in ("12:44", "12:52"):
        await hear(world, at, range(2, PEOPLE + 5))
    await world.wait_until("12:53")
    assert await queue(world) == [("PLATFORM_INCIDENT", None, 21), ("NO_COMMUNICATION", "W1", 0)]
