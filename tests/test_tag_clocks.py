"""A tag whose clock is wrong is noticed by its uploads; one that was only out of coverage is not. No finding changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alerts import CLOCK, AlertFilter, Severity, Skew, Upload, is_right_again, open_alerts, skew_of
from emtrack.web.wording import clock_words
from tests.service_world import HOME, World, activation, ms, position

MINUTE_MS = 60_000
TEN_MIN_MS = 10 * MINUTE_MS


def uploads(*pairs: tuple[float, float]) -> list[Upload]:
    """Minute of receipt, age of the newest fact in minutes."""
    return [Upload(round(at * MINUTE_MS), round(age * MINUTE_MS)) for at, age in pairs]


@pytest.mark.parametrize(
    ("pairs", "told"),
    [
        ([(0, 61), (10, 65), (20, 70)], Skew(61 * MINUTE_MS, 70 * MINUTE_MS)),
        ([(0, -30), (10, -25), (20, -31)], Skew(-31 * MINUTE_MS, -25 * MINUTE_MS)),
        ([(0, 61), (10, 65)], None),  # too few
        ([(0, 61), (1, 61), (2, 61)], None),  # too soon
        ([(0, 300), (10, 200), (20, 100)], None),  # a buffer that empties, slowly
        ([(0, 300), (0.1, 150), (0.2, 1), (10, 1), (20, 2)], None),  # back in coverage
        ([(0, 1), (10, 9), (20, 10), (30, 1)], None),  # uploads every ten minutes
        ([(0, 19), (10, 12), (20, 15)], None),  # a slow network
    ],
)  # fmt: skip
def test_only_steadily_old_uploads_speak_of_the_clock(pairs: list[tuple[float, float]], told: Skew | None) -> None:
    assert skew_of(uploads(*pairs), TEN_MIN_MS) == told


def test_a_clock_is_right_again_after_an_hour_of_right_uploads() -> None:
    assert not is_right_again(uploads((0, 1), (20, 1)), TEN_MIN_MS)
    assert not is_right_again(uploads((0, 65), (20, 1), (50, 1)), TEN_MIN_MS)
    assert is_right_again(uploads((0, 1), (20, 5), (50, 1)), TEN_MIN_MS)


def test_a_person_is_told_by_how_much() -> None:
    assert clock_words(Skew(60 * MINUTE_MS, 70 * MINUTE_MS)) == (
        "This tag's clock is 60 to 70 min behind; its times cannot be trusted."
    )
    assert clock_words(Skew(-5 * MINUTE_MS, -5 * MINUTE_MS)) == (
        "This tag's clock is 5 min ahead; its times cannot be trusted."
    )


def clock_times(first_min: int, count: int, every_min: int) -> Iterator[str]:
    for minute in range(first_min, first_min + count * every_min, every_min):
        yield f"{12 + minute // 60}:{minute % 60:02}"


async def told(world: World) -> list[tuple[Severity, bool]]:
    found = await open_alerts(world.connection, AlertFilter(kind=CLOCK), None, 10)
    return [(alert.severity, alert.clock is not None and alert.clock.lasts) for alert in found]


async def send(world: World, at: str, behind_min: int, seq: int) -> None:
    own_ms = ms(at) - behind_min * MINUTE_MS
    fix = position(seq, "12:00", HOME) | {
        "fix_time": f"2026-03-02T{own_ms // 3_600_000 % 24:02}:{own_ms // 60_000 % 60:02}:00Z"
    }
    await world.send_at(at, "D1", fix)


async def test_a_tag_an_hour_behind_is_one_alert_until_it_is_right_for_an_hour(world: World) -> None:
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    for seq, at in enumerate(clock_times(0, 4, 10), 1):
        await send(world, at, 62, seq)
    assert await told(world) == [(Severity.WARNING, True)]
    await world.start()
    for seq, at in enumerate(clock_times(40, 9, 10), 100):
        await send(world, at, 0, seq)
    assert await told(world) == [(Severity.WARNING, False)]
    assert [line for line in await world.findings() if "NO_COMM" not in line] == []


async def test_a_tag_that_comes_back_into_coverage_is_not_told_of(world: World) -> None:
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    for seq, behind_min in enumerate((180, 120, 60, 0), 1):
        await send(world, "15:00", behind_min, seq)
    for seq, at in enumerate(clock_times(190, 6, 10), 100):
        await send(world, at, 1, seq)
    assert await told(world) == []
