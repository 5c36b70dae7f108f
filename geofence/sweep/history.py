"""The whole history of one activation in columns, by all rules: what `judge_history` finds, without an object for each position.

Which positions are evidence is told by columns, as for a sweep; of those only the ones at which something can change are looked at
one by one (`judgement/stretches.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from geofence.facts import DeviceEvent, Position, is_evidence_candidate, without_duplicates
from geofence.judgement.findings import Finding
from geofence.judgement.judge import ActivationJudge, History
from geofence.judgement.places import NO_SETS
from geofence.judgement.silence import is_sign_of_life
from geofence.obligations import Plan
from geofence.shapes.arrays import Int64s
from geofence.shapes.zone_sets import ZoneSet
from geofence.sweep.evidence import MECHANISMS, Received, evidence_rows, radius_m, receipts_ms


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
    chosen = _Chosen(received.taken(rows), rows)
    history = History(
        chosen, chosen.columns.fix_ms, chosen.columns.lon_deg, chosen.columns.lat_deg, radius_m(chosen.columns),
        [event for event in told if isinstance(event, DeviceEvent)],
        np.sort(np.append(receipts_ms(known), np.array(signs_ms, np.int64))),
    )  # fmt: skip
    return ActivationJudge(plan, sets).judge_at_once(history, now_ms)


class _Chosen:
    """Positions out of columns, each made when somebody looks at it."""

    def __init__(self, columns: Received, rows: Int64s) -> None:
        self.columns = columns
        self._rows = rows

    def __getitem__(self, place: int, /) -> Position:
        columns = self.columns
        precision_m = float(columns.precision_m[place])
        return Position(
            int(columns.fix_ms[place]), float(columns.lat_deg[place]), float(columns.lon_deg[place]),
            None if np.isnan(precision_m) else precision_m, MECHANISMS[columns.mechanism[place]],
            int(columns.received_ms[place]), int(self._rows[place]),
        )  # fmt: skip
