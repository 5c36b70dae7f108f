"""Bands of in, out and not known as pages draw them, and as the table beside them says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from emtrack.reading.band import Band, BandPart
from emtrack.web.wording import IntervalWords, Words
from geofence import Presence

WIDTH = 1000
"""Of the drawing, which is stretched over the page."""
WORDS = {Presence.INSIDE: "In", Presence.OUTSIDE: "Out", Presence.UNKNOWN: "Not known"}
NAMES = {Presence.INSIDE: "in", Presence.OUTSIDE: "out", Presence.UNKNOWN: "unknown"}


class DrawnPart(NamedTuple):
    """A stretch: where it is drawn, and its line of the table."""

    x: float
    width: float
    name: str
    what: str
    span: IntervalWords


class DrawnBand(NamedTuple):
    """`title`: of which tag and curfew; `begin`, `end`: of the time that is drawn."""

    title: str
    begin: str
    end: str
    parts: list[DrawnPart]


def drawn_bands(bands: Sequence[Band], begin_ms: int, end_ms: int, words: Words) -> list[DrawnBand]:
    """Each over the same time, so that they can be compared. `end_ms` is after `begin_ms`."""
    return [
        DrawnBand(
            f"{band.requirement_id}, tag {band.device_id}",
            words.short(begin_ms),
            words.short(end_ms),
            [_part(part, begin_ms, end_ms, words) for part in band.parts],
        )
        for band in bands
    ]


def _part(part: BandPart, begin_ms: int, end_ms: int, words: Words) -> DrawnPart:
    scale = WIDTH / (end_ms - begin_ms)
    x, width = (part.begin_ms - begin_ms) * scale, (part.end_ms - part.begin_ms) * scale
    span = words.span(part.begin_ms, part.end_ms, part.end_ms)
    return DrawnPart(round(x, 2), round(width, 2), NAMES[part.presence], WORDS[part.presence], span)
