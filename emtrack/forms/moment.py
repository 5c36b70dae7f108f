"""Instants as forms carry them."""

from __future__ import annotations

from geofence import FOREVER_MS


class Moment:
    """An instant as a form carries it: ISO 8601 with a zone, cut to milliseconds."""

    __slots__ = ("ms",)

    def __init__(self, ms: int) -> None:
        self.ms = ms


def end_of(moment: Moment | None) -> int:
    """Milliseconds of an end; FOREVER_MS where it is open."""
    return FOREVER_MS if moment is None else moment.ms
