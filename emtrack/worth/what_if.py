"""What if the rules of the proposal had been others: over past days, for whom they would have proposed RED, which offences they would
have missed, and how often people decided against such a proposal.

A day is asked at its beginning, as it was known then: signals by their newest version of that instant. Days on which RED is said in a
row are one proposal. An offence is missed if RED was not said at the beginning of the day on which it was committed. Rules are
judged on what people did while others were in force, so that a grade may have prevented what would have shown that it was right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from emtrack.forms.iom import RagGrade
from emtrack.iom.grades import DAY_MS
from emtrack.iom.rules import Live, Rule, what_fires
from emtrack.worth.intervals import Share, wilson

AFTER_DAYS: Final = 28
"""An offence that was committed so long after RED was first said is one that the proposal foresaw (ours)."""


class SignalVersion(NamedTuple):
    """What was known of a signal from `recorded_ms` on; `is_live`: neither withdrawn nor excused."""

    live: Live
    recorded_ms: int
    is_live: bool


class Decided(NamedTuple):
    """A proposal of RED that was made and answered in fact."""

    made_ms: int
    was_against: bool


class Past(NamedTuple):
    """Of a member. `versions`: of signals, in order of when they were recorded. `member`: from and to, in milliseconds; `offences`:
    of the cohort, when they were committed."""

    person: int
    member: tuple[tuple[int, int], ...]
    versions: tuple[SignalVersion, ...]
    offences: tuple[int, ...]
    decided: tuple[Decided, ...]


class Said(NamedTuple):
    """RED, of a person: from the first day to the last, and by which rules on the first."""

    person: int
    begin_ms: int
    end_ms: int
    rules: tuple[str, ...]
    was_followed: bool


class Outcome(NamedTuple):
    """`foreseen`: proposals that an offence followed, of all. `missed`: offences on whose day nothing was said, of all; with the
    people. `against`: of proposals that were made and answered on days on which these rules say RED, too, how many were decided
    against."""

    said: tuple[Said, ...]
    foreseen: Share | None
    missed: Share | None
    missed_people: tuple[int, ...]
    against: Share | None


def what_if(rules: Sequence[Rule], pasts: Iterable[Past], begin_ms: int, end_ms: int) -> Outcome:
    """Over the days from one instant to another."""
    said: list[Said] = []
    offences = missed = answered = against = 0
    missed_people: list[int] = []
    for past in pasts:
        days = red_days(rules, past, begin_ms, end_ms)
        said += _proposals(past, days)
        committed = [at for at in past.offences if begin_ms <= at < end_ms and _is_member(past, at)]
        lost = [at for at in committed if _day(at, begin_ms) not in days]
        offences, missed = offences + len(committed), missed + len(lost)
        missed_people += [past.person] * bool(lost)
        alike = [
            one
            for one in past.decided
            if _day(one.made_ms, begin_ms) in days or _day(one.made_ms, begin_ms) + DAY_MS in days
        ]
        answered, against = answered + len(alike), against + sum(one.was_against for one in alike)
    return Outcome(
        tuple(said), wilson(sum(one.was_followed for one in said), len(said)), wilson(missed, offences), tuple(missed_people),
        wilson(against, answered),
    )  # fmt: skip


def red_days(rules: Sequence[Rule], past: Past, begin_ms: int, end_ms: int) -> dict[int, tuple[str, ...]]:
    """Beginnings of the days on which the rules say RED of a member, with the rules that do."""
    red = [rule for rule in rules if rule.grade is RagGrade.RED]
    known: dict[int, SignalVersion] = {}
    days: dict[int, tuple[str, ...]] = {}
    place = 0
    for day_ms in range(begin_ms, end_ms, DAY_MS):
        while place < len(past.versions) and past.versions[place].recorded_ms <= day_ms:
            known[past.versions[place].live.item_no] = past.versions[place]
            place += 1
        live = [one.live for one in known.values() if one.is_live and one.live.counts(day_ms)]
        if live and _is_member(past, day_ms) and (found := what_fires(red, live, day_ms)):
            days[day_ms] = tuple(one.rule.code for one in found)
    return days


def _is_member(past: Past, at_ms: int) -> bool:
    return any(begin_ms <= at_ms < end_ms for begin_ms, end_ms in past.member)


def _day(at_ms: int, begin_ms: int) -> int:
    return begin_ms + (at_ms - begin_ms) // DAY_MS * DAY_MS


def _proposals(past: Past, days: dict[int, tuple[str, ...]]) -> list[Said]:
    said: list[Said] = []
    for day_ms, codes in days.items():
        if said and said[-1].end_ms == day_ms:
            said[-1] = said[-1]._replace(end_ms=day_ms + DAY_MS)
        else:
            said.append(Said(past.person, day_ms, day_ms + DAY_MS, codes, False))
    return [one._replace(was_followed=_was_followed(past, one)) for one in said]


def _was_followed(past: Past, one: Said) -> bool:
    until_ms = max(one.end_ms, one.begin_ms + AFTER_DAYS * DAY_MS)
    return any(one.begin_ms <= at < until_ms for at in past.offences)
