"""What happens in the first minutes of a demonstration, so that somebody who sits down at it has a shift to work.

The tags of the town send what their people do. Some of the things that happen are put there by us: somebody is driven into a zone
that they must not enter and out again; some positions of somebody at home are far off; a strap was opened and closed again in four
minutes just before; and the tags of one network are not heard for a while and send then what they kept. They are put into what tags
send, and go through the device door like everything else: nothing is raised but by what the service finds.
"""

from __future__ import annotations

import heapq
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np

from emtrack.demo.life import life_of
from emtrack.emulator.geometry import Point, distance_m, to_degrees, to_frame
from emtrack.emulator.people import Activation, Wearer
from emtrack.emulator.schedule import DAY_MS, iso_of
from emtrack.emulator.sending import Upload
from emtrack.emulator.world import World

MINUTE_MS: Final = 60_000
STEP_MS: Final = 20_000
BOOT: Final = 900
"""Of what we put there: no tag of the town restarts so often, and so no number is given twice."""
OUTAGE_MS: Final = (-5 * MINUTE_MS, 16 * MINUTE_MS)
ENTRY_MS: Final = (2 * MINUTE_MS, 10 * MINUTE_MS)
INSIDE_MS: Final = (4 * MINUTE_MS, 7 * MINUTE_MS)
DRIFT_MS: Final = (5 * MINUTE_MS, 9 * MINUTE_MS)
DRIFTED_M: Final = 190.0
STRAP_MS: Final = (-9 * MINUTE_MS, -5 * MINUTE_MS)
"""Opened, and closed again: the alert stays until somebody has looked into it."""
UNHEARD_MS: Final = (1 * MINUTE_MS, 11 * MINUTE_MS)
"""A tag keeps what it measures. What it sends meanwhile is wrong; what it kept says so when it comes."""
WRONG_MS: Final = (5 * MINUTE_MS, 5 * MINUTE_MS + STEP_MS)
"""Two positions in a zone, which is enough for a finding."""
RIGHT_MS: Final = (4 * MINUTE_MS, 6 * MINUTE_MS + STEP_MS)
"""Of this time it kept a position each twenty seconds, ten seconds off the wrong ones: nobody is so fast."""
FAR_M: Final = 1_500.0
QUIET_MS: Final = 92 * DAY_MS
PRECISION_M: Final = 8.0
LEAST_PEOPLE: Final = 100
"""In a smaller town nothing is put there."""


@dataclass(frozen=True)
class Scenes:
    """Who is in them; None: a town so small that there is nobody for it. `end_ms`: where the history ends, from which they count."""

    end_ms: int
    enters: str | None
    drifts: str | None
    silent: frozenset[str]
    network: str | None
    enters_name: str = ""
    drifts_name: str = ""
    strap: str | None = None
    strap_name: str = ""
    wronged: str | None = None
    wronged_name: str = ""


class _Scripted(NamedTuple):
    """A device whose own reports between two instants give way to others."""

    device_id: str
    begin_ms: int
    end_ms: int
    uploads: list[Upload]


def cast(worlds: Sequence[World], end_ms: int) -> Scenes:
    """Who is in the scenes: always the same of the same town."""
    if sum(len(world.wearers) for world in worlds) < LEAST_PEOPLE:
        return Scenes(end_ms, None, None, frozenset(), None)
    tags = {a.wearer.wearer_id: a for world in worlds for a in world.activations if _is_on(a, end_ms)}
    people = [w for world in worlds for w in world.wearers if w.wearer_id in tags and not w.rf_only]
    enters = min((w for w in people if _has_near_zone(w)), key=_way_m, default=None)
    drifts = next((w for w in people if w is not enters and w.hmu_id is None and _is_home_at_seven(w)), None)
    busy = {tags[one.wearer_id].device_id for one in (enters, drifts) if one is not None}
    networks = sorted({a.network for a in tags.values() if a.network})
    network = networks[-1] if networks else None
    heard = [w for w in people if w not in (enters, drifts) and tags[w.wearer_id].network != network]
    strap = next(iter(heard), None)
    wronged = _wronged(worlds, heard[1:], end_ms)
    of_it = sorted(a.device_id for a in tags.values() if a.network == network and a.device_id not in busy)
    return Scenes(
        end_ms,
        None if enters is None else tags[enters.wearer_id].device_id,
        None if drifts is None else tags[drifts.wearer_id].device_id,
        frozenset(of_it),
        network,
        "" if enters is None else enters.name,
        "" if drifts is None else drifts.name,
        None if strap is None else tags[strap.wearer_id].device_id,
        "" if strap is None else strap.name,
        None if wronged is None else tags[wronged.wearer_id].device_id,
        "" if wronged is None else wronged.name,
    )


