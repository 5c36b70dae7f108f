"""Under which identifier a device is known in a protocol of trackers. An identifier names a device and proves nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from emtrack.clock import machine_ms
from emtrack.errors import MendableError
from emtrack.forms.orders import DeviceForm
from emtrack.people.events import Subject, record_event
from emtrack.record.changes import OrderChange, log_change
from emtrack.record.devices import NoDevice, device_no_of
from geofence import datetime_of
from ingest.protocols import unfit_identifier

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.record.entering import OrderWriter

ENTERED, ENDED = "device identifier entered", "device identifier ended"
"""As the log of changes has them."""

ADD = """
INSERT INTO device_identifiers (device_no, protocol, identifier, added_at) VALUES ($1, $2, $3, $4)
"""
HOLDER = """
SELECT d.device_id FROM device_identifiers i JOIN devices d USING (device_no)
WHERE i.protocol = $1 AND i.identifier = $2 AND i.ended_at IS NULL
"""
END = """
UPDATE device_identifiers SET ended_at = $3 WHERE device_no = $1 AND protocol = $2 AND ended_at IS NULL RETURNING identifier
"""
OF_DEVICE = """
SELECT protocol, identifier, added_at, ended_at FROM device_identifiers WHERE device_no = $1 ORDER BY identifier_no
"""
# By all devices, but by those that are on a canary and on nobody else.
SPOKEN = """
SELECT d.device_id, i.protocol, i.identifier FROM device_identifiers i JOIN devices d USING (device_no)
WHERE i.ended_at IS NULL
  AND (SELECT bool_and(v.wearer_no IN (SELECT canary_wearers())) FROM activation_versions v
       WHERE v.device_no = i.device_no AND upper_inf(v.recorded)) IS NOT TRUE
ORDER BY d.device_id, i.protocol
"""
# Which of some facts nobody vouches for.
UNAUTHENTICATED = "SELECT fact_id FROM unauthenticated_among($1::bigint[]) AS found (fact_id)"


class UnfitIdentifier(MendableError, ValueError):
    """An identifier or protocol that cannot be entered. The message says what was expected."""


class IdentifierTaken(MendableError):
    """Another device is known by this identifier."""


class ListedIdentifier(NamedTuple):
    """An identifier that a device has or had."""

    protocol: str
    identifier: str
    added: str
    ended: str


def refuse_unfit_identifier(protocol: str, identifier: str) -> None:
    """Raises UnfitIdentifier."""
    if (trouble := unfit_identifier(protocol, identifier)) is not None:
        raise UnfitIdentifier(trouble)


async def set_identifier(
    connection: Connection, device_id: str, protocol: str, identifier: str, who: str, now_ms: int
) -> None:
    """A device speaks a protocol, and is known there by this identifier from now on; the one before ends. `now_ms`: of the service's
    clock. Inside a transaction. Raises UnfitIdentifier, NoDevice or IdentifierTaken."""
    refuse_unfit_identifier(protocol, identifier)
    await device_no_of(connection, device_id)
    await log_change(connection, OrderChange(ENTERED, None, _detail(device_id, protocol)), who, now_ms)
    await _set(connection, device_id, protocol, identifier, who)


async def enter_identifiers(writer: OrderWriter, forms: Sequence[DeviceForm]) -> None:
    """What orders say of devices that are entered; what they do not name stays. Raises IdentifierTaken."""
    for form in forms:
        listed = await list_identifiers(writer.connection, form.device_id)
        held = {one.protocol: one.identifier for one in listed if not one.ended}
        for protocol, identifier in form.speaks.items():
            if held.get(protocol) != identifier:
                await _set(writer.connection, form.device_id, protocol, identifier, writer.who)
                writer.changed(ENTERED, None, **_detail(form.device_id, protocol))


async def _set(connection: Connection, device_id: str, protocol: str, identifier: str, who: str) -> None:
    """Under the lock of orders."""
    device_no, now = await device_no_of(connection, device_id), datetime_of(machine_ms())
    await connection.execute(END, device_no, protocol, now)
    if (holder := await connection.fetchval(HOLDER, protocol, identifier)) is not None:
        raise IdentifierTaken(
            f"{identifier!r} is the {protocol} identifier of {holder}; end it there first "
            f"(`emtrack devices identifiers end {holder} {protocol}`)"
        )
    await connection.execute(ADD, device_no, protocol, identifier, now)
    await record_event(connection, Subject.DEVICE, device_id, "identifier set", who, f"{protocol} {identifier}")


async def end_identifier(connection: Connection, device_id: str, protocol: str, who: str, now_ms: int) -> None:
    """The device speaks this protocol no longer, within a second. Inside a transaction. Raises NoDevice."""
    device_no = await device_no_of(connection, device_id)
    ended = await connection.fetchval(END, device_no, protocol, datetime_of(machine_ms()))
    if ended is None:
        raise NoDevice(
            f"{device_id!r} speaks no {protocol!r}; `emtrack devices identifiers list` shows what it speaks"
        )
    await log_change(connection, OrderChange(ENDED, None, _detail(device_id, protocol)), who, now_ms)
    await record_event(connection, Subject.DEVICE, device_id, "identifier ended", who, f"{protocol} {ended}")


async def list_identifiers(connection: Connection, device_id: str) -> list[ListedIdentifier]:
    """All that a device ever had. Raises NoDevice."""
    return [
        ListedIdentifier(
            row["protocol"], row["identifier"], f"{row['added_at']:%Y-%m-%d}",
            "" if row["ended_at"] is None else f"{row['ended_at']:%Y-%m-%d}",
        )
        for row in await connection.fetch(OF_DEVICE, await device_no_of(connection, device_id))
    ]  # fmt: skip


async def forms_of_devices(connection: Connection) -> list[DeviceForm]:
    """What devices speak now, as orders.json carries it: also home units, and devices that are on nobody. Nothing of those that speak
    no protocol of trackers, or are of a canary."""
    spoken: dict[str, dict[str, str]] = {}
    for row in await connection.fetch(SPOKEN):
        spoken.setdefault(row["device_id"], {})[row["protocol"]] = row["identifier"]
    return [DeviceForm(device_id, protocols) for device_id, protocols in spoken.items()]


async def unauthenticated_among(connection: Connection, fact_ids: Iterable[int]) -> frozenset[int]:
    """Behind which of some facts stands an identifier and nothing else: an IMEI, or what a telephone that checks in calls itself."""
    return frozenset(row["fact_id"] for row in await connection.fetch(UNAUTHENTICATED, list(fact_ids)))


def _detail(device_id: str, protocol: str) -> dict[str, str]:
    return {"device_id": device_id, "protocol": protocol}
