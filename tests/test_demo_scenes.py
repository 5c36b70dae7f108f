"""What is put into the first minutes of a demonstration: it goes through the tags, and nothing that they say is lost or doubled."""

from __future__ import annotations

from collections import Counter
from itertools import takewhile

import pytest

from emtrack.demo.history import Demo
from emtrack.demo.scenes import (
    BOOT,
    DRIFT_MS,
    ENTRY_MS,
    OUTAGE_MS,
    RIGHT_MS,
    UNHEARD_MS,
    WRONG_MS,
    Scenes,
    cast,
    staged,
)
from emtrack.emulator.sending import Upload
from geofence import parse_instant

END_MS = parse_instant("2026-03-04T18:59:20Z")
TOWN = Demo(wearers=140, long=0, hours=1.0, days=0.1, seed=3, end_ms=END_MS)
OVER_MS = END_MS + OUTAGE_MS[1] + 20 * 60_000


@pytest.fixture(scope="module")
def played() -> tuple[list[Upload], list[Upload], Scenes]:
    """What the tags of a town would send over a while, what they send with the scenes in it, and who is in them."""
    (world,) = TOWN.worlds()
    scenes = cast([world], END_MS)
    plain = list(takewhile(lambda u: u.send_ms < OVER_MS, world.uploads(world.start_ms, None)))
    with_scenes = list(takewhile(lambda u: u.send_ms < OVER_MS, staged(world, scenes, world.start_ms)))
    return plain, with_scenes, scenes


def numbers(uploads: list[Upload]) -> Counter[tuple[str, int, int]]:
    return Counter((u.device_id, u.boot, report["seq"]) for u in uploads for report in u.reports)


def test_everybody_of_the_scenes_is_there(played: tuple[list[Upload], list[Upload], Scenes]) -> None:
    _, _, scenes = played
    assert scenes.enters is not None
    assert scenes.drifts is not None
    assert scenes.enters != scenes.drifts
    assert len(scenes.silent) >= 20
    assert not scenes.silent & {scenes.enters, scenes.drifts}


def test_nothing_is_lost_but_what_would_put_somebody_in_two_places(
    played: tuple[list[Upload], list[Upload], Scenes],
) -> None:
    plain, with_scenes, scenes = played
    lost = {device for device, _, _ in numbers(plain) - numbers(with_scenes)}
    assert lost <= {scenes.enters, scenes.drifts, scenes.wronged}
    added = numbers(with_scenes) - numbers(plain)
    assert {boot for _, boot, _ in added} == {BOOT}
    assert max(added.values()) == 1
    spans = (ENTRY_MS[1] - ENTRY_MS[0]) + (DRIFT_MS[1] - DRIFT_MS[0]) + (RIGHT_MS[1] - RIGHT_MS[0])
    strap = sorted(
        event["event"] for u in with_scenes if u.boot == BOOT for event in u.reports if u.device_id == scenes.strap
    )
    assert strap == ["STRAP_CLEAR", "STRAP_TAMPER"]
    assert scenes.strap not in scenes.silent | {scenes.enters, scenes.drifts}
    assert len(added) == spans // 20_000 + len(strap) + len(WRONG_MS)


def test_they_go_in_order_and_the_silent_network_says_nothing_until_it_is_back(
    played: tuple[list[Upload], list[Upload], Scenes],
) -> None:
    plain, with_scenes, scenes = played
    sent = [u.send_ms for u in with_scenes]
    assert sent == sorted(sent)
    begin_ms, back_ms = (END_MS + at_ms for at_ms in OUTAGE_MS)
    of_network = [u.send_ms for u in with_scenes if u.device_id in scenes.silent]
    assert not any(begin_ms <= at_ms < back_ms for at_ms in of_network)
    assert any(begin_ms <= u.send_ms < back_ms for u in plain if u.device_id in scenes.silent)


def test_who_is_wronged_sends_two_positions_and_then_what_the_tag_kept(
    played: tuple[list[Upload], list[Upload], Scenes],
) -> None:
    _, with_scenes, scenes = played
    begin_ms, heard_ms = (END_MS + at_ms for at_ms in UNHEARD_MS)
    sent = [u for u in with_scenes if u.device_id == scenes.wronged and u.send_ms >= begin_ms]
    wrong = [u for u in sent if u.send_ms < heard_ms]
    assert [u.send_ms for u in wrong] == [END_MS + at_ms + 1_500 for at_ms in WRONG_MS]
    kept = {report["fix_time"] for u in sent if u.boot == BOOT and u.send_ms == heard_ms for report in u.reports}
    assert len(kept) == (RIGHT_MS[1] - RIGHT_MS[0]) // 20_000
    assert scenes.wronged not in {scenes.enters, scenes.drifts, scenes.strap, *scenes.silent}


def test_the_live_part_goes_on_where_the_history_ended(played: tuple[list[Upload], list[Upload], Scenes]) -> None:
    _, with_scenes, scenes = played
    (world,) = TOWN.worlds()
    live = list(takewhile(lambda u: u.send_ms < OVER_MS, staged(world, scenes, END_MS)))
    expected = [u for u in with_scenes if u.send_ms >= END_MS]
    assert numbers(live) == numbers(expected)


def test_a_small_town_is_left_alone() -> None:
    small = Demo(wearers=12, long=0, hours=1.0, days=0.1, seed=3, end_ms=END_MS)
    assert cast(small.worlds(), END_MS) == Scenes(END_MS, None, None, frozenset(), None)
