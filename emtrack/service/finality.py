"""Which findings can still change: those of a scope (an entry, the device, silence) that end after what is settled there."""

from __future__ import annotations

from collections.abc import Iterable

from emtrack.record.findings import ShownFinding
from geofence import ALWAYS_MS, FOREVER_MS, EntryId
from geofence.judgement import DEVICE, DEVICE_KINDS, SILENCE, Finding, Part, State


def scope_of(finding: Finding) -> str:
    """Which part of a judgement a finding belongs to."""
    if finding.entry_id is not None:
        return finding.entry_id
    return DEVICE if finding.kind in DEVICE_KINDS else SILENCE


def _since_ms(state: State, scope: str) -> int:
    """Findings of the scope that end at or before the answer are final."""
    if scope == SILENCE:
        return state.silence.heard_ms
    if scope == DEVICE:
        return state.base.spells_since_ms
    entry = state.base.entries.get(EntryId(scope))
    return FOREVER_MS if entry is None else int(entry.cursor_ms)


def can_change(finding: Finding, state: State) -> bool:
    return finding.end_ms is None or finding.end_ms > _since_ms(state, scope_of(finding))


def first_open_ms(state: State) -> int | None:
    """Before this instant every finding of the activation is final; None: none is known to be."""
    since_ms = min(_since_ms(state, scope) for scope in (SILENCE, DEVICE, *state.base.entries))
    return None if since_ms <= ALWAYS_MS else since_ms


def in_parts(shown: Iterable[ShownFinding], parts: Iterable[Part]) -> list[ShownFinding]:
    """The shown findings that the parts speak of."""
    since_ms = {part.scope: part.since_ms for part in parts}
    return [
        s
        for s in shown
        if (since := since_ms.get(scope_of(s.finding))) is not None
        and (s.finding.end_ms is None or s.finding.end_ms > since)
    ]
