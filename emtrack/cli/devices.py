"""`emtrack devices`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.running import run, settings
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


keys = typer.Typer(no_args_is_help=True, help="All keys of a device.")
app.add_typer(keys, name="keys")


@keys.command("list")
def list_device_keys(device: DeviceArgument) -> None:
    """All that a device ever had; never what they are."""
    print_table(("key", "label", "added", "expires", "state"), run(listed_keys(settings(), device)))


async def listed_keys(chosen: Settings, device_id: str) -> list[tuple[str, ...]]:
    """Raises NoDevice."""
    from emtrack.db.opened import opened_database
    from emtrack.record.devices import list_keys

    async with opened_database(chosen, "devices keys list") as (connection, _):
        return [(str(key.key_no), *key[1:]) for key in await list_keys(connection, device_id)]


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
