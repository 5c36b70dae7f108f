"""`emtrack devices`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.running import opened, run, settings
from emtrack.cli.saying import (
    KeepOption,
    good_until,
    keep_until,
    print_history,
    print_table,
    refuse,
    refuse_unfit,
    say,
    who,
)
from emtrack.people.events import Subject
from emtrack.people.expiry import told_expiry

if TYPE_CHECKING:
    from emtrack.record.device_identifiers import ListedIdentifier
    from emtrack.record.devices import ListedDevice
    from emtrack.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Devices and their keys.")


DeviceArgument = Annotated[str, typer.Argument(help="device id of a tag or a home unit")]
KeyOption = Annotated[int | None, typer.Option("--key", help="only this key (`devices keys list`)")]


@app.command("add")
def add_device(
    device: Annotated[str, typer.Argument(help="device id")],
    expires: Annotated[
        str, typer.Option(help="90d, 12h, an instant, or never: a tag cannot be asked for another")
    ] = "never",
) -> None:
    """Enter a device (a tag or a home unit) if it is new, and make a key for it. The key is shown once and kept only as a hash."""
    from emtrack.forms.names import unfit_id
    from emtrack.orders.importing import make_device_key

    refuse_unfit(device, "the device id", unfit_id)
    typer.echo(run(make_device_key(settings(), device, who=who(), expires_at=good_until(expires))))


@app.command("revoke")
def revoke_keys(device: DeviceArgument, key: KeyOption = None) -> None:
    """No key of the device is good any longer, within a second. `devices add` makes a new one."""
    from emtrack.orders.importing import revoke_keys as revoke

    _say_changed(device, run(revoke(settings(), device, who=who(), key_no=key)), "good no longer")


@app.command("rotate")
def rotate_key(device: DeviceArgument, keep_for: KeepOption = "7d") -> None:
    """A new key of a device, shown once. The one of now stays good for a while, so that the device can change over."""
    from emtrack.orders.importing import rotate_key as rotate

    typer.echo(run(rotate(settings(), device, who=who(), keep_until=keep_until(keep_for))))


@app.command("expire")
def expire_keys(
    device: DeviceArgument,
    expires: Annotated[str, typer.Option(help="90d, 12h, an instant, or never")],
    key: KeyOption = None,
) -> None:
    """Say until when the keys of a device are good."""
    from emtrack.orders.importing import expire_keys as expire

    until = good_until(expires)
    count = run(expire(settings(), device, who=who(), expires_at=until, key_no=key))
    _say_changed(device, count, f"good until: {told_expiry(until)}")


@app.command("history")
def history(device: Annotated[str | None, typer.Argument(help="one device (default: all)")] = None) -> None:
    """What was done to keys of devices, and by whom: the newest first."""
    print_history(settings(), Subject.DEVICE, device)


def _say_changed(device: str, count: int, what: str) -> None:
    if count == 0:
        refuse(f"{device!r} has no such key that is good; `emtrack devices list` shows which devices have one")
    say(f"{count} {'key is' if count == 1 else 'keys are'} {what}")


keys = typer.Typer(no_args_is_help=True, help="All keys of a device, and those with which it signs.")
app.add_typer(keys, name="keys")

PublicArgument = Annotated[str, typer.Argument(help="the Ed25519 public key: 32 bytes in base64")]


@keys.command("list")
def list_device_keys(device: DeviceArgument) -> None:
    """All that a device ever had; never what is secret of them."""
    columns = ("kind", "key", "label", "added", "expires", "state")
    print_table(columns, run(listed_keys(settings(), device)))


@keys.command("add")
def add_key(
    device: DeviceArgument,
    public_key: PublicArgument,
    expires: Annotated[str, typer.Option(help="90d, 12h, an instant, or never")] = "never",
) -> None:
    """Register a key with which a device signs. What it signs from now on is evidence of the higher grade."""
    from emtrack.orders.importing import register_signing_key as register

    run(register(settings(), device, public_key, who=who(), expires_at=good_until(expires)))


@keys.command("rotate")
def rotate_signing(device: DeviceArgument, public_key: PublicArgument, keep_for: KeepOption = "7d") -> None:
    """Register the next key with which a device signs. The one of now stays good for a while."""
    from emtrack.orders.importing import rotate_signing as rotate

    run(rotate(settings(), device, public_key, who=who(), keep_until=keep_until(keep_for)))


@keys.command("revoke")
def revoke_signing(device: DeviceArgument, key: Annotated[int, typer.Argument(help="its number")]) -> None:
    """A signing key is good no longer, within a second. What it signed before stays signed."""
    run(signing_revoked(settings(), device, key, who=who()))


identifiers = typer.Typer(no_args_is_help=True, help="What a device speaks, and by what it is known there.")
app.add_typer(identifiers, name="identifiers")

ProtocolArgument = Annotated[str, typer.Argument(help="the protocol, such as teltonika (docs/protocols.md)")]


@identifiers.command("add")
def add_identifier(
    device: DeviceArgument,
    protocol: ProtocolArgument,
    identifier: Annotated[str, typer.Argument(help="an IMEI, or what a telephone calls itself")],
) -> None:
    """The device speaks this protocol, and is known in it by this identifier. One that it had before ends."""
    from emtrack.orders.importing import set_device_identifier

    run(set_device_identifier(settings(), device, protocol, identifier, who=who()))


@identifiers.command("import")
def import_identifiers(
    file: Annotated[Path, typer.Argument(help="CSV with the columns device_id, protocol, identifier")],
) -> None:
    """Say of many devices at once what they speak. If one line cannot be entered, none is."""
    from emtrack.files.identifiers import read_identifiers
    from emtrack.orders.importing import set_device_identifiers

    rows = read_identifiers(file)
    run(set_device_identifiers(settings(), [row[1:] for row in rows], who=who()))
    say(f"{len(rows):,} identifiers were entered")


@identifiers.command("end")
def end_identifier(device: DeviceArgument, protocol: ProtocolArgument) -> None:
    """The device speaks this protocol no longer, within a second."""
    from emtrack.orders.importing import end_device_identifier

    run(end_device_identifier(settings(), device, protocol, who=who()))


@identifiers.command("list")
def list_identifiers(device: DeviceArgument) -> None:
    """All that a device spoke ever."""
    print_table(("protocol", "identifier", "added", "ended"), run(listed_identifiers(settings(), device)))


async def listed_identifiers(chosen: Settings, device_id: str) -> list[ListedIdentifier]:
    """Raises NoDevice."""
    from emtrack.record.device_identifiers import list_identifiers as listed

    async with opened(chosen, "devices identifiers list") as (connection, _):
        return await listed(connection, device_id)


async def listed_keys(chosen: Settings, device_id: str) -> list[tuple[str, ...]]:
    """Raises NoDevice."""
    from emtrack.record.devices import list_keys
    from emtrack.record.signing_keys import list_signing_keys

    async with opened(chosen, "devices keys list") as (connection, _):
        report, signing = await list_keys(connection, device_id), await list_signing_keys(connection, device_id)
    return [(kind, str(k.key_no), *k[1:]) for kind, found in (("report", report), ("sign", signing)) for k in found]


async def signing_revoked(chosen: Settings, device_id: str, key_no: int, *, who: str) -> None:
    """Raises NoDevice."""
    from emtrack.record.signing_keys import revoke_signing_key

    async with opened(chosen, "devices keys revoke") as (connection, _):
        await revoke_signing_key(connection, device_id, key_no, who=who)


@app.command("list")
def list_devices(device: Annotated[str | None, typer.Argument(help="one device (default: all)")] = None) -> None:
    """Devices, how many keys they have, and what came of their reports."""
    columns = ("device", "keys", "received", "stored", "duplicates", "refused")
    print_table(columns, run(listed_devices(settings(), device)))


async def listed_devices(chosen: Settings, device_id: str | None) -> list[ListedDevice]:
    """All devices, or one."""
    from emtrack.db.opened import opened_database
    from emtrack.record.devices import list_devices as listed

    async with opened_database(chosen, "devices list") as (connection, _):
        return await listed(connection, device_id)
