"""What each tag writes down: where it is, what it hears of its home unit, and what happens to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from emtrack.emulator.habits import Mix
from emtrack.emulator.mishaps import TagMishaps, UnitMishaps, skew_ms, tag_mishaps, unit_mishaps
from emtrack.emulator.paths import Planner
from emtrack.emulator.people import Activation, Wearer
from emtrack.emulator.schedule import Interval, clipped, joined
from emtrack.emulator.sending import COPY_DELAY_MS, Life, Parcel, Paths, Sender
from emtrack.emulator.sensing import Rows, Senses, event_rows, heartbeats, hurry_in_zones, within


class Tag(Sender):
    """A tag with positions and a network, on whoever wears it."""

    def __init__(
        self, seed: int, device_id: str, activations: list[Activation], paths: Paths, planner: Planner, mix: Mix
    ) -> None:
        self.seed = seed
        self.activations = sorted(activations, key=lambda activation: activation.begin_ms)
        super().__init__(
            device_id, self.activations[0].begin_ms, self.activations[-1].end_ms, planner, mix.sensors, mix.faults
        )
        self.paths = paths
        self.senses = Senses(seed, mix)
        self.skew_ms = skew_ms(seed, self.number, mix.faults)

    def written(self, life: Life, day: int, span: Interval) -> tuple[Life, list[Parcel]]:
        mishaps = self._mishaps(day)
        rng = np.random.Generator(np.random.PCG64([self.seed, self.number, day, 2]))
        parcels: list[Parcel] = []
        for activation in self.activations:
            worn = worn_in(activation, span)
            if worn is None:
                continue
            if activation is not self.activations[0] and worn[0] == activation.begin_ms:
                life = replace(life, boot=life.boot + 1, seq=0)  # a tag is started anew for its next wearer
            rows = self._rows(activation.wearer, day, worn, mishaps, rng)
            life, numbered = self.numbered(life, rows, [at for at in mishaps.restarts if worn[0] <= at < worn[1]])
            ends = activation.end_ms is not None and activation.end_ms <= span[1]
            life, sent = self.posted(life, numbered, worn, ends, _unreachable(mishaps), rng)
            parcels += sent
        return life, parcels

    def unreachable(self, day: int) -> list[Interval]:
        """When it has no network or no power, of what began on a day or the day before."""
        return _unreachable(self._mishaps(day))

    def _mishaps(self, day: int) -> TagMishaps:
        """Of today, and what yesterday left behind."""
        found = TagMishaps()
        for d in (day - 1, day):
            found += tag_mishaps(self.seed, self.number, d, self.span(d), self.faults)
        return found

    def _unit_mishaps(self, wearer: Wearer, day: int) -> UnitMishaps:
        found = UnitMishaps()
        for d in (day - 1, day):
            found += unit_mishaps(self.seed, wearer.number, d, self.span(d), self.faults)
        return found

    def _rows(self, wearer: Wearer, day: int, worn: Interval, mishaps: TagMishaps, rng: np.random.Generator) -> Rows:
        """What the tag writes down while worn, in order, with the times its own clock gives."""
        path = self.paths.path(wearer, day)
        fixes = self.senses.positions(path, self.number, day)
        if self.sensors.in_zone == "at once":
            hurry_in_zones(fixes, wearer)
        parts = [
            fixes,
            self.senses.sightings(path, wearer, self._unit_mishaps(wearer, day)),
            *(event_rows(np.array([at], np.int64), kind, True) for at, kind in mishaps.events),
        ]
        rows = np.concatenate(parts)
        rows = rows[within(rows["order_ms"], [worn])]
        rows = rows[np.lexsort((rows["kind"], rows["order_ms"]))]
        rows = np.concatenate([rows, heartbeats(rows, worn, self.sensors.heartbeat_every_s)])
        rows = rows[~within(rows["order_ms"], list(mishaps.dead))]
        rows = np.concatenate([rows, self._copies(rows, worn, mishaps, rng)])
        rows["at_ms"] += self.skew_ms
        return rows[np.lexsort((rows["kind"], rows["order_ms"]))]

    def _copies(self, rows: Rows, worn: Interval, mishaps: TagMishaps, rng: np.random.Generator) -> Rows:
        """Reports that the tag writes down a second time: same content, and a number of their own."""
        copies = rows[rng.random(len(rows)) < self.faults.resequenced_share].copy()
        copies["order_ms"] += rng.integers(*COPY_DELAY_MS, len(copies))
        return copies[within(copies["order_ms"], [worn]) & ~within(copies["order_ms"], list(mishaps.dead))]


def _unreachable(mishaps: TagMishaps) -> list[Interval]:
    return joined([*mishaps.offline, *mishaps.dead])


def worn_in(activation: Activation, span: Interval) -> Interval | None:
    """The part of `span` in which the tag is worn under `activation`."""
    end_ms = span[1] if activation.end_ms is None else activation.end_ms
    parts = clipped([(activation.begin_ms, end_ms)], *span)
    return parts[0] if parts else None
