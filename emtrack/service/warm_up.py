"""What is done once before anybody waits: kernels are compiled, and what is there already is no garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from geofence import (
    Activation,
    ActivationId,
    Area,
    DeviceId,
    Disc,
    EntryId,
    Interval,
    Mechanism,
    ObligationKind,
    Plan,
    Position,
    Requirement,
    RequirementId,
    SetZone,
    WearerId,
    Zone,
)
from geofence.judgement import Places, judge_history
from geofence.nearness import Spot, evident, graded, packed, trail_of, unpacked
from geofence.shapes import Member, build


def warm_up() -> None:
    """Compile all kernels of the service before anybody waits for them (from the cache, in a second): those of circles, of areas
    and of shared sets, of the margins that explain a finding, and of who was near a place."""
    area = Area(((((0.0, 0.0), (0.01, 0.0), (0.0, 0.01), (0.0, 0.0)),),))
    zone_set = build([Member("a", area), Member("b", area)])
    zones: tuple[Zone, ...] = (Disc((0.0, 0.0), 1.0), area, SetZone("", "", zone_set.content))
    requirements = tuple(
        Requirement(EntryId(""), RequirementId(str(i)), WearerId(""), ObligationKind.EXCLUSION, 0, 1, zone)
        for i, zone in enumerate(zones)
    )
    sets = {zone_set.content: zone_set}
    plan = Plan(Activation(ActivationId(""), DeviceId(""), WearerId(""), 0, 1), requirements)
    judge_history(plan, [Position(0, 0.001, 0.001, None, Mechanism.GPS, 0)], 0, sets)
    places = Places(requirements, sets)
    places.margins_m([0.001], [0.001])
    places.zone_id(2, 0.001, 0.001)
    trail = trail_of([[Position(0, 0.001, 0.001, None, Mechanism.GPS, 0)]])
    graded(Spot(0.0, 0.0, 1.0), Interval(0, 1), trail)
    evident(np.zeros(1, np.int64), trail)
    numbers = np.zeros(1, np.int64)
    for one in packed(0, numbers, trail):
        unpacked(numbers, numbers, np.array([len(one.body)]), one.body, Interval(0, 1))


@contextmanager
def without_collector() -> Iterator[None]:
    """While a great many objects are made that stay, each search among them for garbage finds none. What is there at the end is never
    searched again. What became garbage meanwhile, as pages and trackers go on while a record is read anew, is taken away first:
    what is frozen stays for ever."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.collect()
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


def calm_collector() -> None:
    """States of activations live as long as the program: searching them for garbage again and again cost a tenth of
    the throughput (benchmarks.end_to_end, 1,000 wearers). What is there now is never searched again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
