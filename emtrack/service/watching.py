"""Whether the service watches: turns are committed one after another, and judged time follows the clock.

A turn that commits nothing, for whatever reason, shows here and nowhere else: the worker may wait inside a statement while
everything around it is well. Judged time ahead of the clock is the other way not to watch: a start under a wrong date judged up to an
instant that has not come, and until it comes no silence is found (docs/operations.md, "Judged time ahead of the clock").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from emtrack.clock import Clock
from emtrack.metrics import Metrics
from emtrack.service.hearing import LONGEST_S as UNHEARD_S
from geofence import format_instant

LATE_S, OVERDUE_S = 60.0, 600.0
"""Of the service's clock, times its rate: of what has waited so long to be judged pages say so, and people on call are told."""
LONGEST_S = 10.0
"""Of real time: without a commit, and of judged time behind or ahead of the clock (times the rate of an emulated one)."""

log = structlog.get_logger()


class Watch:
    """What is known of the last commit. `stopwatch`: real seconds, as the worker's pace has it."""

    def __init__(self, clock: Clock, stopwatch: Callable[[], float], metrics: Metrics) -> None:
        self._clock = clock
        self._stopwatch = stopwatch
        self._committed_s: float | None = None
        self._committed_ms = self._judged_ms = 0
        self._waiting = 0
        self._waits_since_ms: int | None = None
        self._signs_s: Sequence[float] = ()
        metrics.ready.set_function(lambda: float(self.trouble() is None))
        metrics.ahead.set_function(lambda: max(0, self.ahead_ms) / 1000)
        metrics.unheard.set_function(lambda: self.unheard_s)

    def started(self, judged_ms: int) -> None:
        """Everything is loaded, and that we are ready is committed. Says so where the clock cannot be right."""
        self.committed(judged_ms)
        if self.ahead_ms > self._bound_ms:
            log.error("judged time is ahead of the clock", ahead_s=self.ahead_ms // 1000, what=self.trouble())

    def committed(self, judged_ms: int) -> None:
        """A turn is committed just now, and everything is judged to `judged_ms`."""
        self._committed_s, self._committed_ms, self._judged_ms = self._stopwatch(), self._clock.now_ms(), judged_ms

    def heard(self, signs_s: Sequence[float]) -> None:
        """When each shard that is watched here had its last sign of life, by the stopwatch."""
        self._signs_s = signs_s

    @property
    def unheard_s(self) -> float:
        """How long ago that was in the shard that has waited for one for longest."""
        return self._stopwatch() - min(self._signs_s) if self._signs_s and self._committed_s is not None else 0.0

    def waits(self, people: int, since_ms: int | None) -> None:
        """So many wait to be judged again, the first since an instant; None: nobody does."""
        self._waiting, self._waits_since_ms = people, since_ms

    @property
    def waited_ms(self) -> int:
        """For how long what has waited longest waits to be judged."""
        return 0 if self._waits_since_ms is None else self._judged_ms - self._waits_since_ms

    @property
    def is_overdue(self) -> bool:
        """Whether people on call are to know of it."""
        return self.waited_ms > OVERDUE_S * 1000 * self._clock.rate

    def late(self) -> str | None:
        """What of the watching is late, in a sentence; None: nothing is, or nobody watches at all."""
        if (
            self._committed_s is None
            or self._waits_since_ms is None
            or self.waited_ms <= LATE_S * 1000 * self._clock.rate
        ):
            return None
        of_whom = "1 tag" if self._waiting == 1 else f"{self._waiting:,} tags"
        told = f"New reports or changed orders of {of_whom} have been waiting to be judged for up to {self.waited_ms // 60_000} min."
        return f"{told} Alerts about them may come late."

    def stopped(self) -> None:
        """No turn can be taken."""
        self._committed_s = None

    @property
    def ahead_ms(self) -> int:
        """How far judged time is ahead of the clock; negative: behind it. 0 while no turn can be taken."""
        return 0 if self._committed_s is None else self._judged_ms - self._clock.now_ms()

    @property
    def _bound_ms(self) -> float:
        return LONGEST_S * 1000 * self._clock.rate

    def trouble(self) -> str | None:
        """Why nobody is watched now, in a sentence; None: all is well."""
        if self._committed_s is None:
            return "The database does not answer, or the record is being read: nobody is watched until that is done."
        if self._stopwatch() - self._committed_s > LONGEST_S:
            since = format_instant(self._committed_ms)
            return f"Nothing was committed since {since}: no report is taken and nothing is found meanwhile."
        if self.unheard_s > UNHEARD_S:
            late = sum(1 for at_s in self._signs_s if self._stopwatch() - at_s > UNHEARD_S)
            whom = who_is_not(late, len(self._signs_s))
            return f"No gateway was heard for {self.unheard_s:.0f} s, or the stream is away: {whom} watched from here meanwhile."
        if self.ahead_ms > self._bound_ms:
            return (
                f"Everything is judged to {format_instant(self._judged_ms)}, which is {self.ahead_ms // 1000} s ahead of the "
                "clock: until then no silence is found. Put the clock right; if it is right, end the service and run "
                "`emtrack db clock-back`."
            )
        if -self.ahead_ms > self._bound_ms:
            return f"What is judged is {-self.ahead_ms // 1000} s behind the clock."
        return None


def who_is_not(shards: int, of: int) -> str:
    """Some shards of all, as the subject of what is not done for them."""
    return "nobody is" if shards == of else f"{shards} of {of} shards of the people are not"
