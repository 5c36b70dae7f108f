"""What an alcohol tag writes down: that it is there, and what it reads. It knows nothing of places."""

from __future__ import annotations

import numpy as np

from emtrack.emulator.habits import Chance, Mix
from emtrack.emulator.mishaps import Event, drinking
from emtrack.emulator.paths import Planner
from emtrack.emulator.people import Activation
from emtrack.emulator.schedule import SECOND_MS, Interval
from emtrack.emulator.sending import Life, Parcel, Sender
from emtrack.emulator.sensing import event_rows, within


class AlcoholTag(Sender):
    """One alcohol tag on one wearer, who drinks with a chance per day."""

    def __init__(self, seed: int, activation: Activation, drinks: Chance, planner: Planner, mix: Mix) -> None:
        super().__init__(
            activation.device_id, activation.begin_ms, activation.end_ms, planner, mix.sensors, mix.faults
        )
        self.seed = seed
        self.begin_ms = activation.begin_ms
        self.chance = planner.chance(activation.wearer, drinks)
        self.lasts_h = mix.habits.drinks_h

    def written(self, life: Life, day: int, span: Interval) -> tuple[Life, list[Parcel]]:
        worn = max(span[0], self.begin_ms), span[1]
        step_ms = self.sensors.alcohol_every_s * SECOND_MS
        phase_ms = self.number * 53 % self.sensors.alcohol_every_s * SECOND_MS
        readings = np.arange(span[0] + (phase_ms - span[0]) % step_ms, span[1], step_ms, dtype=np.int64)
        found = (event_rows(np.array([at], np.int64), kind, True) for at, kind in self._read(day))
        rows = np.concatenate([event_rows(readings, "HEARTBEAT", True), *found])
        rows = rows[within(rows["order_ms"], [worn])]
        rows = rows[np.lexsort((rows["kind"], rows["order_ms"]))]
        life, numbered = self.numbered(life, rows, [])
        rng = np.random.Generator(np.random.PCG64([self.seed, self.number, day, 4]))
        return self.posted(life, numbered, worn, False, [], rng)

    def _read(self, day: int) -> list[Event]:
        """What begins today, and what yesterday's evening left behind."""
        evenings = (
            drinking(self.seed, self.number, d, self.span(d), self.chance, self.lasts_h) for d in (day - 1, day)
        )
        return [event for evening in evenings for event in evening if evening[0][0] >= self.begin_ms]
