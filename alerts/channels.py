"""Where messages may go: an administrator's list of e-mail addresses and webhooks."""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from geofence import datetime_of

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

    from alerts.store import Connection

MOST = 100
LONGEST_TARGET = 300
ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
"""What HTML takes for an e-mail address, in ASCII: nothing that could be two, or a header."""


class ChannelKind(StrEnum):
    EMAIL = "e-mail"
    WEBHOOK = "webhook"


class UnfitChannel(ValueError):
    """A channel that cannot be entered. The message says what to change."""


class NewChannel(NamedTuple):
    """`account`: told while it is on call. `severity_from`: told of each new alert so grave or graver; None: of none.
    `is_outside`: of people who are not in the centre. `is_fallback`: told what somebody on call would be told, when nobody is.
    `is_canary`: of the canary alone, on this machine. `is_for_wearers`: it brings messages to those who wear tags, and
    gets nothing else."""

    name: str
    kind: ChannelKind
    target: str
    account: str | None = None
    severity_from: int | None = None
    is_outside: bool = False
    is_fallback: bool = False
    is_canary: bool = False
    is_for_wearers: bool = False


class Channel(NamedTuple):
    """One that is in use. `secret`: of a webhook, as Standard Webhooks writes it."""

    channel_no: int
    name: str
    kind: ChannelKind
    target: str
    secret: str | None
    account: str | None
    severity_from: int | None
    is_outside: bool
    is_fallback: bool
    is_canary: bool
    is_for_wearers: bool
    entered_at: datetime
    entered_by: str


COLUMNS = """
    channel_no, name, kind, target, secret, account, severity_from, is_outside, is_fallback, is_canary,
    is_for_wearers, entered_at, entered_by
"""
NOW = f"SELECT {COLUMNS} FROM channels WHERE ended_at IS NULL ORDER BY name"  # noqa: S608  a constant made of constants
OF_NUMBER = f"SELECT {COLUMNS} FROM channels WHERE channel_no = $1 AND ended_at IS NULL"  # noqa: S608
LISTED_CHANNELS = """
SELECT name, kind, target, account, severity_from, is_outside, is_fallback, is_for_wearers, entered_at, entered_by FROM channels
WHERE ended_at IS NULL AND NOT is_canary ORDER BY name
"""
ADD = """
INSERT INTO channels (name, kind, target, secret, account, severity_from, is_outside, is_fallback, is_canary, is_for_wearers,
                      entered_at, entered_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
END = "UPDATE channels SET ended_at = $2, ended_by = $3 WHERE name = $1 AND ended_at IS NULL RETURNING channel_no"


async def channels_now(connection: Connection) -> list[Channel]:
    """Those in use, by name."""
    return [_channel(row) for row in await connection.fetch(NOW)]


async def listed_channels(connection: Connection) -> list[asyncpg.Record]:
    """Those in use, for people: never with what the messages of a webhook are signed."""
    rows: list[asyncpg.Record] = await connection.fetch(LISTED_CHANNELS)
    return rows


async def channel_of(connection: Connection, channel_no: int) -> Channel | None:
    """None: it is in use no longer, and nothing more goes there."""
    row = await connection.fetchrow(OF_NUMBER, channel_no)
    return None if row is None else _channel(row)


def _channel(row: object) -> Channel:
    values = dict(row)  # type: ignore[call-overload]
    return Channel(**values | {"kind": ChannelKind(values["kind"])})


async def add_channel(connection: Connection, new: NewChannel, who: str, now_ms: int) -> str | None:
    """Enter it. The secret of a webhook, which is shown once. Raises UnfitChannel."""
    _refuse_unfit(new)
    known = await channels_now(connection)
    if any(channel.name == new.name for channel in known):
        raise UnfitChannel(f"there is a channel {new.name!r}; end it first, or choose another name")
    if len(known) >= MOST:
        raise UnfitChannel(f"there are {MOST} channels; end one first")
    secret = f"whsec_{b64encode(secrets.token_bytes(32)).decode()}" if new.kind is ChannelKind.WEBHOOK else None
    await connection.execute(
        ADD, new.name, new.kind, new.target, secret, new.account, new.severity_from, new.is_outside, new.is_fallback, new.is_canary,
        new.is_for_wearers, datetime_of(now_ms), who,
    )  # fmt: skip
    return secret


def _refuse_unfit(new: NewChannel) -> None:
    if len(new.target) > LONGEST_TARGET:
        raise UnfitChannel(f"the target has {len(new.target):,} characters; expected at most {LONGEST_TARGET}")
    if new.kind is ChannelKind.EMAIL and ADDRESS.fullmatch(new.target) is None:
        raise UnfitChannel(f"{new.target!r} is no e-mail address such as duty@centre.example")
    if new.kind is ChannelKind.WEBHOOK:
        _refuse_unfit_address(new.target)
    if new.severity_from is not None and not 1 <= new.severity_from <= 4:
        raise UnfitChannel("a severity is critical, serious, warning or message")


def _refuse_unfit_address(target: str) -> None:
    try:
        parts = urlsplit(target)
        is_fit = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fit = False
    if not is_fit or not target.isascii() or not target.isprintable() or " " in target:
        raise UnfitChannel(f"{target!r} is no address such as https://hooks.example/alerts")
    if parts.username or parts.password:
        raise UnfitChannel("leave name and password out of the address: messages are signed instead")


async def end_channel(connection: Connection, name: str, who: str, now_ms: int) -> bool:
    """Nothing goes there any more, what waits for it included. False: there is no such channel."""
    return await connection.fetchval(END, name, datetime_of(now_ms), who) is not None
