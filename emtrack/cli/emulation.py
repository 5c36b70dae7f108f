"""`emtrack replay` and `emtrack emulate`: reports through the HTTP door of the running service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from emtrack.cli.running import run, run_until_signal, settings
from emtrack.cli.saying import refuse, say, say_counts, who

if TYPE_CHECKING:
    import asyncio

    from emtrack.client import SigningKeys
    from emtrack.files.replay import Recording, ReplayTotals
    from emtrack.forms.orders import Orders
    from emtrack.settings import Settings

PRESET = "standard.2"
app = typer.Typer()


@app.command()
def replay(
    files: Annotated[list[Path], typer.Argument(help="positions or events: .csv, .ndjson or .parquet, .gz allowed")],
    orders: Annotated[Path, typer.Option(help="orders.json that activates the devices; it is entered first")],
    map_: Annotated[list[str] | None, typer.Option("--map", help="COLUMN=FIELD")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="FIELD=VALUE for every row")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="time zone of times that carry none, such as UTC or Europe/London")
    ] = None,
    zone: Annotated[str | None, typer.Option(hidden=True, help="the earlier name of --timezone")] = None,
) -> None:
    """Send recorded facts through the HTTP door of the running service, none before its time on the service's clock."""
    from emtrack.cli.orders_file import read_orders_file
    from emtrack.files.replay import Recording

    recording = Recording(_pairs(map_, "--map"), _pairs(set_, "--set"), timezone or zone)
    sent = run(replay_files(settings(), files, read_orders_file(orders), recording, who=who()))
    say_counts(((f"refused: {reason}", count) for reason, count in sorted(sent.refused.items())), width=9)


def _pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            refuse(f"{option} {text!r}: expected NAME=VALUE")
        pairs[name] = value
    return pairs


async def replay_files(
    chosen: Settings, files: Sequence[Path], orders: Orders, recording: Recording, *, who: str
) -> ReplayTotals:
    """Enter the orders, then send the recording to the running service."""
    from emtrack.files.replay import read_recording, said_of, send_recording, without_strangers
    from emtrack.orders.importing import import_with_keys

    reports, left_out = read_recording(files, recording)
    reports, strangers = without_strangers(
        reports,
        (activation.device_id for activation in orders.activations),
        (unit.hmu_id for unit in orders.home_units),
    )
    for line in said_of(left_out, strangers):
        say(line)
    keys = await import_with_keys(chosen, orders, who=who)
    return await send_recording(reports, base_url=chosen.base_url, keys=keys, say=say)


@app.command()
def emulate(
    wearers: Annotated[int, typer.Option(min=1, max=100_000)] = 20,
    seed: Annotated[int, typer.Option()] = 1,
    speed: Annotated[
        float | None, typer.Option(min=0.01, help="times as fast as time until the present is reached")
    ] = None,
    hours: Annotated[
        float | None, typer.Option(min=0.01, help="hours of the world to send (default: no end)")
    ] = None,
    back: Annotated[float, typer.Option(min=0, help="hours before the service's now at which the world begins")] = 0,
    log: Annotated[Path | None, typer.Option(help="folder for sent.ndjson and truth.ndjson")] = None,
    sign: Annotated[
        int, typer.Option(min=0, help="so many devices sign what they send, with keys that are made and registered")
    ] = 0,
) -> None:
    """Send what the tags and home units of invented people would send, to the running service."""
    chosen, wish = settings(), Emulation(wearers, seed, speed, hours, back, log, sign)
    run_until_signal(lambda stop: emulate_world(chosen, wish, stop=stop, say=say))


class Emulation(msgspec.Struct, frozen=True):
    """What is emulated: see the options of the command."""

    wearers: int
    seed: int
    speed: float | None = None
    hours: float | None = None
    back_hours: float = 0
    log: Path | None = None
    sign: int = 0


async def emulate_world(
    chosen: Settings, wish: Emulation, *, stop: asyncio.Event, say: Callable[[str], None]
) -> None:
    """Enter the orders of an invented world, and send what its tags send until `stop` or the end."""
    from emtrack.client.service_clock import ServiceClock
    from emtrack.emulator.client import send_world
    from emtrack.emulator.sentlog import SentLog
    from emtrack.emulator.world import build_world
    from emtrack.forms.reading import read_orders_of
    from emtrack.orders.importing import import_with_keys
    from geofence import format_instant

    clock = await ServiceClock.connect(chosen.base_url)
    start_ms = (clock.now_ms() - round(wish.back_hours * 3_600_000)) // 60_000 * 60_000
    world = build_world(wish.wearers, wish.seed, start_ms, preset=PRESET)
    orders = read_orders_of(world.orders(), "the emulator's orders")
    keys = await import_with_keys(chosen, orders, who="emulator")
    say(f"{wish.wearers} invented wearers, {len(keys)} devices, from {format_instant(start_ms)}")
    signing = await _signing_keys(chosen, sorted(keys)[: wish.sign])
    sent = None if wish.log is None else SentLog(wish.log)
    try:
        totals = await send_world(
            world,
            base_url=chosen.base_url,
            keys=keys,
            clock=clock,
            from_ms=start_ms,
            to_ms=None if wish.hours is None else start_ms + round(wish.hours * 3_600_000),
            speed=wish.speed,
            sent=sent,
            stop=stop,
            signing=signing,
        )
    finally:
        if sent is not None:
            sent.close()
    say(f"{totals.acknowledged} of {totals.reports_sent} reports acknowledged, in {totals.requests} requests")


async def _signing_keys(chosen: Settings, devices: Sequence[str]) -> SigningKeys:
    """New ones, registered in the place of those from before, and kept nowhere else."""
    from emtrack.client import new_signing_key, public_half
    from emtrack.orders.importing import replace_signing_keys

    made = {device: new_signing_key() for device in devices}
    if made:
        public = {device: public_half(key) for device, key in made.items()}
        await replace_signing_keys(chosen, public, who="emulator")
    return made
