"""How long the worker waits before it tries again."""

from __future__ import annotations

SHORTEST_S, LONGEST_S = 0.5, 5.0


class BackOff:
    """Doubles from one failure to the next, and begins anew once something went well."""

    def __init__(self) -> None:
        self._next_s = SHORTEST_S

    def went_well(self) -> None:
        self._next_s = SHORTEST_S

    def next_s(self) -> float:
        """After another failure, in seconds."""
        wait_s = self._next_s
        self._next_s = min(LONGEST_S, wait_s * 2)
        return wait_s
