"""What was sent to the service, and what became of it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

SECOND_MS = 1000
BUCKET = math.log(1.05)  # latencies are counted in buckets 5 % wide


@dataclass
class Totals:
    """What was sent and what became of it. `rejected` counts reports that were dropped, by HTTP status."""

    requests: int = 0
    retries: int = 0
    reports_sent: int = 0
    acknowledged: int = 0
    unacknowledged: int = 0
    foreign_acks: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    rejected: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    latency_buckets: Counter[int] = field(default_factory=Counter)

    def timed(self, seconds: float) -> None:
        """Counts one answer."""
        self.latency_buckets[math.ceil(math.log(max(seconds, 1e-6) * SECOND_MS) / BUCKET)] += 1

    def latency_ms(self, share: float) -> float | None:
        """The latency that `share` of the answers did not exceed (5 % coarse); None without an answer."""
        wanted = math.ceil(share * sum(self.latency_buckets.values()))
        for bucket in sorted(self.latency_buckets):
            wanted -= self.latency_buckets[bucket]
            if wanted <= 0:
                return math.exp(bucket * BUCKET)
        return None

    @property
    def p50_ms(self) -> float | None:
        """Half of the answers came within this."""
        return self.latency_ms(0.5)

    @property
    def p99_ms(self) -> float | None:
        """All but a hundredth of the answers came within this."""
        return self.latency_ms(0.99)
