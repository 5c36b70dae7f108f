"""Worlds that published figures rest on stay as they were: the same seed gives the same people, reports and truth."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from emtrack.client import request_of
from emtrack.emulator import World, build_world
from emtrack.emulator.schedule import DAY_MS, HOUR_MS

START_MS = 1_772_409_600_000
FROZEN = {
    "standard": "a705d7a21e95a0c8",
    "ordinary": "8331b1a00e6dad4c",
    "clean": "2adde852eab0a336",
    "lbs_heavy": "05a01f57710cb23e",
    "urban_canyon": "3f25e6b60dccc3ac",
    "gaps": "3db50b931b85cca1",
    "jumps": "31b9837b0352f4b7",
}
"""What eight people give in three days. New behaviour comes with new presets; these are never written anew."""


def fingerprint_of(world: World, end_ms: int) -> str:
    """Stands for the orders, all that is sent, and all that is true, up to an instant."""
    content = [
        world.orders(),
        [[u.send_ms, u.device_id, u.boot, u.reports] for u in world.uploads(world.start_ms, end_ms)],
        [world.truth(wearer.wearer_id, world.start_ms, end_ms) for wearer in world.wearers],
    ]
    return hashlib.blake2b(msgspec.json.encode(content), digest_size=8).hexdigest()


@pytest.mark.parametrize("preset", FROZEN)
def test_a_world_of_the_first_edition_gives_what_it_always_gave(preset: str) -> None:
    world = build_world(8, 1, START_MS, preset=preset)
    assert fingerprint_of(world, START_MS + 3 * DAY_MS) == FROZEN[preset]


@pytest.mark.parametrize("preset", FROZEN)
def test_a_device_of_the_first_edition_never_says_when_it_sends(preset: str) -> None:
    world = build_world(8, 1, START_MS, preset=preset)
    requests = [
        request_of(u.boot, u.reports, u.sent_at_ms(u.send_ms)) for u in world.uploads(START_MS, START_MS + DAY_MS)
    ]
    assert requests
    assert all(list(request) == ["boot", "reports"] for request in requests)


@pytest.mark.parametrize("preset", [f"{name}.2" for name in FROZEN])
def test_a_device_of_the_second_edition_says_when_it_sends_by_its_own_clock(preset: str) -> None:
    world = build_world(300, 1, START_MS, preset=preset)
    uploads = list(world.uploads(START_MS, START_MS + 2 * HOUR_MS))
    assert uploads
    assert all(u.sent_at_ms(u.send_ms) == u.send_ms + world.skew_ms(u.device_id) for u in uploads)
    skewed = {u.device_id for u in uploads if u.ahead_ms}
    assert bool(skewed) == (preset not in ("clean.2", "jumps.2"))
