"""Judging while the database writes: the facts of a turn that must be new are judged on one core while they are stored on the other.

A judgement is pure, so nothing is lost by one that is not used: where a fact turns out to be stored already, where an activation got
other facts too, or where the judgement fails, the turn judges as if nothing had been done ahead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from emtrack.record.facts import stored_fact
from emtrack.service.activations import LiveActivation, LiveActivations
from geofence import Fact
from geofence.judgement import Judged, Late
from ingest import Accepted


class _Done(NamedTuple):
    """`facts`: exactly those that were judged, and under which state."""

    live: LiveActivation
    facts: list[Fact]
    judged: Judged | Late


class JudgedAhead:
    """Of one turn at a time."""

    def __init__(self, activations: LiveActivations) -> None:
        self._activations = activations
        self._now_ms = 0
        self._facts: dict[int, list[Fact]] = {}
        self._ids: frozenset[int] = frozenset()
        self._done: dict[int, _Done] = {}

    def begin(self, now_ms: int) -> None:
        """A turn begins."""
        self._now_ms = now_ms
        self.forget()

    def forget(self) -> None:
        """What was thought to be new is not."""
        self._facts, self._ids, self._done = {}, frozenset(), {}

    def work_out(self, accepted: Sequence[Accepted]) -> None:
        """These are being stored. Never raises: a judgement that fails does so again in its place."""
        self._facts = self._facts_of(accepted)
        self._ids = frozenset(item.fact_id for item in accepted)
        for number, facts in self._facts.items():
            live = self._activations.by_number(number)
            if live.rebuild is None and live.waiting is None:
                with suppress(Exception):
                    self._done[number] = _Done(live, facts, live.judge.advance(live.state, facts, self._now_ms))

    def facts_of(self, accepted: Sequence[Accepted]) -> Mapping[int, list[Fact]]:
        """All facts of the turn, by activation. What was judged without some of them is forgotten."""
        found = dict(self._facts)
        for number, facts in self._facts_of([item for item in accepted if item.fact_id not in self._ids]).items():
            self._done.pop(number, None)
            found[number] = [*found.get(number, ()), *facts]
        return found

    def judged(self, live: LiveActivation, facts: Sequence[Fact]) -> Judged | Late | None:
        """What came of exactly these facts; None: they were not judged ahead."""
        done = self._done.get(live.number)
        return done.judged if done is not None and done.live is live and done.facts is facts else None

    def _facts_of(self, accepted: Sequence[Accepted]) -> dict[int, list[Fact]]:
        facts: dict[int, list[Fact]] = defaultdict(list)
        for item in accepted:
            live = self._activations.at(item.device_no, item.report.own_ms)
            assert live is not None, "what no activation covers is refused"
            facts[live.number].append(stored_fact(live.assignment, item.report, item.received_ms, item.fact_id))
        return facts
