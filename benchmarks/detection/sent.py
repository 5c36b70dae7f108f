"""What the tags and home units of a world sent, by activation, read as the service reads it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from emtrack.emulator import World
from emtrack.forms.reading import read_orders
from emtrack.forms.to_core import plans_of
from geofence import DeviceEvent, EventType, Fact, Plan, Position, without_duplicates
from ingest import NAME_A_UNIT, EventReport, PositionReport, Refusal, fact_of, read_report


@dataclass(frozen=True)
class Sent:
    """All that was sent of one activation, each content once, in the order of evidence. `skew_ms`: its clock less the true time."""

    plan: Plan
    facts: list[Fact]
    skew_ms: int

    @property
    def positions(self) -> list[Position]:
        return [fact for fact in self.facts if isinstance(fact, Position)]

    @property
    def sightings(self) -> list[DeviceEvent]:
        """What home units said of coming and leaving."""
        seen = (EventType.RF_IN, EventType.RF_OUT)
        return [fact for fact in self.facts if isinstance(fact, DeviceEvent) and fact.type in seen]


def sent_by(world: World, end_ms: int) -> list[Sent]:
    """What came of each activation of a world up to `end_ms`, read as the service reads it."""
    plans = plans_of(read_orders(msgspec.json.encode(world.orders()).decode(), "orders"))
    told = _Telling(plans)
    facts: dict[str, list[Fact]] = {plan.activation.activation_id: [] for plan in plans}
    for number, (sender, received_ms, raw) in enumerate(_reports(world, end_ms)):
        report = read_report(raw)
        if isinstance(report, Refusal):
            raise ValueError(f"the emulator sent what is refused: {report.what}")
        for plan, its in told.of(sender, report):
            fact = fact_of(its, _home_of(plan, its), received_ms, number)
            facts[plan.activation.activation_id].append(fact)
    return [
        Sent(plan, without_duplicates(facts[plan.activation.activation_id]), world.skew_ms(plan.activation.device_id))
        for plan in plans
    ]


Report = PositionReport | EventReport


class _Telling:
    """Of which activations a report tells: a tag of itself, a home unit of the tag that it names, or of all that it speaks for."""

    def __init__(self, plans: Iterable[Plan]) -> None:
        self._of_device: dict[str, list[Plan]] = defaultdict(list)
        self._of_unit: dict[str, list[Plan]] = defaultdict(list)
        for plan in plans:
            self._of_device[plan.activation.device_id].append(plan)
            for unit in plan.home_units:
                self._of_unit[unit.hmu_id].append(plan)

    def of(self, sender: str, report: Report) -> Iterator[tuple[Plan, Report]]:
        plans = self._of_device.get(sender, [])
        if isinstance(report, EventReport) and sender not in self._of_device:
            heard = [plan for plan in self._of_unit[sender] if plan.activation.tells_of_places]
            plans = heard if report.tag is None else self._of_device[report.tag]
            named = sender if report.type in NAME_A_UNIT else None
            report = msgspec.structs.replace(report, hmu_id=named, sent_by=sender, tag=None)
        for plan in plans:
            if plan.activation.from_ms <= report.own_ms < plan.activation.to_ms:
                yield plan, report


def _home_of(plan: Plan, report: Report) -> str | None:
    """The requirement at whose address the unit stands that an event names."""
    named = report.hmu_id if isinstance(report, EventReport) else None
    return next((str(unit.requirement_id) for unit in plan.home_units if unit.hmu_id == named), None)


def _reports(world: World, end_ms: int) -> Iterator[tuple[str, int, dict[str, object]]]:
    for upload in world.uploads(world.start_ms, end_ms):
        for raw in upload.reports:
            yield upload.device_id, upload.send_ms, raw
