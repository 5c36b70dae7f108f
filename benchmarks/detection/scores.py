"""What is counted: findings beside the truth of their requirement, missed, false and late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from geofence import Fact, Interval, merged, subtracted

MINUTE_MS = 60_000
SHORTEST_MS = 2 * MINUTE_MS
TARGET_MS = 5 * MINUTE_MS


class Found(NamedTuple):
    """A finding, by whichever method. `heard_ms`: when all it needed to be known had been received. `rests_on`: the facts
    that opened it (core only)."""

    requirement_id: str
    begin_ms: int
    end_ms: int
    known_ms: int
    heard_ms: int
    rests_on: tuple[Fact, ...] = ()


class Violation(NamedTuple):
    """A true interval of one requirement."""

    begin_ms: int
    end_ms: int
    findable: bool

    @property
    def lasted_ms(self) -> int:
        return self.end_ms - self.begin_ms


@dataclass
class Score:
    """Counts, and the delays (ms) of the violations of at least SHORTEST_MS that were found. Scores add up."""

    violations: int = 0
    violations_missed: int = 0
    findable: int = 0
    findable_missed: int = 0
    target: int = 0
    """Findable, and of at least TARGET_MS."""
    target_missed: int = 0
    findings: int = 0
    false: int = 0
    false_ms: int = 0
    onset_ms: list[int] = field(default_factory=list)
    known_ms: list[int] = field(default_factory=list)
    heard_ms: list[int] = field(default_factory=list)

    def __add__(self, other: Score) -> Score:
        return Score(**{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__})


def touches(found: Found, truth: tuple[int, int]) -> bool:
    """Whether they overlap; a finding without length counts as an instant."""
    return found.begin_ms < truth[1] and truth[0] < max(found.end_ms, found.begin_ms + 1)


def score(violations: Sequence[Violation], findings: Sequence[Found]) -> Score:
    """Of one requirement of one wearer. `violations` in order of time and apart."""
    truth = [Interval(v.begin_ms, v.end_ms) for v in violations]
    total = Score(findings=len(findings), false=len(false_ones(violations, findings)))
    claimed = merged((f.begin_ms, f.end_ms) for f in findings)
    total.false_ms = sum(end_ms - begin_ms for begin_ms, end_ms in subtracted(claimed, truth))
    for violation in violations:
        if violation.lasted_ms >= SHORTEST_MS:
            total += _score_one(violation, [f for f in findings if touches(f, violation[:2])])
    return total


def false_ones(violations: Sequence[Violation], findings: Sequence[Found]) -> list[Found]:
    """The findings that overlap no truth of their requirement."""
    return [f for f in findings if not any(touches(f, v[:2]) for v in violations)]


def _score_one(violation: Violation, findings: Sequence[Found]) -> Score:
    missed = int(not findings)
    one = Score(violations=1, violations_missed=missed)
    if violation.findable:
        one.findable, one.findable_missed = 1, missed
        if violation.lasted_ms >= TARGET_MS:
            one.target, one.target_missed = 1, missed
    if findings:
        first = min(findings, key=lambda f: f.begin_ms)
        one.onset_ms.append(first.begin_ms - violation.begin_ms)
        one.known_ms.append(first.known_ms - violation.begin_ms)
        one.heard_ms.append(first.heard_ms - violation.begin_ms)
    return one
