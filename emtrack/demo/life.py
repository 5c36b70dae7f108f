"""One invented life: what went wrong and right with somebody, and what they did. Pure; everything else is written from it.

The same life moves the tag and fills the record. Whoever is prone to break an order offends more. Who goes to work with the tag has
work; who drinks, or is ordered to a treatment, has that need; at the address of the curfew somebody lives, whatever they lost
before. While a tag is worn nothing happens that it would deny: nobody loses their bed who is seen at home each night, and nobody
offends at home. A turn for the worse or the better is of a need that the person has, or of none; each grade that was given before
the tag follows from one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from random import Random
from typing import Final, NamedTuple

import numpy as np

from emtrack.demo.turns import ALWAYS, COURSES, KINDS_WHILE_WORN, TURNS, Turn, TurnKind, may_follow, turns_of_needs
from emtrack.emulator.chance import dice
from emtrack.emulator.geometry import distance_m, to_frame
from emtrack.emulator.iom import GRADES
from emtrack.emulator.people import Wearer
from emtrack.emulator.schedule import DAY_MS, HOUR_MS, MINUTE_MS, iso_of
from emtrack.emulator.world import World

SHAPE, MEAN = 0.8, 1.6
"""Of the rates in the town: proven offences a year, gamma."""
PRONE, NOT_PRONE = 1.8, 0.8
"""Times the rate; one in five is prone, so the mean stays."""
EFFECT: Final = 0.75
"""While somebody is in the programme the rate is so much of what it was: what is true of this town is known."""
PICKED_FROM: Final = 3
"""Offences in the year before that get somebody picked."""
MONTHS_BACK: Final = (2, 34)
YEARS_BEFORE: Final = 3
YEAR_MS: Final = round(365.25 * DAY_MS)
KINDS: Final = (
    ("SHOPLIFTING", 30), ("THEFT_FROM_PERSON", 10), ("VEHICLE", 14), ("RESIDENTIAL_BURGLARY", 18), ("CRIMINAL_DAMAGE", 10),
    ("VIOLENCE_WITH_INJURY", 8), ("ROBBERY", 4), ("OTHER", 6),
)  # fmt: skip
CHARGED_WITHIN_MS: Final = 14 * DAY_MS
"""An offence so short before a grade that went up is its reason."""
TURN_EVERY_DAYS: Final = 30.0
"""While the tag is worn."""
AWAY_M: Final = 300.0
TREATMENT_STAY_S: Final = 2_700
"""How long a treatment lasts at least; an appointment with another is unpaid work."""


class Offended(NamedTuple):
    at_ms: int
    kind: str


class Step(NamedTuple):
    """A grade that was given, and whether things had turned for the better."""

    grade: str
    at_ms: int
    is_better: bool


WhenOut = Callable[[int], int | None]
"""An instant of the same day at which somebody was away from home; None: they never were."""


class Life:
    """`wearer` None: somebody without a tag, who left the programme (F…), never was in it (N…), or is in a story. `begin_ms`: when
    the tag was fitted. `picked_ms`: since when they are in the programme; None: as it falls. `when_out`: None: nobody knows where
    they were."""

    def __init__(
        self,
        seed: int,
        reference: str,
        name: str,
        end_ms: int,
        wearer: Wearer | None = None,
        *,
        begin_ms: int | None = None,
        picked_ms: int | None = None,
        when_out: WhenOut | None = None,
    ) -> None:
        self._rng = dice(seed, f"life of {reference}")
        self.seed = seed
        self.reference = reference
        self.name = name
        self.wearer = wearer
        self.begin_ms = end_ms if begin_ms is None else begin_ms
        self.end_ms = end_ms
        self.was_picked = not reference.startswith("N")
        self.steps = _steps(wearer)
        self.picked_ms = self._picked_ms(picked_ms)
        self.left_ms = self._leaving() if reference.startswith("F") else None
        self.rate, self.year_before = self._rate()
        self.needs = _needs(wearer)
        self.offences = list(self._offences(when_out))
        self.begins_well = {need: self._begins_well(need) for need in self.needs}
        self.turns = sorted(self._turns(), key=lambda turn: turn.at_ms)

    # -------------------------------------------------------------- the programme

    def _picked_ms(self, given_ms: int | None) -> int:
        """Before the first grade, if there is one."""
        months = self._rng.uniform(*MONTHS_BACK)
        if given_ms is not None:
            return given_ms
        at_ms = self.end_ms - round(months * 30.4 * DAY_MS)
        return min([at_ms, *(step.at_ms - DAY_MS for step in self.steps[:1])])

    def _leaving(self) -> int:
        stayed_ms = round(self._rng.uniform(5, 18) * 30.4 * DAY_MS)
        return min(self.picked_ms + stayed_ms, self.end_ms - 5 * DAY_MS)

    def _rate(self) -> tuple[float, int]:
        """The rate, and what was done in the year before being picked: of those who are picked, enough."""
        times = 1.0 if self.wearer is None else PRONE if self.wearer.prone else NOT_PRONE
        while True:
            rate = times * self._rng.gammavariate(SHAPE, MEAN / SHAPE)
            count = poisson(self._rng, rate)
            if not self.was_picked or count >= PICKED_FROM:
                return rate, count

    # -------------------------------------------------------------- offences

    def _offences(self, when_out: WhenOut | None) -> Iterator[Offended]:
        """Some years before, the year before as it was picked for, and what came after; while a tag is worn, away from home."""
        for at_ms in sorted(self._instants()):
            kind = weighted(self._rng, KINDS)
            moved = when_out(at_ms) if when_out is not None and at_ms >= self.begin_ms else at_ms
            if moved is not None:
                yield Offended(moved, kind)

    def _instants(self) -> Iterator[int]:
        begin_ms, year_ms = self.picked_ms - YEARS_BEFORE * YEAR_MS, self.picked_ms - YEAR_MS
        for _ in range(poisson(self._rng, self.rate * (YEARS_BEFORE - 1))):
            yield round(self._rng.uniform(begin_ms, year_ms))
        for _ in range(self.year_before):
            yield round(self._rng.uniform(year_ms, self.picked_ms))
        until_ms = self.left_ms or self.end_ms
        inside = self.rate * (EFFECT if self.was_picked else 1.0)
        for span, rate in (((self.picked_ms, until_ms), inside), ((until_ms, self.end_ms), self.rate)):
            for _ in range(poisson(self._rng, rate * max(0, span[1] - span[0]) / YEAR_MS)):
                yield round(self._rng.uniform(*span))

    # -------------------------------------------------------------- turns

    def _begins_well(self, need: str) -> bool:
        """At the beginning of the programme; work has only who goes to work."""
        is_well = self._rng.random() < 0.5
        if need == "EDUCATION_TRAINING_EMPLOYMENT" and (self.wearer is None or self.wearer.work is None):
            return False
        return is_well

    def _turns(self) -> Iterator[Turn]:
        if self.wearer is None:
            return
        is_well = dict(self.begins_well)
        done: set[TurnKind] = set()

        def happens(kind: TurnKind, at_ms: int, offence: str | None = None) -> Turn:
            need = TURNS[kind].need
            if need is not None and kind not in ALWAYS:
                is_well[need] = TURNS[kind].is_better
            done.add(kind)
            return Turn(kind, at_ms, offence)

        for step in self.steps[1:]:
            at_ms = step.at_ms - self._rng.randrange(20, 90) * MINUTE_MS
            offence = None if step.is_better else self._just_before(at_ms)
            if offence is not None:
                yield happens(TurnKind.CHARGED, at_ms, offence.kind)
            else:
                yield happens(self._one_of(list(TurnKind), step.is_better, is_well, done), at_ms)
        for kind in self._to_be_settled(is_well):
            yield happens(kind, self._before_the_tag())
        for at_ms in self._days_of_turns():
            yield happens(self._one_of(KINDS_WHILE_WORN, self._rng.random() < 0.5, is_well, done), at_ms)

    def _one_of(
        self, kinds: Sequence[TurnKind], is_better: bool, is_well: dict[str, bool], done: set[TurnKind]
    ) -> TurnKind:
        fit = turns_of_needs(kinds, self.needs, is_better)
        fit = [kind for kind in fit if may_follow(kind, is_well) and not (kind in COURSES and kind in done)]
        if self.wearer is None or self.wearer.work is None:
            fit = [kind for kind in fit if kind is not TurnKind.JOB_FOUND]
        return self._rng.choice(fit)

    def _just_before(self, at_ms: int) -> Offended | None:
        near = [one for one in self.offences if at_ms - CHARGED_WITHIN_MS <= one.at_ms < at_ms]
        return near[-1] if near else None

    def _to_be_settled(self, is_well: dict[str, bool]) -> Iterator[TurnKind]:
        """What must have come about by the time the tag shows it: a home, work, treatment."""
        assert self.wearer is not None, "the tag of somebody"
        if is_well.get("ACCOMMODATION") is False:
            yield TurnKind.BED_FOUND
        if self.wearer.work is not None and is_well.get("EDUCATION_TRAINING_EMPLOYMENT") is False:
            yield TurnKind.JOB_FOUND
        if is_treated(self.wearer) and not is_well["DRUGS_ALCOHOL"]:
            yield TurnKind.TREATMENT_BEGUN

    def _before_the_tag(self) -> int:
        last_ms = max([self.picked_ms, *(step.at_ms for step in self.steps)])
        first_ms = min(last_ms + HOUR_MS, self.begin_ms - HOUR_MS)
        return round(self._rng.uniform(max(first_ms, self.begin_ms - 60 * DAY_MS), self.begin_ms - HOUR_MS))

    def _days_of_turns(self) -> Iterator[int]:
        """In office hours."""
        for day_ms in range(self.begin_ms // DAY_MS * DAY_MS, self.end_ms, DAY_MS):
            at_ms = day_ms + 9 * HOUR_MS + self._rng.randrange(8 * 60) * MINUTE_MS
            happens = self._rng.random() < 1 / TURN_EVERY_DAYS
            if happens and self.begin_ms < at_ms < self.end_ms:
                yield at_ms

    # -------------------------------------------------------------- what is asked of it

    def grades(self) -> list[dict[str, str]]:
        """The grades that were given before the tag, each with the turn that it followed from: the first by the panel."""
        if self.wearer is None or not self.steps:
            return []
        by = self.wearer.iom["lead_officer"]
        first = f"selected by the panel: {self.year_before} proven offences in twelve months"
        found = [{"grade": self.steps[0].grade, "from": iso_of(self.picked_ms), "reason": first, "by": by}]
        for step, turn in zip(self.steps[1:], self.turns, strict=False):
            found.append({"grade": step.grade, "from": iso_of(step.at_ms), "reason": turn.words, "by": by})
        return found

    def is_quiet_since(self, at_ms: int) -> bool:
        """Nothing was done, and nothing went wrong."""
        return not any(one.at_ms >= at_ms for one in self.offences) and not any(
            turn.at_ms >= at_ms and not turn.is_better for turn in self.turns
        )


def life_of(world: World, wearer: Wearer, end_ms: int) -> Life:
    def when_out(at_ms: int) -> int | None:
        begin_ms = max(at_ms // DAY_MS * DAY_MS + 6 * HOUR_MS, world.start_ms)
        instants = np.arange(begin_ms, min(begin_ms + 17 * HOUR_MS, end_ms), 10 * MINUTE_MS, dtype=np.int64)
        lon, lat = world.position(wearer.wearer_id, instants)
        places = zip(instants.tolist(), lon.tolist(), lat.tolist(), strict=True)
        return next((at for at, x, y in places if distance_m(to_frame(x, y), wearer.home) > AWAY_M), None)

    return Life(world.seed, wearer.wearer_id, wearer.name, end_ms, wearer, begin_ms=world.start_ms, when_out=when_out)


def lives_of(worlds: Sequence[World], end_ms: int) -> list[Life]:
    """Of everybody who wears a tag."""
    return [life_of(world, wearer, end_ms) for world in worlds for wearer in world.wearers]


def is_treated(wearer: Wearer) -> bool:
    return wearer.attendance is not None and wearer.attendance.stay_s == TREATMENT_STAY_S


def _needs(wearer: Wearer | None) -> tuple[str, ...]:
    """As assessed; and what the tag says: who drinks or is ordered to a treatment has that need."""
    if wearer is None:
        return ()
    needs = list(wearer.iom.get("pathways", ()))
    if (wearer.drinks is not None or is_treated(wearer)) and "DRUGS_ALCOHOL" not in needs:
        needs.append("DRUGS_ALCOHOL")
    return tuple(needs)


def _steps(wearer: Wearer | None) -> list[Step]:
    found: list[Step] = []
    for given in () if wearer is None else wearer.iom.get("rag_history", ()):
        at_ms = round(datetime.fromisoformat(given["from"]).timestamp() * 1_000)
        is_better = bool(found) and GRADES.index(given["grade"]) < GRADES.index(found[-1].grade)
        found.append(Step(given["grade"], at_ms, is_better))
    return found


def poisson(rng: Random, mean: float) -> int:
    """By counting how many exponential waits fit (Knuth); the means here are small."""
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def weighted(rng: Random, chances: Sequence[tuple[str, int]]) -> str:
    return rng.choices([name for name, _ in chances], [weight for _, weight in chances])[0]
