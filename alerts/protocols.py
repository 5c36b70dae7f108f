"""Scripted steps: what is to be done about an alert, in which order, so that a night does not hang on who is on duty.

A protocol is for a person, a kind of order, a zone or a kind of alert; the one that names the person wins, then the one that names
the order, then the zone, then the kind. Where a deployment has entered none, `SHIPPED` says what is usual in monitoring centres.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from alerts.clocks import CLOCK
from alerts.home_units import HOME_UNIT_SILENT
from alerts.incidents import INCIDENT
from alerts.ledger import ATV
from geofence import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

POSSIBLE_ENTRY = "POSSIBLE_ENTRY"
"""What an EXCLUSION alert is while no finding stands behind it."""
PROTOCOL_KINDS = (*map(str, Kind), POSSIBLE_ENTRY, ATV, CLOCK, INCIDENT, HOME_UNIT_SILENT)
SHIPPED_VERSION = 1
"""Of all of `SHIPPED` together."""


class StepAction(StrEnum):
    """What kind of work a step is."""

    CHECK = "CHECK"
    CALL = "CALL"
    NOTIFY = "NOTIFY"
    WAIT = "WAIT"
    VISIT = "VISIT"
    RECORD = "RECORD"


class Step(NamedTuple):
    """`wait_ms`: it is due so long after the step before it was done; of the first one, after the alert was raised."""

    text: str
    action: StepAction = StepAction.CHECK
    wait_ms: int | None = None


class Protocol(NamedTuple):
    """`protocol_no` None: one of `SHIPPED`. It is for alerts that fit all of what is not None; `wearer_no` of one person."""

    protocol_no: int | None
    version: int
    steps: tuple[Step, ...]
    wearer_no: int | None = None
    order: str | None = None
    zone: str | None = None
    kind: str | None = None


class Case(NamedTuple):
    """What of an alert a protocol goes by. `zones`: the ids of its requirement and of the zone set that this is on."""

    kind: str
    wearer_no: int | None = None
    order: str | None = None
    zones: frozenset[str] = frozenset()


class Tick(NamedTuple):
    """That a step was done, or that it was not after all."""

    step_no: int
    text: str
    is_done: bool
    ticked_ms: int
    ticked_by: str
    protocol_no: int | None


class StepState(NamedTuple):
    """`tick` None: it is not done. `due_ms` None: it has no wait, or it is done, or what comes before it is not."""

    step_no: int
    step: Step
    tick: Tick | None
    due_ms: int | None


def chosen(protocols: Iterable[Protocol], case: Case) -> Protocol:
    """The protocol of a case; the shipped one of its kind where none fits."""
    fitting = [protocol for protocol in protocols if _fits(protocol, case)]
    return max(fitting, key=_rank) if fitting else shipped(case.kind)


def shipped(kind: str) -> Protocol:
    return Protocol(None, SHIPPED_VERSION, SHIPPED[kind], kind=kind)


def _fits(protocol: Protocol, case: Case) -> bool:
    return (
        protocol.wearer_no in (None, case.wearer_no)
        and protocol.order in (None, case.order)
        and protocol.kind in (None, case.kind)
        and (protocol.zone is None or protocol.zone in case.zones)
    )


def _rank(protocol: Protocol) -> tuple[bool, bool, bool, bool]:
    return (
        protocol.wearer_no is not None, protocol.order is not None, protocol.zone is not None, protocol.kind is not None,
    )  # fmt: skip


def states_of(protocol: Protocol, ticks: Sequence[Tick], raised_ms: int) -> list[StepState]:
    """Where each step stands. `ticks` in order; the newest of a step counts."""
    newest = {tick.step_no: tick for tick in ticks if tick.protocol_no == protocol.protocol_no}
    states, before_ms = [], raised_ms
    is_reached = True
    for number, step in enumerate(protocol.steps, 1):
        tick = newest.get(number)
        done = tick if tick is not None and tick.is_done and tick.text == step.text else None
        due_ms = before_ms + step.wait_ms if step.wait_ms is not None and is_reached and done is None else None
        states.append(StepState(number, step, done, due_ms))
        is_reached = done is not None
        before_ms = raised_ms if done is None else done.ticked_ms
    return states


def _minutes(count: int) -> int:
    return count * 60_000


_CHECK, _CALL, _NOTIFY = StepAction.CHECK, StepAction.CALL, StepAction.NOTIFY
_WAIT, _VISIT, _RECORD = StepAction.WAIT, StepAction.VISIT, StepAction.RECORD

SHIPPED: Mapping[str, tuple[Step, ...]] = {
    POSSIBLE_ENTRY: (
        Step("Look at the map: how far inside is the one position, how large is its circle, and where was the person before?"),
        Step("Wait for the next position. Do not ring the person or the victim on one position alone", _WAIT, _minutes(2)),
        Step("If a second position is inside, or none has come: follow the steps for an exclusion zone", _CHECK, _minutes(5)),
        Step("Write down what you saw and close with an outcome", _RECORD),
    ),
    str(Kind.EXCLUSION): (
        Step("Look at the newest position and its circle: is the person inside now?"),
        Step("Ring the police and give the incident. Write down the log number", _NOTIFY),
        Step("Follow what the victim liaison officer has agreed for this zone", _NOTIFY),
        Step("Ring the person: tell them to leave the zone at once", _CALL),
        Step("Look again: has the person left?", _WAIT, _minutes(5)),
        Step("Tell the responsible officer", _NOTIFY),
        Step("Write down who was told what and when", _RECORD),
    ),
    str(Kind.APPROACH): (
        Step("Look at the direction of travel: towards the zone, along it, or away?"),
        Step("Look again: in the zone, still near, or gone?", _WAIT, _minutes(5)),
        Step("If the person stays near: ring and ask why", _CALL),
        Step("Write down the answer", _RECORD),
    ),
    str(Kind.INCLUSION): (
        Step("Look at the newest position: how far outside the zone is the person?"),
        Step("Look for an authorised absence or an excuse on the person's page"),
        Step("Ring the person: ask why, and when they will be back", _CALL),
        Step("Look again: is the person back?", _WAIT, _minutes(15)),
        Step("If not: tell the responsible officer", _NOTIFY),
        Step("Write down what was said", _RECORD),
    ),
    str(Kind.CURFEW): (
        Step("Look at the newest position: is the person near home, on the way, or going away?"),
        Step("Look for an authorised absence, an excuse or a change of the order on the person's page"),
        Step("Ring the person: ask where they are and why, and when they will be home", _CALL),
        Step("If nobody answers: ring once more", _CALL, _minutes(10)),
        Step("Look again: is the person home?", _WAIT, _minutes(15)),
        Step("If not, or if the reason does not hold: tell the responsible officer", _NOTIFY),
        Step("Write down reason, times and who was told", _RECORD),
    ),
    str(Kind.ATTENDANCE): (
        Step("Look at the positions of the appointment's time: was the person near, late, or elsewhere?"),
        Step("Ask the place of the appointment whether the person came", _CALL),
        Step("Tell the responsible officer", _NOTIFY),
        Step("Write down what was said", _RECORD),
    ),
    str(Kind.UNVERIFIED): (
        Step("Look at the last position and at the home unit: since when is nothing known?"),
        Step("Ring the person: ask them to go outside or near the home unit for a few minutes", _CALL),
        Step("Look again: is there a position?", _WAIT, _minutes(15)),
        Step("If not: book a visit to check the equipment", _VISIT),
        Step("Write down what was said", _RECORD),
    ),
    str(Kind.NO_COMMUNICATION): (
        Step("Look at the battery, the last position and the network: are others silent too?"),
        Step("Ring the person: ask them to charge the tag and to go outside", _CALL),
        Step("Look again: has the tag reported?", _WAIT, _minutes(15)),
        Step("If not: ring the contacts of the person", _CALL),
        Step("If the person cannot be reached: tell the responsible officer, and book a visit", _NOTIFY, _minutes(30)),
        Step("Write down what was said", _RECORD),
    ),
    str(Kind.TAMPER): (
        Step("Look whether the strap or the case is still open, and where the tag is"),
        Step("Ring the person: ask what happened, and to stay where they are", _CALL),
        Step("Tell the police if the tag was cut off", _NOTIFY),
        Step("Tell the responsible officer", _NOTIFY),
        Step("Book a visit today to inspect the strap", _VISIT),
        Step("Write down what was said and seen", _RECORD),
    ),
    str(Kind.BATTERY): (
        Step("Ring the person: ask them to charge the tag now, for at least an hour", _CALL),
        Step("Look again: is it charging?", _WAIT, _minutes(30)),
        Step("If it does not charge: book a visit to change tag or charger", _VISIT),
    ),
    str(Kind.HMU): (
        Step("Look whether the home unit has its power again, and whether the tag is heard"),
        Step("Ring the person: ask to plug the unit in where it stood", _CALL),
        Step("Look again: is it heard, at its address?", _WAIT, _minutes(15)),
        Step("If not: book a visit", _VISIT),
        Step("Write down what was said", _RECORD),
    ),
    str(Kind.JAMMING): (
        Step("Look at the last positions: where was the person when the signals were lost?"),
        Step("Ring the person: ask where they are and what is near the tag", _CALL),
        Step("Look again: are there positions?", _WAIT, _minutes(10)),
        Step("If not: tell the responsible officer", _NOTIFY),
        Step("Write down what was said", _RECORD),
    ),
    str(Kind.ALCOHOL): (
        Step("Look whether it is one reading or a curve that rises and falls"),
        Step("Do not ring the person about one reading"),
        Step("Tell the responsible officer", _NOTIFY),
        Step("Write down who was told", _RECORD),
    ),
    ATV: (
        Step("Look at the ledger: is every line right, and is none excused?"),
        Step("Tell the responsible officer that the limit is reached", _NOTIFY),
        Step("Write down who was told", _RECORD),
    ),
    CLOCK: (
        Step("Look how far the clock of the tag is off, and since when"),
        Step("Ask the maker's support to set it", _CALL),
        Step("Look again: is the clock right?", _WAIT, _minutes(60)),
        Step("If not: book a visit to change the tag", _VISIT),
    ),
    INCIDENT: (
        Step("Ring the network or the maker: is the fault known, and until when?", _CALL),
        Step("Tell the supervisor on duty", _NOTIFY),
        Step("Start with the people with red grades and exclusion zones: where was each seen last?"),
        Step("Look again: how many tags are still silent?", _WAIT, _minutes(30)),
        Step("When it is over: look who did not come back", _CHECK),
        Step("Write down cause, times and how many people", _RECORD),
    ),
    HOME_UNIT_SILENT: (
        Step("Look who depends on the unit, and whether their tags give positions"),
        Step("Ring somebody at the address: is the unit plugged in?", _CALL),
        Step("Look again: has it called in?", _WAIT, _minutes(30)),
        Step("If not: book a visit", _VISIT),
    ),
}  # fmt: skip
assert set(SHIPPED) == set(PROTOCOL_KINDS), "every kind of alert has steps"
