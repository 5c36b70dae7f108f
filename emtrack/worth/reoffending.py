"""Proven reoffending: whether, how often, how gravely, how often at liberty, and with which needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple

from emtrack.forms.iom import Pathway
from emtrack.worth.intervals import Estimate, Share, mean_of, newcombe, ratio_of, wilson
from emtrack.worth.lives import PROOF_MONTHS, Deed, Index, Life, days_in, is_known, months_later, year_after


class Followed(NamedTuple):
    """A person followed up for 365 days from an index date. `free_days`: of these, how many were not of custody;
    `untold_days`: for
    how many no status is on record at all."""

    life: Life
    index_date: Index
    reoffences: tuple[Deed, ...]
    free_days: int
    untold_days: int

    @property
    def harm_days(self) -> float:
        return sum(deed.harm_days or 0.0 for deed in self.reoffences)


class FollowUp(NamedTuple):
    """`not_yet`: people whose outcome is not known yet."""

    known: tuple[Followed, ...]
    not_yet: tuple[Life, ...]


class Reoffending(NamedTuple):
    """`rate` None: nobody is known yet. `per_person`, `harm`, `at_liberty` (for 100 days): None where nothing can be
    estimated."""

    follow_up: FollowUp
    reoffended: tuple[Followed, ...]
    rate: Share | None
    per_person: Estimate | None
    harm: Estimate | None
    at_liberty: Estimate | None

    @property
    def without_harm(self) -> int:
        """Reoffences for which the index has no figure."""
        return sum(deed.harm_days is None for one in self.reoffended for deed in one.reoffences)


def follow_up(lives: Iterable[Life], begin: date, end: date, today: date) -> FollowUp:
    """People with an index date from a day to before another, once each: by their first."""
    known, not_yet = [], []
    for life in lives:
        index = next((one for one in sorted(life.indexes, key=_day) if begin <= one.day < end), None)
        if index is None:
            continue
        if is_known(index.day, today):
            known.append(_followed(life, index))
        else:
            not_yet.append(life)
    return FollowUp(tuple(known), tuple(not_yet))


def _day(index: Index) -> tuple[date, int]:
    return index.day, index.deed or 0


def _followed(life: Life, index: Index) -> Followed:
    """`Within 365 days` has the 365th day in it; a reoffence on the index date itself counts, that from which the date
    comes not."""
    last = year_after(index.day)
    by = months_later(last, PROOF_MONTHS)
    again = tuple(
        deed
        for deed in life.deeds
        if index.day <= deed.committed <= last and deed.item_no != index.deed
        if deed.proven_on is not None and deed.proven_on <= by
    )
    untold = (last - index.day).days - days_in(life.somewhere, index.day, last)
    return Followed(life, index, again, life.days_free(index.day, last), untold)


def reoffending(lives: Iterable[Life], begin: date, end: date, today: date) -> Reoffending:
    found = follow_up(lives, begin, end, today)
    again = tuple(one for one in found.known if one.reoffences)
    counts = [float(len(one.reoffences)) for one in found.known]
    return Reoffending(
        follow_up=found,
        reoffended=again,
        rate=wilson(len(again), len(found.known)),
        per_person=mean_of(counts),
        harm=mean_of([one.harm_days for one in found.known]),
        at_liberty=ratio_of(counts, [float(one.free_days) for one in found.known], per=100.0),
    )


class RiskFactor(NamedTuple):
    """A need. `among_reoffenders`: the share of them that has it. `with_it`, `without`: the rates of reoffending; None:
    nobody.
    `having`, `lacking`: the people."""

    pathway: Pathway
    among_reoffenders: Share | None
    with_it: Share | None
    without: Share | None
    difference: Estimate | None
    having: tuple[Followed, ...]
    lacking: tuple[Followed, ...]


class RiskFactors(NamedTuple):
    """`not_assessed`: people of whom no assessment said any need by their index date."""

    factors: tuple[RiskFactor, ...]
    not_assessed: tuple[Followed, ...]


def risk_factors(known: Sequence[Followed]) -> RiskFactors:
    """By the newest assessment of needs at the index date."""
    assessed = [(one, needs) for one in known if (needs := _needs_at(one)) is not None]
    return RiskFactors(
        tuple(_factor(pathway, assessed) for pathway in Pathway),
        tuple(one for one in known if _needs_at(one) is None),
    )


def _needs_at(one: Followed) -> frozenset[Pathway] | None:
    return next((needs.pathways for needs in reversed(one.life.needs) if needs.day <= one.index_date.day), None)


def _factor(pathway: Pathway, assessed: Sequence[tuple[Followed, frozenset[Pathway]]]) -> RiskFactor:
    having = tuple(one for one, needs in assessed if pathway in needs)
    lacking = tuple(one for one, needs in assessed if pathway not in needs)
    hits = sum(bool(one.reoffences) for one in having), sum(bool(one.reoffences) for one in lacking)
    with_it, without = wilson(hits[0], len(having)), wilson(hits[1], len(lacking))
    difference = None if with_it is None or without is None else newcombe(with_it, without)
    return RiskFactor(pathway, wilson(hits[0], sum(hits)), with_it, without, difference, having, lacking)
