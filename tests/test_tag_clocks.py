"""A tag whose clock is wrong is noticed by its uploads; one that was only out of coverage is not. No finding changes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from alerts import CLOCK, AlertFilter, Severity, Skew, Upload, is_right_again, open_alerts, skew_of
from emtrack.web.wording import clock_words
from geofence import format_instant
from tests.kept import kept_reports
from tests.service_world import HOME, World, activation, deployed, event, ms, orders, position

MINUTE_MS = 60_000
TEN_MIN_MS = 10 * MINUTE_MS


def uploads(*pairs: tuple[float, float]) -> list[Upload]:
    """Minute of receipt, age of the newest fact in minutes."""
    return [Upload(round(at * MINUTE_MS), round(age * MINUTE_MS)) for at, age in pairs]


def exact(*pairs: tuple[float, float]) -> list[Upload]:
    """Minute of receipt, and how many minutes before it the request says that it was sent."""
    return [upload._replace(is_exact=True) for upload in uploads(*pairs)]


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


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (exact((0, 11), (10, 12), (20, 11)), Skew(11 * MINUTE_MS, 12 * MINUTE_MS)),  # no report interval between
        (exact((0, 300), (10, 200), (20, 100)), Skew(100 * MINUTE_MS, 300 * MINUTE_MS)),  # nothing that empties
        (exact((0, -3), (10, -3), (20, -3)), Skew(-3 * MINUTE_MS, -3 * MINUTE_MS)),
        (exact((0, 9), (10, 9), (20, 9)), None),  # a slow way
        (exact((0, -1), (10, 1), (20, 0)), None),
        (exact((0, 61), (10, 0), (20, 61)), None),  # two that waited on the way
        (uploads((0, 61), (10, 61), (20, 61)) + exact((30, 0)), None),  # old facts, and a clock that is right
        (exact((0, 0)) + uploads((10, 61), (20, 61), (30, 61)), None),
        (uploads((0, 0)) + exact((10, 61), (20, 61), (30, 61)), Skew(61 * MINUTE_MS, 61 * MINUTE_MS)),
        (exact((0, 61), (10, 61)) + uploads((20, 61)), None),  # too few that know
    ],
)
def test_what_a_request_says_of_its_own_time_outranks_the_age_of_its_facts(
    seen: list[Upload], told: Skew | None
) -> None:
    assert skew_of(seen, TEN_MIN_MS) == told


def test_a_clock_is_right_again_where_requests_say_so_whatever_the_age_of_their_facts() -> None:
    assert is_right_again(exact((0, 0), (20, 1)) + uploads((50, 61)), TEN_MIN_MS)
    assert not is_right_again(exact((0, 61), (20, 1), (50, 1)), TEN_MIN_MS)
    assert not is_right_again(exact((0, 0), (20, 1)), TEN_MIN_MS)


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
    assert clock_words(Skew(20_000 * 1440 * MINUTE_MS, (20_000 * 1440 + 90) * MINUTE_MS)) == (
        "This tag's clock is 20000 days to 20000 days 1 h behind; its times cannot be trusted."
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


# ---------------------------------------------------------------------------------------------- sent_at


def shifted(at: str, minutes: int) -> str:
    return format_instant(ms(at) + minutes * MINUTE_MS)


async def post(world: World, at: str, seq: int, *, fact_min: int, sent_min: int | None) -> None:
    """A request with one fix. Minutes behind the time of receipt: of the fix, and of `sent_at` (None: there is none)."""
    fix = position(seq, "12:00", HOME) | {"fix_time": shifted(at, -fact_min)}
    fields = {} if sent_min is None else {"sent_at": shifted(at, -sent_min)}
    await world.send_at(at, "D1", fix, **fields)


@pytest.mark.parametrize(
    ("fact_min", "sent_min"),
    [(62, 62), (0, 62), (0, 12), (-3, -3), (0, -3)],
    ids=["behind", "behind, its fixes right", "behind by less than a report interval", "ahead", "ahead, its fixes right"],
)  # fmt: skip
async def test_a_tag_that_says_a_wrong_time_is_told_of_whatever_its_facts_say(
    world: World, fact_min: int, sent_min: int
) -> None:
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    for seq, at in enumerate(clock_times(0, 4, 10), 1):
        await post(world, at, seq, fact_min=fact_min, sent_min=sent_min)
    assert await told(world) == [(Severity.WARNING, True)]
    for seq, at in enumerate(clock_times(40, 9, 10), 100):
        await post(world, at, seq, fact_min=fact_min, sent_min=0)
    assert await told(world) == [(Severity.WARNING, False)]


async def test_a_tag_that_says_the_right_time_and_old_facts_was_out_of_coverage(world: World) -> None:
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    for seq, at in enumerate(clock_times(180, 6, 10), 1):
        await post(world, at, seq, fact_min=62, sent_min=0)
    assert await told(world) == []


async def test_one_right_time_among_old_facts_is_enough(world: World) -> None:
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    await post(world, "15:00", 1, fact_min=62, sent_min=0)
    for seq, at in enumerate(clock_times(190, 5, 10), 2):
        await post(world, at, seq, fact_min=62, sent_min=None)
    assert await told(world) == []


async def test_a_clock_so_wrong_that_every_report_is_refused_is_told_of(world: World) -> None:
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    for seq, at in enumerate(clock_times(0, 4, 10), 1):
        long_ago = {"fix_time": "1970-01-01T00:00:05Z"}
        await world.send_at(at, "D1", position(seq, "12:00", HOME) | long_ago, sent_at="1970-01-01T00:00:06Z")
    assert await world.count("positions") == 0
    assert await told(world) == [(Severity.WARNING, True)]


async def test_a_time_that_waited_in_a_turn_is_overtaken_by_a_newer_one(world: World) -> None:
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    for at in clock_times(0, 4, 10):
        world.clock.at_ms = ms(at)
        late = await world.submit("D1", sent_at=shifted(at, -62))
        await world.send("D1", sent_at=shifted(at, 0))
        assert (await late).ack == []
    assert await told(world) == []


async def test_the_time_at_which_a_home_unit_sent_says_nothing_of_the_tag(world: World) -> None:
    form = orders(
        1, home_units=[{"hmu_id": "H1", "wearer_id": "W1", "requirement_id": "C1", "from": "2026-03-01T00:00:00Z"}]
    )
    await world.enter(form)
    for seq, at in enumerate(clock_times(0, 4, 10), 1):
        await world.send_at(at, "H1", event(seq, at, "RF_IN", tag="D1"), sent_at=shifted(at, -62))
    assert await world.count("device_events") == 4
    assert await told(world) == []


# ---------------------------------------------------------------------------------------------- a restart in the middle


MOODS = [(0, 0), (62, 62), (62, 0), (0, -4)]
"""Minutes behind of the newest fact and of the clock: right, wrong, out of coverage, ahead though its fixes are right."""


async def histories(world: World, seed: int, restart_after: set[int]) -> list[list[tuple[Severity, bool]]]:
    """What is told after each of fifty uploads of some six hours. A mood lasts for a while; with an odd seed most requests say when
    they were sent."""
    rng = random.Random(seed)
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    found, minute, mood = [], 0, MOODS[1]
    for seq in range(1, UPLOADS + 1):
        minute += rng.choice([1, 6, 9, 12])
        mood = rng.choice(MOODS) if rng.random() < 0.06 else mood
        says = seed % 2 == 1 and rng.random() < 0.8
        await post(world, next(clock_times(minute, 1, 1)), seq, fact_min=mood[0], sent_min=mood[1] if says else None)
        found.append(await told(world))
        if seq in restart_after:
            await world.start()
    return found


UPLOADS = 50


@pytest.mark.parametrize("seed", [1, 3, 6, 11, 12, 14])
async def test_a_restart_in_the_middle_neither_raises_an_alert_nor_ends_one(
    database_url: str, second_database_url: str, seed: int
) -> None:
    async with deployed(database_url) as world:
        in_one_go = await histories(world, seed, set())
    states = [tuple(lasts for _, lasts in alerts) for alerts in in_one_go]
    assert {(), (True,), (False,)} <= set(states), "it is raised, and ends"
    async with deployed(second_database_url) as world:
        restarts = set(random.Random(seed).sample(range(1, UPLOADS), 12))
        assert await histories(world, seed, restarts) == in_one_go


async def test_two_uploads_before_a_restart_and_one_after_it_raise_the_alert(world: World) -> None:
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    await post(world, "12:00", 1, fact_min=62, sent_min=None)
    await post(world, "12:10", 2, fact_min=62, sent_min=None)
    await world.start()
    await post(world, "12:20", 3, fact_min=62, sent_min=None)
    assert await told(world) == [(Severity.WARNING, True)]


async def test_right_uploads_before_a_restart_still_speak_for_a_tag_that_then_sends_what_is_old(world: World) -> None:
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    await post(world, "12:30", 1, fact_min=0, sent_min=None)
    await world.start()
    for seq, at in enumerate(("12:40", "12:50", "13:00"), 2):
        await post(world, at, seq, fact_min=62, sent_min=None)
    assert await told(world) == []


async def test_a_wrong_upload_before_a_restart_keeps_the_alert_for_its_hour(world: World) -> None:
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    for seq, at in enumerate(("12:00", "12:10", "12:20"), 1):
        await post(world, at, seq, fact_min=62, sent_min=None)
    await world.start()
    for seq, at in enumerate(clock_times(25, 6, 10), 10):  # to 13:15
        await post(world, at, seq, fact_min=0, sent_min=None)
    assert await told(world) == [(Severity.WARNING, True)]
    await post(world, "13:25", 30, fact_min=0, sent_min=None)
    assert await told(world) == [(Severity.WARNING, False)]


async def test_what_is_older_than_an_hour_is_forgotten_at_a_start(world: World) -> None:
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    await post(world, "12:00", 1, fact_min=0, sent_min=0)
    assert await world.count("clock_uploads") == 1
    world.clock.at_ms = ms("13:00")
    await world.start()
    assert await world.count("clock_uploads") == 1
    world.clock.at_ms = ms("13:00:01")
    await world.start()
    assert await world.count("clock_uploads") == 0


async def test_an_alert_that_was_rolled_back_with_its_turn_is_raised_by_the_next(world: World) -> None:
    """The turn of the third upload fails after the alert was raised in it, and is taken once more; then what else there was to do."""
    await world.enter({"activations": [activation(1, report_interval_s=600)]})
    await world.connection.execute(FAILS_ONCE)
    for seq, at in enumerate(clock_times(0, 3, 10), 1):
        await post(world, at, seq, fact_min=0, sent_min=62)
    assert await world.connection.fetchval("SELECT last_value FROM tries") == 3
    assert (len(await kept_reports(world.connection)), await world.count("quarantine")) == (3, 0)
    assert await told(world) == [(Severity.WARNING, True)]


FAILS_ONCE = """
CREATE SEQUENCE tries;
CREATE FUNCTION refuse_the_third() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM raw_requests WHERE last_seq = 3) AND nextval('tries') = 1 THEN
        RAISE check_violation;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_the_third BEFORE INSERT OR UPDATE ON liveness FOR EACH ROW EXECUTE FUNCTION refuse_the_third();
"""
