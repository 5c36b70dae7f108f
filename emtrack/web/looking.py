"""Looks that pages and programs have in common: on record before what they read."""

from __future__ import annotations

from collections.abc import Iterable

from alerts import Alert, wearer_of_alert
from emtrack.db.connect import Connection
from emtrack.people.looks import (
    ALERT,
    Looker,
    What,
    look_at_everybody,
    look_at_people,
)
from emtrack.people.roles import Caller
from emtrack.web.guard import door_of


async def look_at_queue(connection: Connection, looker: Looker, now_ms: int) -> None:
    """Before the queue is read, and nobody knows yet who stands in it. A person said so when the shift began; a program says it
    here."""
    await look_at_everybody(connection, looker, What.SHIFT, now_ms)


async def look_at_alerts(connection: Connection, looker: Looker, alerts: Iterable[Alert], now_ms: int) -> None:
    """That somebody sees what was found about the people of these alerts."""
    people = [alert.wearer_no for alert in alerts if alert.wearer_no is not None]
    await look_at_people(connection, looker, people, What.QUEUE, now_ms)


def looker_at_alert(caller: Caller) -> Looker:
    """An alert is a purpose of its own."""
    return Looker(caller.name, str(caller.role), door_of(caller), ALERT, caller.reference)


async def look_at_alert(connection: Connection, looker: Looker, alert_no: int, now_ms: int) -> None:
    """Before an alert is read with what was found."""
    wearer_no = await wearer_of_alert(connection, alert_no)
    if wearer_no is None:
        await look_at_everybody(connection, looker, What.SHIFT, now_ms)
    else:
        await look_at_people(connection, looker, [wearer_no], What.FINDINGS, now_ms)
