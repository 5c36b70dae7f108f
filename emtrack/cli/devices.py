"""`emtrack devices`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.running import run, settings
from emtrack.cli.saying import print_table, refuse, refuse_unfit, say, who

if TYPE_CHECKING:
    from emtrack.record.devices import ListedDevice
    from emtrack.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Devices and their keys.")


@app.command("add")
def add_device(device: Annotated[str, typer.Argument(help="device id")]) -> None:
    """Enter a device (a tag or a home unit) if it is new, and make a key for it. The key is shown once and kept only as a hash."""
    from emtrack.forms.names import unfit_id
    from emtrack.orders.importing import make_device_key

    refuse_unfit(device, "the device id", unfit_id)
    typer.echo(run(make_device_key(settings(), device, who=who())))


@app.command("revoke")
def revoke_keys(device: Annotated[str, typer.Argument(help="device id of a tag or a home unit")]) -> None:
    """No key of the device is good any longer, within a second. `devices add` makes a new one."""
    from emtrack.orders.importing import revoke_keys as revoke

    count = run(revoke(settings(), device, who=who()))
    if count == 0:
        refuse(f"{device!r} has no key that is good; `emtrack devices list` shows which devices have one")
    say(f"{count} {'key is' if count == 1 else 'keys are'} good no longer")


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
