"""The whole history of one activation in columns, by all rules: what `judge_history` finds, without an object for each position.

Which positions are evidence is told by columns, as for a sweep; of those only the ones at which something can change are looked at
one by one (`judgement/stretches.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import compress
from math import isnan
from typing import NamedTuple

import numpy as np

from geofence.facts import POSITION_RANK, DeviceEvent, Fact, Key, Position, is_evidence_candidate, without_duplicates
from geofence.judgement.evidence import Track
from geofence.judgement.findings import Finding
from geofence.judgement.judge import (
    ActivationJudge,
    Checkpoint,
    History,
    Judged,
    Late,
    Standing,
    State,
    packed_key,
    packed_keys,
)
from geofence.judgement.places import NO_SETS
from geofence.judgement.silence import is_sign_of_life
from geofence.obligations import Plan
from geofence.shapes.arrays import Bools, Int64s
from geofence.shapes.zone_sets import ZoneSet
from geofence.sweep.evidence import (
    MECHANISMS,
    Received,
    evidence_rows,
    first_rows,
    is_claim,
    is_jump,
    radius_m,
    receipts_ms,
)
from geofence.words import ALWAYS_MS

_RANKS = np.array([POSITION_RANK[mechanism] for mechanism in MECHANISMS], np.int64)


def judge_columns(
    plan: Plan,
    received: Received,
    events: Sequence[DeviceEvent],
    now_ms: int,
    sets: Mapping[str, ZoneSet] = NO_SETS,
) -> list[Finding]:
    """All findings of one activation at *now*. `received`: its positions, with repetitions, in any order, whatever their wearer is
    called; their rows stand for the ids of their facts. `events`: likewise. Raises UnknownSet."""
    known = received.taken(received.received_ms <= now_ms)
    heard = without_duplicates([event for event in events if event.received_ms <= now_ms])
    signs_ms = [event.received_ms for event in heard if is_sign_of_life(plan, event)]
    told = [event for event in heard if is_evidence_candidate(event) and event.own_ms <= now_ms]
    rows = evidence_rows(received, now_ms)
    history = _history(received.taken(rows), rows, [event for event in told if isinstance(event, DeviceEvent)])
    heard_ms = np.sort(np.append(receipts_ms(known), np.array(signs_ms, np.int64)))
    return ActivationJudge(plan, sets).judge_at_once(history, heard_ms, now_ms)


class Known(NamedTuple):
    """What is stored of one activation and was received by *now*, each content once. `received`: its positions, (n,), in the order of
    evidence; `fact_id`: theirs; `events`: in that order too."""

    received: Received
    fact_id: Int64s
    events: Sequence[DeviceEvent]

    @classmethod
    def of(cls, received: Received, fact_id: Int64s, events: Sequence[DeviceEvent], now_ms: int) -> Known:
        """Of what is stored: in any order, with repetitions and what was received later."""
        rows = np.flatnonzero(received.received_ms <= now_ms)
        rows = rows[first_rows(received.taken(rows))]
        told = without_duplicates([event for event in events if event.received_ms <= now_ms])
        return cls(received.taken(rows), fact_id[rows], [event for event in told if isinstance(event, DeviceEvent)])

    def only(self, fact_ids: Collection[int]) -> Known:
        return self._chosen(np.isin(self.fact_id, _array(fact_ids)), [e.fact_id in fact_ids for e in self.events])

    def without(self, fact_ids: Collection[int]) -> Known:
        return self._chosen(
            ~np.isin(self.fact_id, _array(fact_ids)), [e.fact_id not in fact_ids for e in self.events]
        )

    def _chosen(self, positions: Bools, events: Sequence[bool]) -> Known:
        return Known(self.received.taken(positions), self.fact_id[positions], list(compress(self.events, events)))

    def from_own_time(self, at_ms: int) -> frozenset[int]:
        """The ids of what is of an instant or later."""
        chosen = self.fact_id[self.received.fix_ms >= at_ms].tolist()
        return frozenset([*chosen, *(e.fact_id for e in self.events if e.event_ms >= at_ms)])

    def from_receipt(self, at_ms: int) -> frozenset[int]:
        """The ids of what was received at an instant or later."""
        chosen = self.fact_id[self.received.received_ms >= at_ms].tolist()
        return frozenset([*chosen, *(e.fact_id for e in self.events if e.received_ms >= at_ms)])

    def receipts_ms(self, plan: Plan) -> list[int]:
        """When the device was heard, sorted."""
        signs_ms = [event.received_ms for event in self.events if is_sign_of_life(plan, event)]
        return sorted([*self.received.received_ms.tolist(), *signs_ms])

    def own_times_ms(self, until_ms: int) -> tuple[int, int] | None:
        """The first and the last own time that is not after an instant."""
        fix_ms = self.received.fix_ms[: np.searchsorted(self.received.fix_ms, until_ms, "right")]
        own_ms = [
            *fix_ms[:1].tolist(),
            *fix_ms[-1:].tolist(),
            *(e.event_ms for e in self.events if e.event_ms <= until_ms),
        ]
        return (min(own_ms), max(own_ms)) if own_ms else None

    def facts_after(self, key: Key, from_ms: int = ALWAYS_MS) -> list[Fact]:
        """One by one, those after a key and of an instant or later."""
        first = int(np.searchsorted(self.received.fix_ms, max(key[0], from_ms)))
        received = self.received.taken(slice(first, None))
        positions = map(
            Position, received.fix_ms.tolist(), received.lat_deg.tolist(), received.lon_deg.tolist(),
            [None if isnan(precision_m) else precision_m for precision_m in received.precision_m.tolist()],
            [MECHANISMS[mechanism] for mechanism in received.mechanism.tolist()], received.received_ms.tolist(),
            self.fact_id[first:].tolist(),
        )  # fmt: skip
        facts: list[Fact] = [*positions, *(event for event in self.events if event.event_ms >= from_ms)]
        return [fact for fact in facts if fact.key > key]


def judge_known(
    judge: ActivationJudge,
    state: State,
    known: Known,
    cuts_ms: Sequence[int],
    receipts_ms: list[int],
    now_ms: int,
) -> tuple[Judged | Late, list[Checkpoint]]:
    """What comes of what lies after the base of a state that knows nothing else, and checkpoints at the cuts (ascending, none after
    *now*; of cuts without a fact between them there is one). `known`: from where the base is fed to, or more.
    `receipts_ms`: when the device was heard, sorted, as far as the state's silence does not know it."""
    base = state.base
    before_ms = cuts_ms[-1] if cuts_ms else ALWAYS_MS
    history, standing = _history_between(base, known, before_ms)
    rest = known.facts_after(base.fed_to, before_ms)
    return judge.judge_in_columns(state, history, standing, cuts_ms, rest, receipts_ms, now_ms)


