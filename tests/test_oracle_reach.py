"""What the random worlds are worth: each rule decides something in them.

Most rules have a change of the world after which the rule has nothing to say; where the oracle then tells another story, the rule was
reached. Others are seen in the story itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import Phase, given, seed, settings

from geofence.facts import DeviceEvent, Fact, Position
from geofence.obligations import Requirement
from geofence.words import FOREVER_MS, EventType, EvidenceKind, Mechanism
from tests.oracle import Told, findings_by_the_rules
from tests.test_oracle import MEMBERS_OF, ORDINARY, World, worlds

pytestmark = pytest.mark.long
"""It looks at the tests, not at the product: half a minute of worlds are made for it."""
OFTEN = 5
BATCHES = 80
TROUBLE = {EventType.HMU_MOVED, EventType.HMU_POWER_LOST}
SIGHTINGS = {EventType.RF_IN, EventType.RF_OUT}
Change = Callable[[World], World]


# ------------------------------------------------------------------------------------------- changes


def as_it_is(world: World) -> World:
    return world


def _with_plan(world: World, **changes: object) -> World:
    return world._replace(plan=msgspec.structs.replace(world.plan, **changes))


def _with_requirements(world: World, change: Callable[[Requirement], Requirement]) -> World:
    return _with_plan(world, requirements=tuple(map(change, world.plan.requirements)))


def _with_events(world: World, change: Callable[[DeviceEvent], DeviceEvent]) -> World:
    return world._replace(facts=[change(f) if isinstance(f, DeviceEvent) else f for f in world.facts])


def _events(world: World, kinds: set[EventType]) -> list[DeviceEvent]:
    return [f for f in world.facts if isinstance(f, DeviceEvent) and f.type in kinds]


def no_home_unit_is_entered(world: World) -> World:
    return _with_plan(world, home_units=())


def sightings_hold_as_positions_do(world: World) -> World:
    return _with_requirements(
        no_home_unit_is_entered(world), lambda requirement: msgspec.structs.replace(requirement, rf_gap_ms=None)
    )


def heartbeats_name_no_unit(world: World) -> World:
    def named_nobody(event: DeviceEvent) -> DeviceEvent:
        return msgspec.structs.replace(event, requirement_id=None) if event.type == "HEARTBEAT" else event

    return _with_events(world, named_nobody)


def heartbeats_are_sightings(world: World) -> World:
    """Of what the unit last saw, whatever came between."""
    beats = [beat for beat in _events(world, {EventType.HEARTBEAT}) if beat.requirement_id is not None]
    repeated = [
        msgspec.structs.replace(beat, type=last.type)
        for beat in beats
        for last in _last_of(world, beat, SIGHTINGS)
    ]  # fmt: skip
    return world._replace(facts=[*world.facts, *repeated])


def heartbeats_without_trouble_are_sightings(world: World) -> World:
    """Of what the unit last saw, unless trouble came between."""

    def is_troubled(beat: DeviceEvent) -> bool:
        seen, lost = (_last_of(world, beat, kinds) for kinds in (SIGHTINGS, TROUBLE))
        return any(last.event_ms >= sighting.event_ms for last in lost for sighting in seen)

    kept = [f for f in world.facts if not isinstance(f, DeviceEvent) or f.type != "HEARTBEAT" or not is_troubled(f)]
    return heartbeats_are_sightings(world._replace(facts=kept))


def _last_of(world: World, beat: DeviceEvent, kinds: set[EventType]) -> list[DeviceEvent]:
    """The last such event of the unit that the heartbeat names, if there was one."""
    its_own = [e for e in _events(world, kinds) if e.requirement_id in (None, beat.requirement_id)]
    before = [e for e in its_own if e.event_ms <= beat.event_ms]
    return sorted(before, key=lambda e: (e.event_ms, e.type == "RF_IN"))[-1:]


def no_unit_has_trouble(world: World) -> World:
    trouble = _events(world, TROUBLE)
    return world._replace(facts=[fact for fact in world.facts if fact not in trouble])


def no_circle_is_like_another(world: World) -> World:
    """Each is moved by less than the breadth of a hair."""

    def moved(number: int, fact: Fact) -> Fact:
        if not isinstance(fact, Position) or fact.mechanism is not Mechanism.LBS:
            return fact
        return msgspec.structs.replace(fact, lat_deg=fact.lat_deg + number * 1e-10)

    numbers = {fact.content: number for number, fact in enumerate(world.facts)}
    return world._replace(facts=[moved(numbers[fact.content], fact) for fact in world.facts])


def any_time_is_lately(world: World) -> World:
    return _with_requirements(world, lambda r: msgspec.structs.replace(r, seen_within_ms=FOREVER_MS // 2))


def no_verdict_is_late_enough(world: World) -> World:
    """Only a sighting whose hold reaches the start can still say that a person was out."""
    return _with_requirements(world, lambda r: msgspec.structs.replace(r, seen_within_ms=-1))


def devices_tell_everything(world: World) -> World:
    return _with_plan(world, activation=msgspec.structs.replace(world.plan.activation, evidence=tuple(EvidenceKind)))


def devices_send_everything_themselves(world: World) -> World:
    return _with_events(world, lambda event: msgspec.structs.replace(event, sent_by=None))


def what_is_ahead_was_not_received(world: World) -> World:
    return world._replace(facts=[fact for fact in world.facts if fact.own_ms <= world.now_ms])


def nobody_is_excused(world: World) -> World:
    return _with_plan(world, absences=())


def trouble_names_a_unit(world: World) -> World:
    def named(event: DeviceEvent) -> DeviceEvent:
        if event.type not in TROUBLE or event.requirement_id is not None:
            return event
        return msgspec.structs.replace(event, requirement_id="nobody's")

    return _with_events(world, named)


class Reach(NamedTuple):
    """A rule, two worlds that differ only by it, and the kinds of finding that may tell them apart."""

    rule: str
    one: Change
    other: Change
    kinds: tuple[str, ...]


OF_PLACES = ("CURFEW", "INCLUSION", "UNVERIFIED", "ATTENDANCE")
REACHES = [
    Reach("2 told by what a device can tell", as_it_is, devices_tell_everything, OF_PLACES),
    Reach("2 an absence excuses from a period", as_it_is, nobody_is_excused, ("ATTENDANCE",)),
    Reach("3 a sighting has a gap of its own", as_it_is, sightings_hold_as_positions_do, OF_PLACES),
    Reach("3 the gap of a unit wins", as_it_is, no_home_unit_is_entered, OF_PLACES),
    Reach("3 a heartbeat repeats", as_it_is, heartbeats_name_no_unit, OF_PLACES),
    Reach("3 but nothing contradicted", as_it_is, heartbeats_without_trouble_are_sightings, OF_PLACES),
    Reach("3 nor what was before trouble", heartbeats_without_trouble_are_sightings, heartbeats_are_sightings, OF_PLACES),
    Reach("3 units do not hide a dead tag", as_it_is, devices_send_everything_themselves, ("NO_COMMUNICATION",)),
    Reach("4 trouble ends a hold", as_it_is, no_unit_has_trouble, OF_PLACES),
    Reach("4 a repeated circle confirms nothing", as_it_is, no_circle_is_like_another, OF_PLACES),
    Reach("5 not seen lately", as_it_is, any_time_is_lately, ("CURFEW", "INCLUSION")),
    Reach("5 seen lately", as_it_is, no_verdict_is_late_enough, ("CURFEW", "INCLUSION")),
    Reach("5 what is ahead is communication", as_it_is, what_is_ahead_was_not_received, ("NO_COMMUNICATION",)),
    Reach("5 any clear clears a finding without a unit", as_it_is, trouble_names_a_unit, ("HMU",)),
]  # fmt: skip


# ------------------------------------------------------------------------------------------- stories


def _is_put_off_by_an_outage(world: World, found: Sequence[Told]) -> bool:
    ends_ms = {outage.end_ms for outage in world.plan.outages}
    return any(f.kind == "NO_COMMUNICATION" and f.begin_ms in ends_ms for f in found)


def _of_attendance(kind: str, world: World, found: Sequence[Told]) -> list[Told]:
    entries = {r.entry_id for r in world.plan.requirements if r.kind == "ATTENDANCE"}
    return [f for f in found if f.kind == kind and f.entry_id in entries]


def _is_missed(world: World, found: Sequence[Told]) -> bool:
    return any(f.end_ms is not None for f in _of_attendance("ATTENDANCE", world, found))


def _cannot_be_kept(world: World, found: Sequence[Told]) -> bool:
    return any(f.end_ms is None for f in _of_attendance("ATTENDANCE", world, found))


def _is_not_known(world: World, found: Sequence[Told]) -> bool:
    return bool(_of_attendance("UNVERIFIED", world, found))


def _periods_overlap(world: World, found: Sequence[Told]) -> bool:
    whole = [f for kind in ("UNVERIFIED", "ATTENDANCE") for f in _of_attendance(kind, world, found)]
    pairs = [(a, b) for a in whole for b in whole if a is not b and a.entry_id == b.entry_id]
    return any(a.begin_ms <= b.begin_ms < (a.end_ms or FOREVER_MS) for a, b in pairs)


def _begins_late_as_if_at_the_start(world: World, found: Sequence[Told]) -> bool:
    """It begins at a verdict in the period: its reason says that it was on at the start, and its grace runs from there."""
    seen = findings_by_the_rules(*any_time_is_lately(world), MEMBERS_OF)
    begins = {(f.entry_id, f.begin_ms) for f in seen if f.kind == "CURFEW"}
    return any(f.kind == "CURFEW" and f.within_grace and (f.entry_id, f.begin_ms) not in begins for f in found)


def _a_sighting_alone_reaches_the_start(world: World, found: Sequence[Told]) -> bool:
    """The finding stays where no verdict lies near the start, and it begins where no verdict is."""
    left = findings_by_the_rules(*no_verdict_is_late_enough(world), MEMBERS_OF)
    seen_ms = {fact.own_ms for fact in world.facts}
    return any(f.kind == "CURFEW" and f.begin_ms not in seen_ms for f in left if f in found)


STORIES: dict[str, Callable[[World, Sequence[Told]], bool]] = {
    "5 an outage at the limit puts a silence off": _is_put_off_by_an_outage,
    "5 a sighting reaches the start": _a_sighting_alone_reaches_the_start,
    "5 grace of one who was seen late": _begins_late_as_if_at_the_start,
    "5 an appointment is missed": _is_missed,
    "5 an appointment cannot be kept any more": _cannot_be_kept,
    "5 of an appointment nobody knows": _is_not_known,
    "2 appointments overlap": _periods_overlap,
}
RULES = {reach.rule for reach in REACHES} | STORIES.keys()


# ------------------------------------------------------------------------------------------- counting


def _told(world: World, kinds: Iterable[str]) -> list[Told]:
    return [f._replace(zone_id=None) for f in findings_by_the_rules(*world, MEMBERS_OF) if f.kind in kinds]


def rules_reached(world: World, asked: set[str]) -> set[str]:
    """Those of the rules asked for that decide something in this world."""
    found = findings_by_the_rules(*world, MEMBERS_OF)
    changes = [reach for reach in REACHES if reach.rule in asked]
    by_change = {r.rule for r in changes if _told(r.one(world), r.kinds) != _told(r.other(world), r.kinds)}
    return by_change | {rule for rule in STORIES if rule in asked and STORIES[rule](world, found)}


@pytest.fixture(scope="module")
def reached() -> Counter[str]:
    """How many worlds, the same each time, reach each rule: in batches, until each is reached often."""
    counts: Counter[str] = Counter()

    def explore(world: World) -> None:
        counts.update(rules_reached(world, {rule for rule in RULES if counts[rule] < OFTEN}))

    some = settings(ORDINARY, max_examples=40, derandomize=False, phases=[Phase.generate], database=None)
    for number in range(BATCHES):
        run: Callable[[], None] = seed(number)(some(given(worlds())(explore)))
        run()
        if all(counts[rule] >= OFTEN for rule in RULES):
            break
    return counts


@pytest.mark.parametrize("rule", sorted(RULES))
def test_the_worlds_reach_each_rule_often(reached, rule):
    assert reached[rule] >= OFTEN
