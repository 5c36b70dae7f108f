"""Of which devices a report tells: a tag of itself, a home unit of tags that it hears and of itself.

A key is good for what its holder may speak of and for nothing else. A home unit speaks of a tag only where the wearer of the tag has
an entry of that unit at the time that the report is about; who sent a report follows from the key, never from what the report says.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from emtrack.service.activations import LiveActivations
from emtrack.service.home_units import HomeUnits
from geofence import EventType, format_instant
from ingest import (
    NAME_A_UNIT,
    OF_THE_UNIT_ITSELF,
    EventReport,
    PositionReport,
    Refusal,
    Told,
    event_of_the_unit,
    event_without_a_tag,
    no_activation,
    no_home_unit_entry,
    position_of_a_unit,
)


class Telling:
    """Under the activations and the entries of home units of now. Called as `ingest.Tell` says."""

    def __init__(self, activations: LiveActivations, units: HomeUnits) -> None:
        self._activations = activations
        self._units = units

    def __call__(self, sender_no: int, report: PositionReport | EventReport) -> Sequence[Told] | Refusal:
        if isinstance(report, EventReport) and report.tag is not None:
            return self._of_a_tag(sender_no, report, report.tag)
        if self._activations.at(sender_no, report.own_ms) is not None:
            return (Told(sender_no, report),)
        hmu_id = self._units.id_of(sender_no)
        if hmu_id is None:
            return no_activation("this device", _shown(report.own_ms))
        return self._of_the_unit(hmu_id, report)

    def _of_a_tag(self, sender_no: int, report: EventReport, tag: str) -> Sequence[Told] | Refusal:
        """What a home unit heard a tag say, or heard of it. Whether there is such a tag is nothing that a stranger is told."""
        if report.type in OF_THE_UNIT_ITSELF and report.type is not EventType.HEARTBEAT:
            return event_of_the_unit(report.type)
        hmu_id, live = self._units.id_of(sender_no), self._activations.of_tag_at(tag, report.event_ms)
        if hmu_id is not None and live is not None:
            wearer_no = live.assignment.wearer_no
            if self._units.stands_with(hmu_id, wearer_no, report.event_ms):
                return (Told(live.assignment.device_no, _sent_by(hmu_id, report)),)
        return no_home_unit_entry(f"no home unit of the wearer of {tag!r} at {_shown(report.event_ms)}")

    def _of_the_unit(self, hmu_id: str, report: PositionReport | EventReport) -> Sequence[Told] | Refusal:
        """What a home unit says of itself concerns every tag that it speaks for: of a person with an alcohol tag beside the other,
        the other, so that one trouble is one finding."""
        if isinstance(report, PositionReport):
            return position_of_a_unit()
        if report.type not in OF_THE_UNIT_ITSELF:
            return event_without_a_tag(report.type)
        wearers = self._units.wearers_at(hmu_id, report.event_ms)
        worn = self._activations.of_wearers_at(wearers, report.event_ms)
        lives = [live for live in worn if live.assignment.plan.activation.tells_of_places]
        if not lives:
            what = "nobody with this home unit wore a tag that it speaks for"
            return no_home_unit_entry(f"{what} at {_shown(report.event_ms)}")
        sent = _sent_by(hmu_id, report)
        return [Told(live.assignment.device_no, sent) for live in lives]


def _sent_by(hmu_id: str, report: EventReport) -> EventReport:
    """A home unit names no other than itself."""
    named = hmu_id if report.type in NAME_A_UNIT else None
    return msgspec.structs.replace(report, hmu_id=named, sent_by=hmu_id, tag=None)


def _shown(own_ms: int) -> str:
    try:
        return format_instant(own_ms)
    except OverflowError:
        return f"{own_ms} ms"
