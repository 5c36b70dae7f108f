"""Where the time of a turn goes, stage by stage."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from prometheus_client import Counter


class Stage(StrEnum):
    """Of a turn, in order."""

    PREPARE = "prepare"
    STORE = "store"
    JUDGE = "judge"
    RECORD = "record"
    LOOK = "look"
    COMMIT = "commit"
    ANSWER = "answer"


class StageClock:
    """Adds the time since the stage before to a counter."""

    def __init__(self, seconds: Counter, stopwatch: Callable[[], float]) -> None:
        self._of = {stage: seconds.labels(str(stage)) for stage in Stage}
        self._stopwatch = stopwatch
        self._last_s = 0.0

    def begin(self) -> None:
        """A turn begins."""
        self._last_s = self._stopwatch()

    def passed(self, stage: Stage) -> None:
        """A stage is over."""
        now_s = self._stopwatch()
        self._of[stage].inc(max(0.0, now_s - self._last_s))
        self._last_s = now_s
