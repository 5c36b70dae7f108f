"""Worlds, each judged in every way, and what was counted in all of them."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.detection.causes import why_false, why_missed
from benchmarks.detection.methods import ALONE, METHODS, Way
from benchmarks.detection.requirements import COMPARED
from benchmarks.detection.scores import TARGET_MS, Found, Score, Violation, false_ones, score, touches
from benchmarks.detection.sent import Sent, sent_by
from benchmarks.detection.truth import Seen, seen, violations_of
from benchmarks.detection.watching import View, view_of
from emtrack.emulator import World, build_world
from geofence import Requirement
from geofence.judgement import DAY_MS

START_MS = 1_772_409_600_000  # 2026-03-02T00:00:00Z, a Monday

WEARERS_AT_ONCE = 40
"""A world of its own: bounds the memory, and is the smallest in which a tag is used again."""

WATCHED = (
    "standard",
    *(f"{name}.2" for name in ("clean", "urban_canyon", "lbs_heavy", "gaps", "jumps", "standard")),
    "rf_only",
)
"""Where it is counted what an operator was shown meanwhile, of the first WEARERS_AT_ONCE people: their facts are judged one upload
after the other, which takes as long as all that is judged at the end."""

JUDGE_STAYS = ("core", ALONE)

Cell = tuple[str, str, str]
"""Preset, method (or name of a change), kind."""


@dataclass
class Outcome:
    """What a run counted. Outcomes add up."""

    scores: dict[Cell, Score] = field(default_factory=lambda: defaultdict(Score))
    false_by: Counter[Cell] = field(default_factory=Counter)
    missed_by: Counter[Cell] = field(default_factory=Counter)
    """(preset, kind, cause) of the core."""
    views: dict[str, View] = field(default_factory=lambda: defaultdict(View))
    """By preset."""

    def take(self, other: Outcome) -> None:
        for cell, one in other.scores.items():
            self.scores[cell] += one
        self.false_by += other.false_by
        self.missed_by += other.missed_by
        for preset, view in other.views.items():
            self.views[preset].take(view)


class Job(NamedTuple):
    """One world of at most WEARERS_AT_ONCE people, numbered from `first`."""

    preset: str
    seed: int
    first: int
    wearers: int
    days: int


def jobs_of(presets: Sequence[str], *, wearers: int, days: int, seed: int) -> list[Job]:
    return [
        Job(preset, seed, first, min(WEARERS_AT_ONCE, wearers + 1 - first), days)
        for preset in presets
        for first in range(1, wearers + 1, WEARERS_AT_ONCE)
    ]


def run(job: Job) -> Outcome:
    """One world, judged in every way."""
    world = build_world(job.wearers, job.seed, START_MS, preset=job.preset, first=job.first, spare_after=900_000)
    end_ms = START_MS + job.days * DAY_MS
    by_wearer: dict[str, list[Sent]] = defaultdict(list)
    for sent in sent_by(world, end_ms):
        by_wearer[sent.plan.activation.wearer_id].append(sent)
    outcome = Outcome()
    for wearer_id, activations in by_wearer.items():
        _judge_wearer(outcome, job, world, wearer_id, activations, end_ms)
    outcome.scores, outcome.views = dict(outcome.scores), dict(outcome.views)
    return outcome


def _judge_wearer(
    outcome: Outcome, job: Job, world: World, wearer_id: str, activations: Sequence[Sent], end_ms: int
) -> None:
    looks = [seen(world, sent) for sent in activations]
    truth = violations_of(world, wearer_id, end_ms, looks)
    if job.preset in WATCHED and job.first == 1:
        outcome.views[job.preset].take(view_of(world, activations, truth, end_ms))
    for name, find in ways_of(activations).items():
        found = [(sent, one) for sent in activations for one in find(sent, end_ms)]
        for requirement in activations[0].plan.requirements:
            its = [(sent, one) for sent, one in found if one.requirement_id == requirement.requirement_id]
            violations = truth.get(requirement.requirement_id, [])
            if name not in JUDGE_STAYS and requirement.kind not in COMPARED:
                continue
            cell = job.preset, name, str(requirement.kind)
            outcome.scores[cell] += score(violations, [one for _, one in its])
            if name == "core":
                _explain(outcome, job.preset, world, requirement, its, violations, looks)


def ways_of(activations: Sequence[Sent]) -> dict[str, Way]:
    """How one wearer is judged: without positions there is nothing to judge by positions only."""
    by_units = any(sent.plan.is_heard_by_units_only for sent in activations)
    return {name: way for name, way in METHODS.items() if not (by_units and name == ALONE)}


def _explain(
    outcome: Outcome,
    preset: str,
    world: World,
    requirement: Requirement,
    found: Sequence[tuple[Sent, Found]],
    violations: Sequence[Violation],
    looks: Sequence[Seen],
) -> None:
    kind = str(requirement.kind)
    for sent, one in found:
        if false_ones(violations, [one]):
            outcome.false_by[preset, kind, why_false(world, sent, requirement, one, violations)] += 1
    for violation in violations:
        asked = violation.findable and violation.lasted_ms >= TARGET_MS
        if asked and not any(touches(one, violation[:2]) for _, one in found):
            outcome.missed_by[preset, kind, why_missed(looks, requirement.requirement_id, violation)] += 1


def run_all(jobs: Sequence[Job], processes: int) -> Outcome:
    """Every job; the outcome does not depend on how many processes share them."""
    total = Outcome()
    if processes == 1:
        for job in jobs:
            total.take(run(job))
        return total
    with ProcessPoolExecutor(processes) as pool:
        for job, outcome in zip(jobs, pool.map(run, jobs), strict=True):
            total.take(outcome)
            print(f"{job.preset} from {job.first}", file=sys.stderr)
    return total
