"""For which answers a request is sent again, when, and for how long."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

MOST_RETRY_AFTER_S = 300.0
NOT_TODAY = frozenset({408, 429})


@dataclass(frozen=True)
class Backoff:
    """Real seconds before attempt n is repeated: base * 2^n up to the cap, of which a random half."""

    base_s: float = 0.2
    cap_s: float = 30.0

    def delay_s(self, failures: int, rng: random.Random) -> float:
        """`failures` in a row so far, from 1."""
        whole_s = min(self.cap_s, self.base_s * 2.0 ** min(failures - 1, 30))
        return whole_s * rng.uniform(0.5, 1.0)


def is_for_the_moment(status: int) -> bool:
    """Whether the same request may go well later."""
    return status in NOT_TODAY or status >= 500


@dataclass(frozen=True)
class Persistence:
    """`again`: statuses that say to come again. `key_attempts`: a key may be entered a moment after the device, so 401 is
    believed so many times late. `patience_s`: real seconds from the first attempt to an answer (None: for ever)."""

    backoff: Backoff = Backoff()
    again: Callable[[int], bool] = is_for_the_moment
    key_attempts: int = 3
    patience_s: float | None = None


def seconds_of(retry_after: str | None) -> float:
    """Retry-After in seconds; a date, which the service does not send, counts as none."""
    try:
        return min(max(float(retry_after or 0), 0.0), MOST_RETRY_AFTER_S)
    except ValueError:
        return 0.0
