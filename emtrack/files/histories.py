"""Histories out of Parquet, judged in columns by all rules: no object for a position, and no more memory than for some wearers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from emtrack.files.columns import Activations, checked, rows_in
from emtrack.files.parts import Parts, received_of
from emtrack.files.progress import Tell
from emtrack.files.refusals import Refuse
from geofence import Activation, DeviceEvent, Plan
from geofence.judgement import Finding
from geofence.shapes import ZoneSet
from geofence.sweep import judge_columns

AT_ONCE = 20
"""Wearers whose positions are in memory together."""


class Histories:
    """The positions of a file, checked and kept apart, until they are judged. Used once, as a context."""

    def __init__(self, plans: Sequence[Plan], path: Path, refuse: Refuse, tell: Tell) -> None:
        self._plans = plans
        self._folder = TemporaryDirectory(prefix="emtrack-evaluate-")
        self._tell = tell
        self._parts = Parts(Path(self._folder.name), AT_ONCE)
        self._take(path, refuse)

    def __enter__(self) -> Histories:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def _take(self, path: Path, refuse: Refuse) -> None:
        activations, done, total = Activations(self._plans), 0, rows_in([path])
        for batch in checked(path, activations):
            for row in batch.refused:
                refuse(row)
            self._parts.add(batch.fixes)
            done += batch.rows
            self._tell("reading", done, total)

    def judged(
        self, events: Mapping[str, Sequence[DeviceEvent]], sets: Mapping[str, ZoneSet], now_ms: int
    ) -> Iterator[tuple[Activation, Finding]]:
        """The findings of each plan at *now*. `events`: by activation id."""
        for first in range(0, len(self._plans), AT_ONCE):
            some = self._plans[first : first + AT_ONCE]
            fixes = self._parts.taken(first)
            fixes = fixes[np.argsort(fixes["activation"], kind="stable")]
            ends = np.searchsorted(fixes["activation"], np.arange(first, first + len(some) + 1))
            for place, plan in enumerate(some):
                received = received_of(fixes[ends[place] : ends[place + 1]], first)
                its_events = events.get(plan.activation.activation_id, ())
                for finding in judge_columns(plan, received, its_events, now_ms, sets):
                    yield plan.activation, finding
            self._tell("judging", first + len(some), len(self._plans))
