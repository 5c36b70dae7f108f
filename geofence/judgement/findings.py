"""Findings from presence and obligation periods (RULES.md section 5), as they stand at one *now*.

Pure functions of step functions and intervals: nothing here remembers, so a finding cannot depend on how often or
when it was asked for.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from geofence.intervals import Interval, subtracted
from geofence.judgement.attendance import is_kept, is_missed_at_ms, missed
from geofence.judgement.presence import INSIDE, OUTSIDE, UNKNOWN, Stretch
from geofence.judgement.starts import Start
from geofence.obligations import Requirement
from geofence.words import FOREVER_MS, CurfewReason, EntryId, Kind, ObligationKind


class Finding(msgspec.Struct, frozen=True, gc=False):
    """One finding of one activation. `end_ms` None while it lasts; `period_ms`: the S of its obligation period.

    `reason` is a CurfewReason, or for device findings the event that began it. `evidence`: ids of the facts that
    opened and closed it; `facts_hash` stands for their contents. `zone_id`: the member of a zone set that the first verdict
    of the presence is about; None for a requirement with a zone of its own, and where a home unit's sighting came first.
    `unknown_since_ms`: of a finding that people are shown as lasting, because a report in time can still say that it does; the
    rules end it there (`provisional.py`).
    """

    kind: Kind
    begin_ms: int
    end_ms: int | None
    known_ms: int
    reason: str | None = None
    within_grace: bool = False
    requirement_id: str | None = None
    entry_id: EntryId | None = None
    period_ms: int | None = None
    evidence: tuple[int, ...] = ()
    facts_hash: str = ""
    zone_id: str | None = None
    unknown_since_ms: int | None = None


FindingKey = tuple[EntryId | None, Kind, str | None, str | None, int | None]

DEVICE_KINDS = frozenset({Kind.TAMPER, Kind.BATTERY, Kind.HMU, Kind.JAMMING, Kind.ALCOHOL})


def key_of(finding: Finding) -> FindingKey:
    """What stays the same when a finding is amended: entry, kind, device reason, home unit, obligation period
    (RULES.md section 8; all within one activation)."""
    device_reason = finding.reason if finding.kind in DEVICE_KINDS else None
    unit = finding.requirement_id if finding.kind in DEVICE_KINDS else None
    return (finding.entry_id, finding.kind, device_reason, unit, finding.period_ms)


def hash_of(parts: Iterable[bytes]) -> str:
    """32 hexadecimal digits that stand for the facts that a finding rests on."""
    return hashlib.blake2b(b"|".join(parts), digest_size=16).hexdigest()


class _Cut(msgspec.Struct, frozen=True):
    """A stretch cut to an obligation period; `end_ms` None while both last. `seen`: the verdict from which it counts, if it began
    before the period and was not seen lately then."""

    period: Interval
    begin_ms: int
    end_ms: int | None
    stretch: Stretch
    before: Stretch | None
    after: Stretch | None
    seen: Start | None = None

    @property
    def is_from_start(self) -> bool:
        """Whether the stretch holds at the start of the period, whatever somebody saw of it."""
        return self.stretch.begin_ms <= self.period.begin_ms


def _cuts(steps: Sequence[Stretch], periods: Sequence[Interval], value: int, now_ms: int) -> Iterator[_Cut]:
    begins_ms = [step.begin_ms for step in steps]
    for period in periods:
        if period.begin_ms > now_ms:
            continue
        first = max(0, bisect_right(begins_ms, period.begin_ms) - 1)
        for index in range(first, bisect_left(begins_ms, period.end_ms)):
            step = steps[index]
            if step.value != value:
                continue
            cut = _cut_to(step, period, now_ms)
            if cut is not None:
                before = steps[index - 1] if index else None
                after = steps[index + 1] if index + 1 < len(steps) else None
                yield _Cut(period, cut[0], cut[1], step, before, after)


def _cut_to(step: Stretch, period: Interval, now_ms: int) -> tuple[int, int | None] | None:
    """The part of the stretch inside the period. A stretch and a period that both reach past *now* last."""
    begin_ms = max(step.begin_ms, period.begin_ms)
    end_ms = min(FOREVER_MS if step.end_ms is None else step.end_ms, period.end_ms)
    if begin_ms >= end_ms:
        return None
    return begin_ms, end_ms if end_ms <= now_ms else None


def _evidence(cut: _Cut) -> tuple[tuple[int, ...], str]:
    """Facts of the run that opened the presence and, if the next run closed it, of that one."""
    neighbours = [cut.stretch] if cut.stretch.value != UNKNOWN else [cut.before]
    if cut.end_ms is not None and cut.after is not None and cut.after.begin_ms == cut.end_ms:
        neighbours.append(cut.after)
    ids: dict[int, None] = {}
    digests: list[bytes] = []
    for step in neighbours:
        segment = None if step is None else step.segment
        if segment is not None:
            ids[segment.first_id] = ids[segment.last_id] = None
            digests.append(segment.digest)
    if cut.seen is not None:
        ids[cut.seen.fact_id] = None
        digests.append(str(cut.seen.from_ms).encode())
    return tuple(ids), hash_of(digests)


def _finding(
    requirement: Requirement,
    kind: Kind,
    cut: _Cut,
    known_ms: int,
    reason: CurfewReason | None = None,
    within_grace: bool = False,
) -> Finding:
    evidence, facts_hash = _evidence(cut)
    return Finding(
        kind=kind, begin_ms=cut.begin_ms, end_ms=cut.end_ms, known_ms=max(cut.begin_ms, known_ms),
        reason=reason, within_grace=within_grace, requirement_id=requirement.requirement_id, entry_id=requirement.entry_id,
        period_ms=cut.period.begin_ms, evidence=evidence, facts_hash=facts_hash,
        zone_id=None if cut.stretch.segment is None else cut.stretch.segment.zone_id,
    )  # fmt: skip


class PresenceSteps(NamedTuple):
    """Presence of one requirement entry at one *now*: in its zone, in the widened zone, and from where a presence OUTSIDE that began
    before a period (by its start) counts in it; None: from nowhere so far."""

    zone: Sequence[Stretch]
    widened: Sequence[Stretch]
    counted_from: Callable[[int], Start | None]


def place_findings(
    requirement: Requirement, periods: Sequence[Interval], presence: PresenceSteps, unknown_limit_ms: int, now_ms: int
) -> list[Finding]:
    """All findings of place of one requirement entry."""
    steps = presence.zone
    if requirement.kind is ObligationKind.EXCLUSION:
        entries = [
            _finding(requirement, Kind.EXCLUSION, c, c.stretch.known_ms)
            for c in _cuts(steps, periods, INSIDE, now_ms)
        ]
        return entries + _approaches(requirement, periods, steps, presence.widened, now_ms)
    if requirement.kind is ObligationKind.ATTENDANCE:
        return [finding for period in periods for finding in _attendance(requirement, period, steps, now_ms)]
    unverified = _unverified(requirement, periods, steps, unknown_limit_ms, now_ms)
    away = _counted(_cuts(steps, periods, OUTSIDE, now_ms), presence.counted_from)
    if requirement.kind is ObligationKind.INCLUSION:
        return [_finding(requirement, Kind.INCLUSION, c, c.stretch.known_ms) for c in away] + unverified
    return [_curfew(requirement, cut, now_ms) for cut in away] + unverified


def _counted(cuts: Iterable[_Cut], counted_from: Callable[[int], Start | None]) -> Iterator[_Cut]:
    """Cuts that count, from where somebody was seen: one that began before its period counts from its start only if the wearer was
    seen out lately then."""
    for cut in cuts:
        start_ms = cut.period.begin_ms
        if cut.stretch.begin_ms >= start_ms:
            yield cut
            continue
        start = counted_from(start_ms)
        if start is None or start.from_ms >= (FOREVER_MS if cut.end_ms is None else cut.end_ms):
            continue
        yield cut if start.from_ms == start_ms else msgspec.structs.replace(cut, begin_ms=start.from_ms, seen=start)


def _attendance(
    requirement: Requirement, period: Interval, steps: Sequence[Stretch], now_ms: int
) -> Iterator[Finding]:
    """At most one: it was missed, or nobody can say."""
    if period.begin_ms > now_ms:
        return
    found = missed(steps, period, requirement.stay_ms, now_ms)
    if found is not None:
        end_ms = period.end_ms if period.end_ms <= now_ms else None
        cut = _Cut(period, found.begin_ms, end_ms, found.stretch, None, None)
        yield _finding(requirement, Kind.ATTENDANCE, cut, found.stretch.known_ms)
    elif period.end_ms <= now_ms and not is_kept(steps, period, requirement.stay_ms):
        nothing_known = Stretch(UNKNOWN, period.begin_ms, period.end_ms, period.end_ms, None)
        cut = _Cut(period, period.begin_ms, period.end_ms, nothing_known, None, None)
        yield _finding(requirement, Kind.UNVERIFIED, cut, period.end_ms)


def _curfew(requirement: Requirement, cut: _Cut, now_ms: int) -> Finding:
    within_grace = _within_grace(cut, requirement.grace_ms, now_ms)
    return _finding(requirement, Kind.CURFEW, cut, cut.stretch.known_ms, _curfew_reason(cut), within_grace)


def _curfew_reason(cut: _Cut) -> CurfewReason:
    at_end = cut.end_ms == cut.period.end_ms
    if cut.is_from_start:
        if at_end:
            return CurfewReason.OUT_ENTIRE_PERIOD
        returned = cut.end_ms is not None and cut.after is not None and cut.after.value == INSIDE
        return CurfewReason.RETURNED_LATE if returned else CurfewReason.OUT_AT_START
    if at_end:
        return CurfewReason.OUT_AT_END
    left = cut.before is not None and cut.before.value == INSIDE
    return CurfewReason.LEFT_DURING if left else CurfewReason.SEEN_OUT


def _within_grace(cut: _Cut, grace_ms: int, now_ms: int) -> bool:
    if not cut.is_from_start:
        return False
    grace_end_ms = cut.period.begin_ms + grace_ms
    return now_ms < grace_end_ms if cut.end_ms is None else cut.end_ms <= grace_end_ms


def _unverified(
    requirement: Requirement,
    periods: Sequence[Interval],
    steps: Sequence[Stretch],
    limit_ms: int,
    now_ms: int,
) -> list[Finding]:
    found = []
    for cut in _cuts(steps, periods, UNKNOWN, now_ms):
        lasted_ms = (now_ms if cut.end_ms is None else cut.end_ms) - cut.begin_ms
        if lasted_ms > limit_ms:
            found.append(_finding(requirement, Kind.UNVERIFIED, cut, cut.begin_ms + limit_ms))
    return found


def _approaches(
    requirement: Requirement,
    periods: Sequence[Interval],
    steps: Sequence[Stretch],
    widened: Sequence[Stretch],
    now_ms: int,
) -> list[Finding]:
    """Presence in the widened zone less the EXCLUSION intervals. Where it goes on after one, it is known when the
    end of that one is."""
    if requirement.buffer_m <= 0:
        return []
    entries = list(_cuts(steps, periods, INSIDE, now_ms))
    entered = [(cut.begin_ms, FOREVER_MS if cut.end_ms is None else cut.end_ms) for cut in entries]
    end_known_ms = {cut.end_ms: _end_known_ms(cut) for cut in entries if cut.end_ms is not None}
    found = []
    for cut in _cuts(widened, periods, INSIDE, now_ms):
        whole = (cut.begin_ms, FOREVER_MS if cut.end_ms is None else cut.end_ms)
        for begin_ms, end_ms in subtracted([whole], entered):
            part = msgspec.structs.replace(cut, begin_ms=begin_ms, end_ms=None if end_ms == FOREVER_MS else end_ms)
            known_ms = max(cut.stretch.known_ms, end_known_ms.get(begin_ms, begin_ms))
            found.append(_finding(requirement, Kind.APPROACH, part, known_ms))
    return found


def _end_known_ms(cut: _Cut) -> int:
    """When it became known that a presence ended where it did: by the run of the opposite, or by the clock."""
    assert cut.end_ms is not None
    by_a_run = cut.after is not None and cut.after.begin_ms == cut.end_ms
    return max(cut.end_ms, cut.after.known_ms) if by_a_run and cut.after is not None else cut.end_ms


def due_ms(
    requirement: Requirement,
    periods: Sequence[Interval],
    steps: Sequence[Stretch],
    lapse_ms: int,
    limit_ms: int,
    now_ms: int,
) -> int:
    """The first instant after *now* at which the findings can differ although no fact came; FOREVER_MS if none."""
    instants = [lapse_ms]
    for period in periods:
        if requirement.kind is ObligationKind.ATTENDANCE:
            instants.append(is_missed_at_ms(steps, period, requirement.stay_ms))
        instants += [period.begin_ms, period.begin_ms + requirement.grace_ms, period.end_ms]
        if steps and steps[-1].value == UNKNOWN:
            instants.append(max(steps[-1].begin_ms, period.begin_ms) + limit_ms + 1)
    return min((instant for instant in instants if instant > now_ms), default=FOREVER_MS)
