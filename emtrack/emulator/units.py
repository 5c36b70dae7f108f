"""Home units that send for themselves: of the tag that they hear, and of what happens to them.

A unit calls in at fixed times, and sends at once what cannot wait: that its tag came into range or left it, what a tag that only
it hears has to tell, and its own power and movement. `tag` in a report names the tag that it is about; a report without one is
about the unit. Between two activations of its wearer it hears nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from emtrack.emulator.habits import Mix
from emtrack.emulator.mishaps import TagMishaps, UnitMishaps, of_a_radio_tag, radio_mishaps, tag_mishaps, unit_mishaps
from emtrack.emulator.paths import Planner
from emtrack.emulator.people import Activation, UnitTerms, Wearer
from emtrack.emulator.schedule import SECOND_MS, Interval, clipped, joined, without
from emtrack.emulator.sending import Life, Parcel, Paths, Sender
from emtrack.emulator.sensing import Rows, event_rows, in_range, no_rows, within
from emtrack.emulator.tags import worn_in

AFTER_POWER_S, AFTER_MOVING_S = 20, 60
"""So long after its power is back, or it was moved, a unit says anew whether it hears its tag."""
NEVER_ALONE_S = 10**7
"""What waits at a unit goes with the next call, and never by itself."""


class HomeUnit(Sender):
    """The unit at the home of one wearer."""

    def __init__(
        self,
        seed: int,
        wearer: Wearer,
        terms: UnitTerms,
        activations: list[Activation],
        paths: Paths,
        planner: Planner,
        mix: Mix,
    ) -> None:
        sensors = replace(mix.sensors, upload_every_s=NEVER_ALONE_S, upload_reports=mix.faults.burst_reports)
        super().__init__(f"H{wearer.number:04d}", activations[0].begin_ms, None, planner, sensors, mix.faults)
        self.seed = seed
        self.wearer = wearer
        self.begin_ms = activations[0].begin_ms
        self.call_in_s = terms.call_in_s
        self.activations = activations
        self.paths = paths
        self._tag_faults = of_a_radio_tag(mix.faults)

    def written(self, life: Life, day: int, span: Interval) -> tuple[Life, list[Parcel]]:
        mishaps = self._mishaps(day)
        rows = np.concatenate([self._of_itself(span, mishaps), *self._of_tags(day, span, mishaps)])
        rows = rows[within(rows["order_ms"], [(max(span[0], self.begin_ms), span[1])])]
        rows = rows[np.lexsort((rows["kind"], rows["order_ms"]))]
        life, numbered = self.numbered(life, rows, [end for _, end in mishaps.silent if span[0] <= end < span[1]])
        rng = np.random.Generator(np.random.PCG64([self.seed, self.number, day, 3]))
        return self.posted(life, numbered, span, False, joined(mishaps.offline), rng)

    def heard(self, day: int) -> list[Interval]:
        """When it could hear the tag in a day, if it had power: in range, no dead spot, and the tag not flat."""
        near = in_range(self.seed, self.sensors, self.paths.path(self.wearer, day), self.wearer)
        dead = [gap for device in self._radio_tags() for gap in self._tag_mishaps(device, day).dead]
        return without(near, joined([*self._mishaps(day).deaf, *dead]))

    def without_power(self, day: int) -> list[Interval]:
        """When it hears nobody in a day, and tells nobody."""
        return clipped(joined(self._mishaps(day).silent), *self.span(day))

    def _mishaps(self, day: int) -> UnitMishaps:
        """Of today, and what yesterday left behind."""
        found = UnitMishaps()
        for d in (day - 1, day):
            found += unit_mishaps(self.seed, self.number, d, self.span(d), self.faults)
            found += radio_mishaps(self.seed, self.number, d, self.span(d), self.faults)
        return found

    def _radio_tags(self) -> set[int]:
        """The tags that only this unit hears, by number."""
        return {_number(activation) for activation in self.activations if activation.wearer.rf_only}

    def _tag_mishaps(self, device: int, day: int) -> TagMishaps:
        found = TagMishaps()
        for d in (day - 1, day):
            found += tag_mishaps(self.seed, device, d, self.span(d), self._tag_faults)
        return found

    def _of_itself(self, span: Interval, mishaps: UnitMishaps) -> Rows:
        """Calls, and what happens to it. That its power went is the last thing that it says."""
        calls = event_rows(self._calls(span, 0), "HEARTBEAT", True)
        calls = calls[~within(calls["at_ms"], list(mishaps.silent))]
        said = [(at, kind) for at, kind in mishaps.events if kind != "HMU_MOVED" or not _lies_in(at, mishaps.silent)]
        return np.concatenate([calls, *(event_rows(np.array([at], np.int64), kind, True) for at, kind in said)])

    def _calls(self, span: Interval, early_s: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The instants `early_s` before a call."""
        step_ms = self.call_in_s * SECOND_MS
        phase_ms = (self.number * 37 % self.call_in_s - early_s) * SECOND_MS
        first = span[0] + (phase_ms - span[0]) % step_ms
        return np.arange(first, span[1], step_ms, dtype=np.int64)

    def _of_tags(self, day: int, span: Interval, mishaps: UnitMishaps) -> Iterator[Rows]:
        heard = self.heard(day)
        for activation in self.activations:
            worn = worn_in(activation, span)
            if worn is not None:
                rows = np.concatenate(list(self._of_tag(activation, day, span, heard, mishaps)))
                rows = rows[within(rows["at_ms"], [worn])]
                yield rows[~within(rows["at_ms"], list(mishaps.silent))]

    def _of_tag(
        self, activation: Activation, day: int, span: Interval, heard: list[Interval], mishaps: UnitMishaps
    ) -> Iterator[Rows]:
        """Changes at once, that it is heard with each call, and anew whether it is after what could have changed that."""
        device = _number(activation)
        came = [begin for begin, _ in heard if begin > span[0]]
        left = [end for _, end in heard if end < span[1]]
        for at in self._settled(activation, mishaps):
            (came if _lies_in(at, heard) else left).append(at)
        yield event_rows(np.unique(np.array(came, np.int64)), "RF_IN", True, tag=device)
        yield event_rows(np.unique(np.array(left, np.int64)), "RF_OUT", True, tag=device)
        again = self._calls(span, 1 + self.number % 9)
        yield event_rows(again[within(again, heard)], "HEARTBEAT", False, tag=device)
        if activation.wearer.rf_only:
            yield from self._told_by_radio(device, day, heard)

    def _settled(self, activation: Activation, mishaps: UnitMishaps) -> list[int]:
        """When the unit looks whether it hears a tag, without a change of range."""
        powered = [end + AFTER_POWER_S * SECOND_MS for _, end in mishaps.silent]
        moved = [at + AFTER_MOVING_S * SECOND_MS for at, kind in mishaps.events if kind == "HMU_MOVED"]
        return [activation.begin_ms, *powered, *moved]

    def _told_by_radio(self, device: int, day: int, heard: list[Interval]) -> Iterator[Rows]:
        """Strap, case and battery of a tag without a network: the unit learns of it when it hears the tag, and stamps it then.
        A tag remembers for a day what it has to tell."""
        lately = [*self.heard(day - 1), *heard]
        told: list[int] = []
        for at, kind in sorted(self._tag_mishaps(device, day).events):
            when = next((max(at, begin) for begin, end in lately if end > at), None)
            if when is not None:
                told.append(max([when, *(one + SECOND_MS for one in told)]))
                yield event_rows(np.array(told[-1:], np.int64), kind, True, tag=device)
        yield no_rows()


def _number(activation: Activation) -> int:
    return int(activation.device_id[1:])


def _lies_in(at_ms: int, intervals: tuple[Interval, ...] | list[Interval]) -> bool:
    return any(begin <= at_ms < end for begin, end in intervals)
