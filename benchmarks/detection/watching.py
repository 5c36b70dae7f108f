"""What is counted of what an operator was shown: alerts that were raised and then amended or withdrawn, how late they were, versions,
possible entries, and the time from inside a zone to the alert."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.detection.requirements import is_exclusion, margins_m
from benchmarks.detection.scores import Violation
from benchmarks.detection.sent import Sent
from benchmarks.detection.shown import Entry, Meanwhile, Shown, shown_meanwhile
from emtrack.emulator import World
from geofence import Position, Requirement

DAY_MS = 86_400_000


@dataclass
class Watched:
    """Of one kind: findings that were shown, their versions, alerts, what became of them, and how late they were raised (ms)."""

    versions: list[int] = field(default_factory=list)
    amended: int = 0
    withdrawn: int = 0
    late_ms: list[int] = field(default_factory=list)

    def __add__(self, other: Watched) -> Watched:
        return Watched(**{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__})

    @property
    def raised(self) -> int:
        return len(self.late_ms)


@dataclass
class Entries:
    """Of exclusion zones: `wearer_days` of people who must keep out of one. `false`: nobody was inside when the position says so.
    `alert_ms`: from the first position wholly inside, by a tag that could send, to the alert; `late_ms`: of the other tags."""

    wearer_days: float = 0.0
    raised: int = 0
    confirmed: int = 0
    false: int = 0
    alert_ms: list[int] = field(default_factory=list)
    late_ms: list[int] = field(default_factory=list)
    never: int = 0
    """Somebody was inside and a position said so, and no alert came."""

    def __add__(self, other: Entries) -> Entries:
        return Entries(**{name: getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__})


@dataclass
class View:
    """Of the wearers of a world. Views add up."""

    kinds: dict[str, Watched] = field(default_factory=lambda: defaultdict(Watched))
    entries: Entries = field(default_factory=Entries)

    def take(self, other: View) -> None:
        for kind, one in other.kinds.items():
            self.kinds[kind] += one
        self.entries += other.entries


def view_of(
    world: World,
    activations: Sequence[Sent],
    truth: Mapping[str, Sequence[Violation]],
    end_ms: int,
) -> View:
    """What was shown of one wearer."""
    view = View()
    shown = [(sent, shown_meanwhile(sent, end_ms)) for sent in activations]
    for _, meanwhile in shown:
        for one in meanwhile.findings:
            view.kinds[str(one.finding.kind)] += _watched(one)
    for requirement in activations[0].plan.requirements:
        if is_exclusion(requirement):
            view.entries += _entries(world, requirement, shown, truth)
    if view.entries.wearer_days:
        view.entries.wearer_days = (end_ms - world.start_ms) / DAY_MS
    view.kinds = dict(view.kinds)
    return view


def _watched(one: Shown) -> Watched:
    if one.raised_ms is None or one.raised_as is None:
        return Watched([one.versions])
    late_ms = one.raised_ms - one.raised_as.known_ms
    return Watched([one.versions], int(one.was_amended_after), int(one.is_withdrawn), [late_ms])


def _entries(
    world: World,
    requirement: Requirement,
    shown: Sequence[tuple[Sent, Meanwhile]],
    truth: Mapping[str, Sequence[Violation]],
) -> Entries:
    violations = truth.get(requirement.requirement_id, [])
    found = Entries(wearer_days=1.0)
    for sent, meanwhile in shown:
        for entry in meanwhile.entries:
            if entry.requirement_id == requirement.requirement_id:
                found.raised += 1
                found.confirmed += entry.fate == "confirmed"
                found.false += not _was_inside(violations, entry.at_ms - sent.skew_ms)
    for violation in violations:
        _time_one(found, world, requirement, violation, shown)
    return found


def _was_inside(violations: Sequence[Violation], at_ms: int) -> bool:
    return any(violation.begin_ms <= at_ms < violation.end_ms for violation in violations)


def _time_one(
    found: Entries,
    world: World,
    requirement: Requirement,
    violation: Violation,
    shown: Sequence[tuple[Sent, Meanwhile]],
) -> None:
    """From the first position that was wholly inside to the first alert that says so."""
    firsts = [
        (at_ms, sent) for sent, _ in shown if (at_ms := _first_inside_ms(sent, requirement, violation)) is not None
    ]
    if not firsts:
        return
    at_ms, sent = min(firsts, key=lambda pair: pair[0])
    alerts_ms = [alert for pair in shown for alert in _alerts_ms(*pair, requirement, violation)]
    if not alerts_ms:
        found.never += 1
        return
    away = world.unreachable(sent.plan.activation.device_id, violation.begin_ms, violation.end_ms)
    in_coverage = not any(begin_ms <= at_ms + 60_000 and at_ms < end_ms for begin_ms, end_ms in away)
    (found.alert_ms if in_coverage else found.late_ms).append(min(alerts_ms) - at_ms)


def _first_inside_ms(sent: Sent, requirement: Requirement, violation: Violation) -> int | None:
    """The true instant of the first position, while it lasted, whose circle lies in the zone."""
    around: list[Position] = [
        p for p in sent.positions if violation.begin_ms <= p.fix_ms - sent.skew_ms < violation.end_ms
    ]
    if not around:
        return None
    margin_m = margins_m([requirement], [p.lon_deg for p in around], [p.lat_deg for p in around])[:, 0]
    inside = margin_m + requirement.widen_m >= np.array([p.radius_m for p in around])
    return min(
        (p.fix_ms - sent.skew_ms for p, is_in in zip(around, inside.tolist(), strict=True) if is_in), default=None
    )


def _alerts_ms(sent: Sent, meanwhile: Meanwhile, requirement: Requirement, violation: Violation) -> Iterator[int]:
    """When an alert said that somebody was inside, of what was then said to be at the time of a violation."""
    for entry in meanwhile.entries:
        if _is_of(entry, requirement, violation, sent.skew_ms):
            yield entry.raised_ms
    for one in meanwhile.findings:
        finding = one.finding
        if (
            one.raised_ms is None
            or finding.requirement_id != requirement.requirement_id
            or finding.kind != "EXCLUSION"
        ):
            continue
        end_ms = violation.end_ms if finding.end_ms is None else finding.end_ms - sent.skew_ms
        if finding.begin_ms - sent.skew_ms < violation.end_ms and violation.begin_ms < end_ms + 1:
            yield one.raised_ms


def _is_of(entry: Entry, requirement: Requirement, violation: Violation, skew_ms: int) -> bool:
    at_ms = entry.at_ms - skew_ms
    return entry.requirement_id == requirement.requirement_id and violation.begin_ms <= at_ms < violation.end_ms
