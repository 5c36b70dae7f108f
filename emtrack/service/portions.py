"""The activations of a turn in portions: while the database writes what was found of one, the next is judged.

A judgement is pure and memory follows the commit, so that nothing is ahead of the disk: what is judged meanwhile is of the same
turn, at the same instant, in the same transaction. Judged meanwhile are only those that got no facts, and of whom nothing need be
read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from emtrack.service.activations import ActivationUpdate, LiveActivation
from emtrack.service.judging import Judgement
from geofence import Fact
from ingest import ended

FIRST, PORTION = 100, 500
"""Activations that are due. The first are judged before anything is written; each portion costs a round of statements."""
NUMBERS_EACH = 4
"""New findings of an activation for which a number is held before a portion is judged. Who has more waits for the database."""
A_BREATH = 8
"""So many are judged between two looks at whether the database has answered: half a millisecond."""


class Part(Protocol):
    """Updates that are recorded together."""

    def add(self, updates: Sequence[ActivationUpdate], /) -> None:
        """Some of them, with all that can be done for them before the database is asked."""

    async def write(self) -> None:
        """All that were added, in the turn's transaction."""


class TurnWork(NamedTuple):
    """Whom a turn judges: who got facts (`facts`, by activation number, are stored already), who is due by the clock, who is to be
    judged again."""

    facts: Mapping[int, Sequence[Fact]]
    heard: Sequence[LiveActivation]
    due: Sequence[LiveActivation]
    again: Sequence[LiveActivation]


class Patience(NamedTuple):
    """Of those that are due, so many are judged (`least`) before the turn ends because somebody waits for it (`is_awaited`)."""

    least: int
    is_awaited: Callable[[], bool]


async def judge_in_portions(
    judgement: Judgement, work: TurnWork, new_part: Callable[[], Part], patience: Patience
) -> list[ActivationUpdate]:
    """The updates of all that were judged; each was recorded."""
    first = dict.fromkeys([*work.heard, *work.due[:FIRST], *work.again])
    rest = [live for live in work.due[FIRST:] if live not in first]
    done = await judgement.judge_all(list(first), work.facts)
    part = new_part()
    part.add(done)
    for begin in range(0, len(rest), PORTION):
        if begin >= patience.least and patience.is_awaited():
            break
        portion, following = rest[begin : begin + PORTION], new_part()
        await judgement.hold_numbers(NUMBERS_EACH * len(portion))
        writing = asyncio.ensure_future(part.write())
        try:
            left = await _judge_meanwhile(judgement, portion, following, done)
            await writing
        finally:
            await ended(writing)  # the connection is free again
        updates = await judgement.judge_all(left, {})
        following.add(updates)
        done += updates
        part = following
    await part.write()
    return done


async def _judge_meanwhile(
    judgement: Judgement, portion: Sequence[LiveActivation], part: Part, done: list[ActivationUpdate]
) -> list[LiveActivation]:
    """Judge without the database, and add what is found. Those for whom it must be asked."""
    left: list[LiveActivation] = []
    for begin in range(0, len(portion), A_BREATH):
        await asyncio.sleep(0)
        some = portion[begin : begin + A_BREATH]
        found = [judgement.judge_by_clock(live) for live in some]
        left += [live for live, update in zip(some, found, strict=True) if update is None]
        updates = [update for update in found if update is not None]
        part.add(updates)
        done += updates
    return left
