"""Facts: what a device reported, with the times of RULES.md section 3. Frozen, in milliseconds of UTC."""

from __future__ import annotations

import hashlib
from itertools import islice
from operator import lt

import msgspec

from geofence.words import EventType, Mechanism

FUTURE_LIMIT_MS = 300_000
"""A fact whose own time is further than this after its receipt is kept and is not evidence."""

DEFAULT_RADIUS_M = {Mechanism.GPS: 20.0, Mechanism.WIFI: 50.0, Mechanism.RF: 50.0, Mechanism.LBS: 1000.0}

_EVENT_RANK = {
    EventType.RF_IN: 0,
    EventType.RF_OUT: 1,
    EventType.STRAP_CLEAR: 2,
    EventType.CASE_CLEAR: 2,
    EventType.BATTERY_OK: 2,
    EventType.HMU_POWER_RESTORED: 2,
    EventType.JAMMING_CLEAR: 2,
    EventType.ALCOHOL_CLEAR: 2,
    EventType.HEARTBEAT: 4,
}
_START_RANK = 3
"""At one instant clears come before starts, so that a start outlives a clear."""
POSITION_RANK = {Mechanism.RF: 5, Mechanism.GPS: 6, Mechanism.WIFI: 7, Mechanism.LBS: 8}

Key = tuple[int, int]
"""Place of a fact in the order of evidence: its own time, then its rank at one instant."""


class Position(msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="fact", tag="P"):
    """One fix. `precision_m` is what the device said (None, zero or negative: not known)."""

    fix_ms: int
    lat_deg: float
    lon_deg: float
    precision_m: float | None
    mechanism: Mechanism
    received_ms: int
    fact_id: int = 0

    @property
    def own_ms(self) -> int:
        return self.fix_ms

    @property
    def key(self) -> Key:
        return (self.fix_ms, POSITION_RANK[self.mechanism])

    @property
    def radius_m(self) -> float:
        """Radius of the circle that holds the true place about 95 % of the time."""
        if self.precision_m is not None and self.precision_m > 0:
            return self.precision_m
        return DEFAULT_RADIUS_M[self.mechanism]

    @property
    def implausible_by_itself(self) -> bool:
        """(0, 0), or too far ahead of its receipt; such a position takes no part in a conflict."""
        nowhere = self.lat_deg == 0 and self.lon_deg == 0
        return nowhere or self.fix_ms > self.received_ms + FUTURE_LIMIT_MS

    @property
    def precedence(self) -> tuple[float, float, float]:
        """Among conflicting positions the smallest is evidence."""
        known = self.precision_m is not None and self.precision_m > 0
        return (self.radius_m if known else float("inf"), self.lat_deg, self.lon_deg)

    @property
    def content(self) -> tuple[int, Mechanism, float, float, float | None]:
        """What makes two reports of one activation duplicates."""
        return (self.fix_ms, self.mechanism, self.lat_deg, self.lon_deg, self.precision_m)


class DeviceEvent(msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="fact", tag="E"):
    """One event. `requirement_id`: the curfew requirement at whose address the home unit stands, if it names one."""

    event_ms: int
    type: EventType
    requirement_id: str | None
    received_ms: int
    fact_id: int = 0
    sent_by: str | None = None
    """The home unit that sent it; None: the device itself."""

    @property
    def own_ms(self) -> int:
        return self.event_ms

    @property
    def key(self) -> Key:
        return (self.event_ms, _EVENT_RANK.get(self.type, _START_RANK))

    @property
    def is_judged(self) -> bool:
        """A heartbeat that names no home unit is communication and nothing else; an event too far ahead is received and not
        judged."""
        says_something = self.type is not EventType.HEARTBEAT or self.requirement_id is not None
        return says_something and self.event_ms <= self.received_ms + FUTURE_LIMIT_MS

    @property
    def content(self) -> tuple[int, EventType, str | None]:
        """What makes two reports of one activation duplicates."""
        return (self.event_ms, self.type, self.requirement_id)


Fact = Position | DeviceEvent


def is_evidence_candidate(fact: Fact) -> bool:
    """Whether the fact can bear on anything but silence."""
    return not fact.implausible_by_itself if isinstance(fact, Position) else fact.is_judged


def chained_digest(digest: bytes, fact: Fact) -> bytes:
    """16 bytes that stand for a sequence of facts: the digest so far, and one fact more."""
    return hashlib.blake2b(digest + repr(fact.content).encode(), digest_size=16).digest()


def _heard_first(fact: Fact, other: Fact) -> bool:
    """Of two reports of one content: which counts. Received at one instant, it is what the device sent itself."""
    return (fact.received_ms, _is_relayed(fact)) < (other.received_ms, _is_relayed(other))


def _is_relayed(fact: Fact) -> bool:
    return isinstance(fact, DeviceEvent) and fact.sent_by is not None


def without_duplicates(facts: list[Fact]) -> list[Fact]:
    """Each content once, with its smallest `received_ms`; in the order of evidence."""
    if _times_ascend(facts):  # as they are stored: of two contents of one activation neither has the other's time
        return list(facts)
    first: dict[object, Fact] = {}
    for fact in facts:
        kept = first.get(fact.content)
        if kept is None or _heard_first(fact, kept):
            first[fact.content] = fact
    return sorted(first.values(), key=lambda fact: fact.key)


def _times_ascend(facts: list[Fact]) -> bool:
    """Whether each is of a later time than the one before: a tenth of what sorting them by their keys takes."""
    own_ms = [fact.fix_ms if type(fact) is Position else fact.own_ms for fact in facts]
    return all(map(lt, own_ms, islice(own_ms, 1, None)))
