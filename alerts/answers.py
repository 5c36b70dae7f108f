"""Alerts as programs get them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from alerts.entries import EntryFate
from alerts.life import AlertState
from alerts.queue import Alert, AlertAction
from geofence import format_instant

Instant = Annotated[str, Meta(description="ISO 8601, UTC", extra_json_schema={"format": "date-time"})]


class ActionAnswer(msgspec.Struct, frozen=True):
    """What a person did to an alert."""

    done_at: Instant
    done_by: str
    action: str
    outcome: str | None
    note: str | None


class PlaceAnswer(msgspec.Struct, frozen=True):
    """Why an alert stands where it stands, beside its severity and age."""

    rag: str | None
    mappa_level: int | None


class AlertAnswer(msgspec.Struct, frozen=True):
    """An alert: of a `wearer_id`, a `network` or a `home_unit`."""

    alert_no: int
    wearer_id: str | None
    kind: str
    requirement_id: str | None
    network: str | None
    home_unit: str | None
    incident_no: Annotated[int | None, Meta(description="the platform incident that it is grouped under")]
    people: Annotated[int, Meta(description="grouped under it or listed by it; 0 for an alert of one person")]
    code: str | None
    severity: str
    raised_at: Instant
    known_at: Instant
    late_s: float
    closed_at: Instant | None
    occurrences: int
    lasts: bool
    withdrawn: bool
    state: AlertState
    owner: str | None
    escalated_at: Instant | None
    suspended_until: Instant | None
    clock_behind_s: Annotated[list[float] | None, Meta(description="of a clock that is wrong: at least, at most")]
    possible_entry: EntryFate | None
    previous_alert_no: int | None
    place_in_queue: PlaceAnswer
    evidence: Annotated[list[int], Meta(description="ids of the facts that its findings rest on")]
    actions: list[ActionAnswer]


def alert_answer(alert: Alert) -> AlertAnswer:
    return AlertAnswer(
        alert_no=alert.alert_no,
        wearer_id=alert.wearer_id,
        kind=alert.kind,
        requirement_id=alert.requirement_id,
        network=alert.network,
        home_unit=alert.home_unit,
        incident_no=alert.incident_no,
        people=alert.people,
        code=alert.code,
        severity=alert.severity.name.lower(),
        raised_at=format_instant(alert.raised_ms),
        known_at=format_instant(alert.known_ms),
        late_s=alert.late_ms / 1000,
        closed_at=_instant(alert.closed_ms),
        occurrences=alert.occurrences,
        lasts=alert.lasts,
        withdrawn=alert.withdrawn,
        state=alert.state,
        owner=alert.owner,
        escalated_at=_instant(alert.escalated_ms),
        suspended_until=_instant(alert.suspended_until_ms),
        clock_behind_s=None if alert.clock is None else [ms / 1000 for ms in alert.clock.skew],
        possible_entry=None if alert.possible is None else alert.possible.fate,
        previous_alert_no=alert.previous_alert_no,
        place_in_queue=PlaceAnswer(alert.rag, alert.mappa_level),
        evidence=alert.evidence,
        actions=[_action(done) for done in alert.actions],
    )


def _action(done: AlertAction) -> ActionAnswer:
    return ActionAnswer(format_instant(done.done_ms), done.done_by, done.action, done.outcome, done.note)


def _instant(ms: int | None) -> str | None:
    return None if ms is None else format_instant(ms)