def _wronged(worlds: Sequence[World], people: Sequence[Wearer], end_ms: int) -> Wearer | None:
    """Somebody who gives no cause for anything, and is far from a zone of theirs at that time: so nothing but the wrong positions
    stands against them."""
    world_of = {wearer.wearer_id: world for world in worlds for wearer in world.wearers}

    def is_blameless(wearer: Wearer) -> bool:
        world = world_of[wearer.wearer_id]
        if distance_m(_true_place(world, wearer, end_ms + WRONG_MS[0]), _zone_of(wearer)) < FAR_M:
            return False
        if not life_of(world, wearer, end_ms).is_quiet_since(end_ms - QUIET_MS):
            return False
        return not world.truth(wearer.wearer_id, world.start_ms, end_ms + UNHEARD_MS[1])

    calm = (w for w in people if w.iom.get("rag") == "GREEN" and not w.prone and _has_near_zone(w))
    return next((w for w in calm if w.drinks is None and is_blameless(w)), None)


def _is_on(activation: Activation, at_ms: int) -> bool:
    is_worn = activation.begin_ms <= at_ms and (activation.end_ms is None or activation.end_ms > at_ms + 3_600_000)
    return is_worn and not activation.by_alcohol_tag


def _has_near_zone(wearer: Wearer) -> bool:
    return any(zone.timetable is None for zone in wearer.exclusions)


def _is_home_at_seven(wearer: Wearer) -> bool:
    rows = wearer.curfew.timetable or ()
    return any(row.start <= "19:00" and row.end < row.start for row in rows) and len(rows) == 7


def _way_m(wearer: Wearer) -> float:
    return distance_m(_zone_of(wearer), wearer.home)


def _zone_of(wearer: Wearer) -> Point:
    return next(zone for zone in wearer.exclusions if zone.timetable is None).shape.centre


# ---------------------------------------------------------------------------------------------- what the tags then send


def staged(world: World, scenes: Scenes, from_ms: int) -> Iterator[Upload]:
    """What the tags of a world send from an instant on, in order, with the scenes in it."""
    begin_ms = from_ms
    if from_ms < scenes.end_ms + OUTAGE_MS[1]:  # what is kept back by then is still to come
        begin_ms = min(from_ms, scenes.end_ms + OUTAGE_MS[0])
    scripted = list(_scripted(world, scenes))
    inserted = sorted((u for one in scripted for u in one.uploads if u.send_ms >= from_ms), key=_send_ms)
    own = _kept_back(_without(world.uploads(begin_ms, None), scripted), scenes.silent, _of(scenes, OUTAGE_MS))
    if scenes.wronged is not None:
        own = _kept_back(own, {scenes.wronged}, _of(scenes, UNHEARD_MS))
    return heapq.merge((u for u in own if u.send_ms >= from_ms), inserted, key=_send_ms)


def _send_ms(upload: Upload) -> int:
    return upload.send_ms


def _of(scenes: Scenes, span_ms: tuple[int, int]) -> tuple[int, int]:
    return scenes.end_ms + span_ms[0], scenes.end_ms + span_ms[1]


def _kept_back(uploads: Iterator[Upload], devices: Container[str], span_ms: tuple[int, int]) -> Iterator[Upload]:
    """What some devices send in a time waits until it is over, and goes then, a few milliseconds one after the other; nothing
    overtakes it."""
    begin_ms, release_ms = span_ms
    kept: list[Upload] = []
    free_ms = 0
    for upload in uploads:
        if kept and upload.send_ms >= release_ms:
            for number, one in enumerate(kept):
                free_ms = release_ms + number * 20
                yield replace(one, send_ms=free_ms)
            kept = []
        if upload.device_id in devices and begin_ms <= upload.send_ms < release_ms:
            kept.append(upload)
        else:
            yield upload if upload.send_ms >= free_ms else replace(upload, send_ms=free_ms)


def _without(uploads: Iterator[Upload], scripted: Sequence[_Scripted]) -> Iterator[Upload]:
    """Less what a tag would have said of the time of a scene: nobody is in two places."""
    spans = {one.device_id: (one.begin_ms, one.end_ms) for one in scripted}
    for upload in uploads:
        span = spans.get(upload.device_id)
        if span is None:
            yield upload
            continue
        reports = [report for report in upload.reports if not span[0] <= _own_ms(report) < span[1]]
        if reports:
            yield replace(upload, reports=reports)


def _own_ms(report: dict[str, Any]) -> int:
    text = report.get("fix_time") or report.get("event_time")
    return round(datetime.fromisoformat(str(text)).timestamp() * 1_000)


