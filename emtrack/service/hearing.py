"""Whether a worker hears anybody. Between it and the devices are gateways and the stream, and what is away there looks like silence.

A gateway puts a sign of life into the lane of each shard once a second (`emtrack/stream/publishing.py`); whatever is read there is
one, too. So what a device sent before a sign has come as far as the worker when the sign has. Nobody is judged by the clock past the
last sign of their shard: what is found there would stay, and be wrong if the shard turns out to have been away. So judged time
follows the shard that was heard least, until that had no sign for longer than `longest_s`. Then it had an outage: from its last one
on, exactly as if its worker had not run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from emtrack.clock import Clock

LONGEST_S = 5.0
"""As between two commits (RULES.md section 8)."""
MOST_BEHIND_MS = 10_000
"""That a report may be said to be received before it is, so that what was sent now does not lie in the future. Only an emulated clock
comes so far in `LONGEST_S`."""


class Sign(NamedTuple):
    """When something was heard: by the stopwatch, and by the service's clock."""

    at_s: float
    at_ms: int


class Heard(NamedTuple):
    """What a turn knows of the signs of its shards. `now`: when it looked; `rate`: of the service's clock; `before`: the newest that
    the turn before knew; `newest`: now."""

    now: Sign
    rate: float
    before: Mapping[int, Sign]
    newest: Mapping[int, Sign]

    def judged_to_ms(self, longest_s: float, *, has_reports: bool, due_ms: int) -> int:
        """The instant up to which a turn may judge. `due_ms`: when something is next found by the clock alone. If nothing is by now,
        reports in hand are received now, and wait for no sign of another shard; nor where all shards have an outage to now. While a
        shard is unheard, time moves in whole seconds: each step of it is an outage of that shard in the record."""
        fresh_ms = [sign.at_ms for sign in self.newest.values() if self.now.at_s - sign.at_s <= longest_s]
        to_ms = (
            min(fresh_ms) if fresh_ms else max((sign.at_ms for sign in self.newest.values()), default=self.now.at_ms)
        )
        if has_reports:
            is_free = not fresh_ms or due_ms > self.now.at_ms
            to_ms = self.now.at_ms if is_free else max(to_ms, self.now.at_ms - MOST_BEHIND_MS)
        if len(fresh_ms) < len(self.newest):
            to_ms -= to_ms % round(1000 * max(1.0, self.rate))
        return to_ms

    def unheard_since_ms(self, judged_ms: int, longest_s: float) -> dict[int, int]:
        """The shards that nobody was heard in for too long, each since when: between two signs, or, where there is none now, from the
        newest to the instant up to which the turn judges, which orders may have moved on. A machine whose clock is ahead moves it
        on, too; who has a sign of now was heard all the same."""
        found = {}
        for shard, newest in self.newest.items():
            before = self.before[shard]
            if newest.at_s - before.at_s > longest_s:
                found[shard] = before.at_ms
            elif self.now.at_s - newest.at_s > longest_s and judged_ms > newest.at_ms:
                found[shard] = newest.at_ms
        return found


class Hearing:
    """Of the shards that a worker holds. `sign_s`: when the last sign of a shard was read, by the same stopwatch; None: none was."""

    def __init__(self, sign_s: Callable[[int], float | None], stopwatch: Callable[[], float]) -> None:
        self._sign_s = sign_s
        self._stopwatch = stopwatch
        self._signs: dict[int, Sign] = {}

    def begin(self, shards: Collection[int], now_ms: int) -> None:
        """They are ours, and the time before is an outage already if it was one."""
        self._signs |= dict.fromkeys(shards, Sign(self._stopwatch(), now_ms))

    def end(self, shards: Collection[int]) -> None:
        for shard in shards:
            self._signs.pop(shard, None)

    def look(self, clock: Clock) -> Heard:
        """Nothing changes until it is adopted."""
        now_s, now_ms = self._stopwatch(), clock.now_ms()
        newest = {}
        for shard, known in self._signs.items():
            at_s = self._sign_s(shard)
            if at_s is None or at_s <= known.at_s:
                newest[shard] = known
            else:
                at_ms = now_ms - round((now_s - at_s) * 1000 * clock.rate)
                newest[shard] = Sign(at_s, max(known.at_ms, at_ms))
        return Heard(Sign(now_s, now_ms), clock.rate, dict(self._signs), newest)

    def unheard_s(self) -> dict[int, float]:
        """How long ago each shard had its last sign."""
        now_s = self._stopwatch()
        return {
            shard: now_s - max(known.at_s, self._sign_s(shard) or known.at_s) for shard, known in self._signs.items()
        }

    def adopt(self, heard: Heard) -> None:
        """What a turn knew is committed, with the outages that it means."""
        self._signs |= {shard: sign for shard, sign in heard.newest.items() if shard in self._signs}
