"""What an operator was shown meanwhile: the same facts in the order of their receipt, judged with each upload and whenever time alone
changes something, as the service's turns do it (with a turn for each receipt, which is the most that an operator can be shown)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from alerts.entries import EntryFate, EntryVerdict, fate_of
from alerts.grading import grade_of
from alerts.raising import Step, decide
from benchmarks.detection.sent import Sent
from emtrack.record.findings import ShownFinding
from emtrack.service.finality import can_change, in_parts
from geofence import Fact, Kind
from geofence.judgement import ActivationJudge, Finding, Judged, Late, State, amendments


class Shown(NamedTuple):
    """One finding as people saw it. `finding`: its newest version, `is_withdrawn` or not. `raised_ms`: when it was an alert first;
    None: never. `raised_as`: as it was then."""

    finding: Finding
    versions: int
    is_withdrawn: bool
    raised_ms: int | None
    raised_as: Finding | None

    @property
    def was_amended_after(self) -> bool:
        """Whether the operator was told something else later than when it was raised, other than that it ended."""
        was, now = self.raised_as, self.finding
        if was is None or self.is_withdrawn:
            return False
        moved = was.begin_ms != now.begin_ms or was.known_ms != now.known_ms
        return moved or (was.end_ms is not None and was.end_ms != now.end_ms)


class Entry(NamedTuple):
    """A possible entry that was raised: on which requirement, by which verdict, when."""

    requirement_id: str
    at_ms: int
    raised_ms: int
    fate: EntryFate


class Meanwhile(NamedTuple):
    """All that was shown of one activation by the end."""

    findings: list[Shown]
    entries: list[Entry]


def shown_meanwhile(sent: Sent, now_ms: int) -> Meanwhile:
    """What people saw of an activation up to *now*."""
    watch = _Watch(ActivationJudge(sent.plan))
    known = sorted((fact for fact in sent.facts if fact.received_ms <= now_ms), key=lambda fact: fact.received_ms)
    for at_ms, together in groupby(known, key=lambda fact: fact.received_ms):
        watch.let_time_pass_to(at_ms - 1)
        watch.turn(list(together), at_ms)
    watch.let_time_pass_to(now_ms)
    return Meanwhile(list(watch.findings()), watch.entries)


class _Seen(NamedTuple):
    shown: ShownFinding
    is_withdrawn: bool = False
    raised_ms: int | None = None
    raised_as: Finding | None = None


class _Watch:
    """One activation, turn by turn."""

    def __init__(self, judge: ActivationJudge) -> None:
        self.judge = judge
        self.state: State = judge.initial()
        self.received: list[Fact] = []
        self.entries: list[Entry] = []
        self._seen: dict[int, _Seen] = {}
        self._open: dict[int, ShownFinding] = {}
        self._waits: dict[int, int] = {}
        self._entry_open: dict[str, int] = {}

    def findings(self) -> Iterator[Shown]:
        for seen in self._seen.values():
            yield Shown(seen.shown.finding, seen.shown.version, seen.is_withdrawn, seen.raised_ms, seen.raised_as)

    def let_time_pass_to(self, at_ms: int) -> None:
        """A turn for each instant at which time alone changes something."""
        while (due_ms := min([self.state.next_due_ms, *self._waits.values(), *self._entry_dues()])) <= at_ms:
            self.turn([], max(due_ms, self.state.judged_ms + 1))

    def turn(self, facts: Sequence[Fact], now_ms: int) -> None:
        self.received += facts
        judged = self.judge.advance(self.state, facts, now_ms)
        old: list[ShownFinding]
        if isinstance(judged, Late):
            judged = self.judge.advance(self.judge.initial(), self.received, now_ms)
            assert isinstance(judged, Judged)
            old = [seen.shown for seen in self._seen.values() if not seen.is_withdrawn]
        else:
            old = in_parts(self._open.values(), judged.parts)
        self.state = judged.state
        self._amend(old, [finding for part in judged.parts for finding in part.shown])
        self._open = {n: s for n, s in self._standing() if can_change(s.finding, self.state)}
        self._raise(now_ms)
        self._look_at_entries(now_ms)

    def _standing(self) -> Iterator[tuple[int, ShownFinding]]:
        candidates = {**self._open, **{n: s.shown for n, s in self._changed.items()}}
        return ((n, s) for n, s in candidates.items() if not self._seen[n].is_withdrawn)

    def _amend(self, old: Sequence[ShownFinding], found: Sequence[Finding]) -> None:
        changes = amendments([(s, s.finding) for s in old], found)
        self._changed: dict[int, _Seen] = {}
        for finding in changes.new:
            number = len(self._seen) + 1
            self._set(number, _Seen(ShownFinding(number, 1, finding)))
        for was, finding in changes.amended:
            seen = self._seen[was.finding_no]
            self._set(was.finding_no, seen._replace(shown=ShownFinding(was.finding_no, was.version + 1, finding)))
        for was in changes.withdrawn:
            shown = was._replace(version=was.version + 1)
            self._set(was.finding_no, self._seen[was.finding_no]._replace(shown=shown, is_withdrawn=True))
        for was, finding in changes.kept:
            if was.finding.unknown_since_ms != finding.unknown_since_ms:
                seen = self._seen[was.finding_no]
                self._set(was.finding_no, seen._replace(shown=was._replace(finding=finding)))

    def _set(self, number: int, seen: _Seen) -> None:
        self._seen[number] = self._changed[number] = seen

    def _raise(self, now_ms: int) -> None:
        due = [number for number, due_ms in self._waits.items() if due_ms <= now_ms]
        for number in {**self._changed, **dict.fromkeys(due)}:
            seen = self._seen[number]
            self._waits.pop(number, None)
            if seen.raised_ms is not None or seen.is_withdrawn:
                continue
            finding = seen.shown.finding
            is_silent = finding.kind is Kind.UNVERIFIED and self._is_silent()
            decision = decide(finding, grade_of(finding, is_graver=False), is_silent=is_silent, now_ms=now_ms)
            if decision.step is Step.WAIT:
                self._waits[number] = decision.due_ms
            elif decision.step is Step.RAISE:
                self._seen[number] = seen._replace(raised_ms=now_ms, raised_as=finding)

    def _is_silent(self) -> bool:
        return any(s.finding.kind is Kind.NO_COMMUNICATION and s.finding.end_ms is None for s in self._open.values())

    def _look_at_entries(self, now_ms: int) -> None:
        for verdict in self._verdicts():
            fate = fate_of(verdict, now_ms)
            number = self._entry_open.get(verdict.requirement_id)
            if number is not None and fate is not EntryFate.POSSIBLE:
                self.entries[number] = self.entries[number]._replace(fate=fate)
                del self._entry_open[verdict.requirement_id]
            elif number is None and fate is EntryFate.POSSIBLE:
                self._entry_open[verdict.requirement_id] = len(self.entries)
                self.entries.append(Entry(verdict.requirement_id, verdict.at_ms, now_ms, fate))

    def _verdicts(self) -> list[EntryVerdict]:
        """What was said last of each exclusion zone. Nobody asks for the numbers of this record."""
        return [
            EntryVerdict(
                0, 0, 0, newest.requirement.requirement_id, *newest[1:],
                is_obliged=self.judge.obliged_at(newest.at_ms, newest.requirement.requirement_id),
            )
            for newest in self.judge.newest_verdicts(self.state)
        ]  # fmt: skip

    def _entry_dues(self) -> list[int]:
        return (
            [v.until_ms for v in self._verdicts() if v.requirement_id in self._entry_open] if self._entry_open else []
        )