def _scripted(world: World, scenes: Scenes) -> Iterator[_Scripted]:
    worn = {a.device_id: a.wearer for a in world.activations if _is_on(a, scenes.end_ms)}
    if scenes.enters in worn:
        yield _drive(world, worn[scenes.enters], scenes.enters, scenes.end_ms)
    if scenes.drifts in worn:
        yield _drift(worn[scenes.drifts], scenes.drifts, scenes.end_ms)
    if scenes.strap in worn:
        yield _strap(scenes.strap, scenes.end_ms)
    if scenes.wronged in worn:
        yield _wrong(world, worn[scenes.wronged], scenes.wronged, scenes.end_ms)


def _drive(world: World, wearer: Wearer, device_id: str, end_ms: int) -> _Scripted:
    """Into the zone and back to where the person is then, at an even pace."""
    begin_ms, over_ms, in_ms, out_ms = (end_ms + at_ms for at_ms in (*ENTRY_MS, *INSIDE_MS))
    zone, start, finish = _zone_of(wearer), _true_place(world, wearer, begin_ms), _true_place(world, wearer, over_ms)
    at = np.arange(begin_ms, over_ms, STEP_MS)
    x = np.interp(at, [begin_ms, in_ms, out_ms, over_ms], [start[0], zone[0], zone[0], finish[0]])
    y = np.interp(at, [begin_ms, in_ms, out_ms, over_ms], [start[1], zone[1], zone[1], finish[1]])
    places = list(zip(at.tolist(), x.tolist(), y.tolist(), strict=True))
    return _Scripted(device_id, begin_ms, over_ms, _uploads(device_id, places))


def _drift(wearer: Wearer, device_id: str, end_ms: int) -> _Scripted:
    """At home all the time; for a minute and a half the positions are somewhere else."""
    begin_ms, over_ms = (end_ms + at_ms for at_ms in DRIFT_MS)
    places = []
    for number, at_ms in enumerate(range(begin_ms, over_ms, STEP_MS)):
        away_m = DRIFTED_M if 3 <= number < 8 else 0.0
        places.append((at_ms, wearer.home[0] + away_m, wearer.home[1] + away_m / 3))
    return _Scripted(device_id, begin_ms, over_ms, _uploads(device_id, places))


def _wrong(world: World, wearer: Wearer, device_id: str, end_ms: int) -> _Scripted:
    """Twice in the zone, sent at once; and where the person truly was before, between and after, sent when the tag is heard again."""
    begin_ms, over_ms = (end_ms + at_ms for at_ms in RIGHT_MS)
    zone, heard_ms = _zone_of(wearer), end_ms + UNHEARD_MS[1]
    wrong = [(end_ms + at_ms, *zone) for at_ms in WRONG_MS]
    right = [
        (at_ms, *_true_place(world, wearer, at_ms)) for at_ms in range(begin_ms + STEP_MS // 2, over_ms, STEP_MS)
    ]
    uploads = _uploads(device_id, sorted(wrong + right))
    at_once = {at_ms for at_ms, *_ in wrong}
    return _Scripted(device_id, begin_ms, over_ms, [
        one if _own_ms(one.reports[0]) in at_once else replace(one, send_ms=heard_ms) for one in uploads
    ])  # fmt: skip


def _strap(device_id: str, end_ms: int) -> _Scripted:
    """Two events more; what the tag says besides is as it is."""
    opened_ms, closed_ms = (end_ms + at_ms for at_ms in STRAP_MS)
    told = [(opened_ms, "STRAP_TAMPER"), (closed_ms, "STRAP_CLEAR")]
    uploads = [
        Upload(
            at_ms + 1_500,
            device_id,
            BOOT,
            [{"seq": seq, "type": "event", "event": what, "event_time": iso_of(at_ms)}],
        )
        for seq, (at_ms, what) in enumerate(told, 1)
    ]
    return _Scripted(device_id, end_ms, end_ms, uploads)


def _true_place(world: World, wearer: Wearer, at_ms: int) -> Point:
    lon, lat = world.position(wearer.wearer_id, np.array([at_ms], dtype=np.int64))
    return to_frame(float(lon[0]), float(lat[0]))


def _uploads(device_id: str, places: Sequence[tuple[int, float, float]]) -> list[Upload]:
    """One report an upload, which goes at once."""
    return [
        Upload(at_ms + 1_500, device_id, BOOT, [_report(number, at_ms, x_m, y_m)])
        for number, (at_ms, x_m, y_m) in enumerate(places, 1)
    ]


def _report(seq: int, at_ms: int, x_m: float, y_m: float) -> dict[str, Any]:
    lon_deg, lat_deg = to_degrees((x_m, y_m))
    return {
        "seq": seq, "type": "position", "fix_time": iso_of(at_ms), "lat_deg": round(lat_deg, 6), "lon_deg": round(lon_deg, 6),
        "precision_m": PRECISION_M, "mechanism": "GPS",
    }  # fmt: skip
