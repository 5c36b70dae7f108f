"""The canary in the record: a person who is nobody, a tag, an activation for each month, and a channel to who listens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from alerts import ChannelKind, NewChannel, add_channel, end_channel
from emtrack.db.connect import Connection
from emtrack.db.opened import opened_database
from emtrack.errors import MendableError
from emtrack.forms.reading import read_orders
from emtrack.orders.entry import enter_orders
from emtrack.orders.importing import wait_until_noticed
from emtrack.record.devices import add_device_key, revoke_device_keys
from emtrack.record.wearers import mark_canary
from emtrack.settings import Settings

NAME: Final = "EMTRACK-CANARY"
CHANNEL: Final = "canary"
KEY_DAYS: Final = 2


class NameTaken(MendableError):
    """Somebody real has the canary's id."""


class Perch(NamedTuple):
    """What the canary needs to sing and to be heard."""

    key: str
    secret: str
    entered_ms: int


async def enter_canary(settings: Settings, address: str, who: str) -> Perch:
    """Enter it, or go on with what is there, under a new key and for who listens at `address`. Raises NameTaken."""
    async with opened_database(settings, "canary") as (connection, clock):
        async with connection.transaction():
            perch = await _enter(connection, address, who, clock.now_ms())
        await wait_until_noticed(connection)
        return perch


async def _enter(connection: Connection, address: str, who: str, now_ms: int) -> Perch:
    if not await mark_canary(connection, NAME):
        raise NameTaken(f"There is a wearer {NAME}, who is no canary: end their orders, or rename them.")
    await enter_orders(connection, read_orders(_orders_of(now_ms), "the canary"), who=who, now_ms=now_ms)
    await revoke_device_keys(connection, NAME, who, now_ms)
    key = await add_device_key(connection, NAME, who, now_ms, datetime.now(UTC) + timedelta(days=KEY_DAYS))
    await end_channel(connection, CHANNEL, who, now_ms)
    channel = NewChannel(CHANNEL, ChannelKind.WEBHOOK, address, severity_from=1, is_canary=True)
    secret = await add_channel(connection, channel, who, now_ms)
    assert secret is not None, "it is a webhook"
    return Perch(key, secret, now_ms)


def _orders_of(now_ms: int) -> str:
    """An activation for the month, so that no history grows without an end."""
    begin = datetime.fromtimestamp(now_ms / 1_000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (begin + timedelta(days=32)).replace(day=1)
    activation = {
        "activation_id": f"{NAME}-{begin:%Y-%m}", "device_id": NAME, "wearer_id": NAME, "from": _text(begin), "to": _text(end),
        "report_interval_s": 300, "evidence": [],
    }  # fmt: skip
    return msgspec.json.encode({"activations": [activation]}).decode()


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def month_of(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m}"


def entered_for(perch: Perch, now_ms: int) -> bool:
    """Whether what was entered still holds: of this month, with a key that does not expire soon."""
    day_ms = 86_400_000
    return month_of(perch.entered_ms) == month_of(now_ms) and now_ms - perch.entered_ms < day_ms
