"""With a second thread, and with more wearers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from benchmarks.geofence import worlds
from benchmarks.geofence.personal import PersonalWorld, personal_world
from benchmarks.geofence.timing import ROUNDS, Line, medians_ns
from geofence.shapes.margins import masks_of
from geofence.sweep import Positions, Sweep


def two_threads(world: PersonalWorld) -> Line:
    """The same positions classified by one thread and by two; how much faster two are stands in the place of a ratio."""
    fixes = world.fixes
    half = len(fixes.wearer) // 2
    parts = [fixes.part(0, half), fixes.part(half, 2 * half)]

    def classify(part: Positions) -> None:
        masks_of(world.zones, world.first, part.wearer, part.lon_deg, part.lat_deg, part.radius_m)

    def one_by_one() -> None:
        for part in parts:
            classify(part)

    def together() -> None:
        threads = [threading.Thread(target=classify, args=(part,)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    both, one = medians_ns([(together, 2 * half), (one_by_one, 2 * half)])
    return Line("verdicts, two threads", both, "one thread", one, "1.7")


def growth(sizes: Sequence[int], n: int) -> list[tuple[int, float, float]]:
    """Wearers, nanoseconds a fix of the full step in order of arrival, bytes a wearer. As in a service that runs, each round goes on
    where the one before ended."""
    tasks, bytes_each = [], []
    for wearers in sizes:
        world = personal_world(wearers, max(2, n // wearers), peers=False)
        arrived = worlds.taken(world.fixes, worlds.arrival_order(world.fixes))
        sweep = Sweep(world.duties)
        bytes_each.append((world.zones.boxes.nbytes + world.zones.shapes.nbytes + sweep.nbytes) / wearers)
        length_ms = int(np.ptp(arrived.fix_ms)) + 60_000
        rounds = iter([arrived._replace(fix_ms=arrived.fix_ms + i * length_ms) for i in range(ROUNDS + 1)])
        tasks.append((partial(_feed_next, sweep, rounds), len(arrived.wearer)))
    return list(zip(sizes, medians_ns(tasks), bytes_each, strict=True))


def _feed_next(sweep: Sweep, rounds: Iterator[Positions]) -> None:
    sweep.feed(next(rounds))
