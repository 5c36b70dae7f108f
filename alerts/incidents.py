"""Platform incidents: when many tags of one network fall silent at once, it is the network (RULES.md section 8). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

INCIDENT = "PLATFORM_INCIDENT"
"""The kind of its alert; it is no kind of finding."""
WINDOW_MS = 10 * 60_000
LEAST = 20
LEAST_SHARE = 0.2


class Silence(NamedTuple):
    """One NO_COMMUNICATION finding of a network."""

    begin_ms: int
    finding_no: int
    activation_no: int


class Burst(NamedTuple):
    """Silences that make an incident. `known_ms`: the begin of the one that completed it."""

    known_ms: int
    silences: list[Silence]


def burst(silences: Sequence[Silence], activations: int) -> Burst | None:
    """The first window of 10 minutes in which enough activations of the network fell silent, with every silence that
    goes on from it without a gap of more than that. `silences`: in order of their begin. `activations`: of the network."""
    enough = max(LEAST, LEAST_SHARE * activations)
    first = 0
    for last, silence in enumerate(silences):
        while silence.begin_ms - silences[first].begin_ms > WINDOW_MS:
            first += 1
        if len({s.activation_no for s in silences[first : last + 1]}) >= enough:
            return Burst(silence.begin_ms, going_on(silences, silences[first].begin_ms))
    return None


def going_on(silences: Sequence[Silence], from_ms: int) -> list[Silence]:
    """The silences from an instant on, each at most 10 minutes after the one before. In order of their begin."""
    found: list[Silence] = []
    reach_ms = from_ms
    for silence in silences:
        if from_ms <= silence.begin_ms <= reach_ms + WINDOW_MS:
            found.append(silence)
            reach_ms = silence.begin_ms
    return found
