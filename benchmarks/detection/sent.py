"""What the tags of a world sent, by activation, read as the service reads it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from emtrack.emulator import World
from emtrack.forms.reading import read_orders
from emtrack.forms.to_core import plans_of
from geofence import Fact, Plan, Position, without_duplicates
from ingest import EventReport, Refusal, fact_of, read_report


@dataclass(frozen=True)
class Sent:
    """All that one activation sent, each content once, in the order of evidence. `skew_ms`: its clock less the true time."""

    plan: Plan
    facts: list[Fact]
    skew_ms: int

    @property
    def positions(self) -> list[Position]:
        return [fact for fact in self.facts if isinstance(fact, Position)]


def sent_by(world: World, end_ms: int) -> list[Sent]:
    """What came from each activation of a world up to `end_ms`, read as the service reads it."""
    orders = read_orders(msgspec.json.encode(world.orders()).decode(), "orders")
    plans = plans_of(orders)
    home_of = {unit.hmu_id: unit.requirement_id for unit in orders.home_units}
    by_device: dict[str, list[Plan]] = defaultdict(list)
    for plan in plans:
        by_device[plan.activation.device_id].append(plan)
    facts: dict[str, list[Fact]] = {plan.activation.activation_id: [] for plan in plans}
    for number, (device_id, received_ms, raw) in enumerate(_reports(world, end_ms)):
        report = read_report(raw)
        if isinstance(report, Refusal):
            raise ValueError(f"the emulator sent what is refused: {report.what}")
        unit = None
        if isinstance(report, EventReport) and report.hmu_id is not None:
            unit = home_of[report.hmu_id]
        for plan in by_device[device_id]:
            if plan.activation.from_ms <= report.own_ms < plan.activation.to_ms:
                facts[plan.activation.activation_id].append(fact_of(report, unit, received_ms, number))
    return [
        Sent(plan, without_duplicates(facts[plan.activation.activation_id]), world.skew_ms(plan.activation.device_id))
        for plan in plans
    ]


def _reports(world: World, end_ms: int) -> Iterator[tuple[str, int, dict[str, object]]]:
    for upload in world.uploads(world.start_ms, end_ms):
        for raw in upload.reports:
            yield upload.device_id, upload.send_ms, raw