def _history_between(base: Checkpoint, known: Known, before_ms: int) -> tuple[History, Standing]:
    """What lies after a checkpoint and before an instant. Whether the first is a jump goes by the checkpoint's track."""
    keys = packed_keys(known.received.fix_ms, _RANKS[known.received.mechanism])
    rows = np.flatnonzero((known.received.fix_ms < before_ms) & (keys > packed_key(base.fed_to)))
    claims = rows[is_claim(known.received.taken(rows))]
    is_out = _is_jump(base.track, known.received.taken(claims))
    rows = claims[~is_out]
    events = [e for e in known.events if e.key > base.fed_to and e.event_ms < before_ms and is_evidence_candidate(e)]
    standing = Standing(keys[claims], keys[claims[is_out]])
    return _history(known.received.taken(rows), known.fact_id[rows], events), standing


def _is_jump(track: Track, claims: Received) -> Bools:
    if track.last is None:
        return is_jump(claims)
    return is_jump(_with_first(track.last, claims), track.jumps)[1:]


def _with_first(first: Position, others: Received) -> Received:
    return Received(
        np.zeros(len(others.wearer) + 1, np.int32), np.insert(others.mechanism, 0, MECHANISMS.index(first.mechanism)),
        np.insert(others.fix_ms, 0, first.fix_ms), np.insert(others.received_ms, 0, first.received_ms),
        np.insert(others.lat_deg, 0, first.lat_deg), np.insert(others.lon_deg, 0, first.lon_deg),
        np.insert(others.precision_m, 0, np.nan if first.precision_m is None else first.precision_m),
    )  # fmt: skip


def _history(chosen: Received, fact_id: Int64s, events: Sequence[DeviceEvent]) -> History:
    """Of positions that are evidence."""
    evidence = _Chosen(chosen, fact_id)
    return History(evidence, chosen.fix_ms, chosen.lon_deg, chosen.lat_deg, radius_m(chosen), events)


def _array(fact_ids: Collection[int]) -> Int64s:
    return np.fromiter(fact_ids, np.int64, len(fact_ids))


class _Chosen:
    """Positions out of columns, each made when somebody looks at it."""

    def __init__(self, columns: Received, fact_id: Int64s) -> None:
        self._columns = columns
        self._fact_id = fact_id

    def __getitem__(self, place: int, /) -> Position:
        columns = self._columns
        precision_m = float(columns.precision_m[place])
        return Position(
            int(columns.fix_ms[place]), float(columns.lat_deg[place]), float(columns.lon_deg[place]),
            None if isnan(precision_m) else precision_m, MECHANISMS[columns.mechanism[place]],
            int(columns.received_ms[place]), int(self._fact_id[place]),
        )  # fmt: skip

    def between(self, first: int, last: int) -> _Chosen:
        return _Chosen(self._columns.taken(slice(first, last)), self._fact_id[first:last])
