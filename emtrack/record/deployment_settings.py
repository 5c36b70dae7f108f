"""The settings of the deployment in the record: each change is a new version."""

from __future__ import annotations

import asyncpg
import msgspec

from emtrack.db.connect import Connection
from emtrack.forms.orders import Orders, SettingsForm
from emtrack.forms.to_core import atv_settings_of, settings_of, silence_near_m_of, timezone_of
from emtrack.record.changes import SETTINGS_ENTERED
from emtrack.record.entering import OrderWriter
from geofence import JudgementSettings, datetime_of

DEFAULT_TIMEZONE = "Europe/London"

SETTINGS = "SELECT * FROM settings_versions WHERE upper_inf(recorded)"
SETTINGS_HELD_AT = "SELECT * FROM settings_versions WHERE recorded @> $1::timestamptz"
CLOSE_SETTINGS = "UPDATE settings_versions SET recorded = tstzrange(lower(recorded), $1) WHERE upper_inf(recorded)"
NEW_SETTINGS = """
INSERT INTO settings_versions (timezone, max_gap_ms, unknown_limit_ms, silence_buffer_ms, atv_threshold_ms, atv_counts_grace,
                               silence_near_m, recorded, entered_by)
SELECT s.*, $2, $3
FROM jsonb_to_record($1) AS s (timezone text, max_gap_ms bigint, unknown_limit_ms bigint, silence_buffer_ms bigint,
                               atv_threshold_ms bigint, atv_counts_grace boolean, silence_near_m float8)
"""


class StoredSettings(msgspec.Struct, frozen=True):
    """A version. The first four are what people are judged by; the others are of the ledger of accumulated violations."""

    timezone: str
    max_gap_ms: int
    unknown_limit_ms: int
    silence_buffer_ms: int
    atv_threshold_ms: int | None
    atv_counts_grace: bool
    silence_near_m: float

    @property
    def judged_by(self) -> tuple[str, int, int, int]:
        return self.timezone, self.max_gap_ms, self.unknown_limit_ms, self.silence_buffer_ms


async def enter_settings(writer: OrderWriter, orders: Orders) -> None:
    """Where the orders give settings or a time zone, they replace what was entered before."""
    row = await writer.connection.fetchrow(SETTINGS)
    before = None if row is None else _stored(row)
    wanted = _wanted(orders, before)
    if wanted == before:
        return
    await writer.connection.execute(CLOSE_SETTINGS, writer.now)
    fields = msgspec.to_builtins(wanted)
    await writer.connection.execute(NEW_SETTINGS, fields, writer.since, writer.who)
    same_judgement = before is not None and before.judged_by == wanted.judged_by
    writer.changed("settings of alerts entered" if same_judgement else SETTINGS_ENTERED, None, **fields)


def _stored(row: asyncpg.Record) -> StoredSettings:
    return StoredSettings(**{name: row[name] for name in StoredSettings.__struct_fields__})


def _wanted(orders: Orders, before: StoredSettings | None) -> StoredSettings:
    timezone = timezone_of(orders) if before is None else timezone_of(orders, before.timezone)
    if before is not None and isinstance(orders.settings, msgspec.UnsetType):
        return msgspec.structs.replace(before, timezone=timezone)
    settings = settings_of(orders)
    return StoredSettings(
        timezone,
        settings.max_gap_ms,
        settings.unknown_limit_ms,
        settings.silence_buffer_ms,
        *atv_settings_of(orders),
        silence_near_m_of(orders),
    )


async def load_settings(connection: Connection, held_at_ms: int) -> tuple[str, JudgementSettings]:
    """Time zone and settings that were held at an instant; the defaults before any were entered."""
    row = await connection.fetchrow(SETTINGS_HELD_AT, datetime_of(held_at_ms))
    if row is None:
        return DEFAULT_TIMEZONE, JudgementSettings()
    return row["timezone"], JudgementSettings(row["max_gap_ms"], row["unknown_limit_ms"], row["silence_buffer_ms"])


async def silence_near_m(connection: Connection) -> float:
    """How near an exclusion zone a last position makes a silence serious, as it is held now."""
    row = await connection.fetchrow(SETTINGS)
    return SettingsForm().silence_near_m if row is None else float(row["silence_near_m"])
