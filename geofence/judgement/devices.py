"""Findings of the device itself: spells between a device event and its clear (RULES.md section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from geofence.facts import DeviceEvent, chained_digest
from geofence.judgement.findings import Finding, hash_of
from geofence.words import EventType, Kind

KIND_OF_START = {
    EventType.STRAP_TAMPER: Kind.TAMPER,
    EventType.CASE_TAMPER: Kind.TAMPER,
    EventType.BATTERY_LOW: Kind.BATTERY,
    EventType.BATTERY_CRITICAL: Kind.BATTERY,
    EventType.HMU_MOVED: Kind.HMU,
    EventType.HMU_POWER_LOST: Kind.HMU,
    EventType.JAMMING: Kind.JAMMING,
    EventType.ALCOHOL_DETECTED: Kind.ALCOHOL,
}
CLEARED_BY = {
    EventType.STRAP_CLEAR: {EventType.STRAP_TAMPER},
    EventType.CASE_CLEAR: {EventType.CASE_TAMPER},
    EventType.BATTERY_OK: {EventType.BATTERY_LOW, EventType.BATTERY_CRITICAL},
    EventType.RF_IN: {EventType.HMU_MOVED},
    EventType.RF_OUT: {EventType.HMU_MOVED},
    EventType.HMU_POWER_RESTORED: {EventType.HMU_POWER_LOST},
    EventType.JAMMING_CLEAR: {EventType.JAMMING},
    EventType.ALCOHOL_CLEAR: {EventType.ALCOHOL_DETECTED},
}


class Spell(msgspec.Struct, frozen=True, array_like=True):
    """From a start event to its clear; `end_ms` None while open. Apart for each reason and each home unit."""

    reason: EventType
    requirement_id: str | None
    begin_ms: int
    end_ms: int | None
    evidence: tuple[int, ...]
    digest: bytes


def feed_event(spells: list[Spell], event: DeviceEvent) -> None:
    """One event, in the order of evidence (at one instant clears come before starts)."""
    if event.type in KIND_OF_START:
        _start(spells, event)
    for reason in CLEARED_BY.get(event.type, ()):
        _clear(spells, event, reason)


def _start(spells: list[Spell], event: DeviceEvent) -> None:
    for index, spell in enumerate(spells):
        if (spell.reason, spell.requirement_id) != (event.type, event.requirement_id):
            continue
        if spell.end_ms is None:
            return  # a repeated start changes nothing
        if spell.end_ms == event.event_ms:  # a start outlives a clear at the same instant
            spells[index] = msgspec.structs.replace(spell, end_ms=None)
            return
    digest = chained_digest(b"", event)
    spells.append(Spell(event.type, event.requirement_id, event.event_ms, None, (event.fact_id,), digest))


def _clear(spells: list[Spell], event: DeviceEvent, reason: EventType) -> None:
    for index, spell in enumerate(spells):
        named = None in (event.requirement_id, spell.requirement_id) or event.requirement_id == spell.requirement_id
        if spell.end_ms is None and spell.reason is reason and named:
            spells[index] = msgspec.structs.replace(
                spell,
                end_ms=event.event_ms,
                evidence=(*spell.evidence, event.fact_id),
                digest=chained_digest(spell.digest, event),
            )


def device_findings(spells: Sequence[Spell], activation_to_ms: int, now_ms: int) -> list[Finding]:
    """The spells as findings at *now*; the end of the activation ends them."""
    found = []
    for spell in spells:
        end_ms = spell.end_ms
        if end_ms is None and activation_to_ms <= now_ms:
            end_ms = activation_to_ms
        found.append(
            Finding(
                kind=KIND_OF_START[spell.reason],
                begin_ms=spell.begin_ms,
                end_ms=end_ms,
                known_ms=spell.begin_ms,
                reason=spell.reason,
                requirement_id=spell.requirement_id,
                evidence=spell.evidence,
                facts_hash=hash_of([spell.digest]),
            )
        )
    return found
