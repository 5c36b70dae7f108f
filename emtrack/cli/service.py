"""`emtrack serve`, its parts apart, and `emtrack demo`: what runs until it is told to stop."""

from __future__ import annotations

from typing import Annotated

import typer

from emtrack.cli.running import run_until_signal, settings
from emtrack.cli.saying import say
from emtrack.settings import Settings, demo_dir

app = typer.Typer()


def _as_its_user() -> Settings:
    """The settings, once the program is not root: then, and not before, what it runs is imported."""
    from emtrack.service.as_whom import leave_root

    chosen = settings()
    leave_root(chosen, chosen.data_dir)
    return chosen


@app.command()
def serve() -> None:
    """Migrate, start everything this configuration asks for, and say where."""
    chosen = _as_its_user()
    from emtrack.service.app import serve as run_service

    run_until_signal(lambda stop: run_service(chosen, stop, say))


@app.command()
def gateway() -> None:
    """Past one machine: the doors of devices, into the stream (EMTRACK_STREAM)."""
    chosen = _as_its_user()
    from emtrack.service.gateway import gateway as run_gateway

    run_until_signal(lambda stop: run_gateway(chosen, stop, say))


@app.command()
def worker() -> None:
    """Past one machine: judges the shards that it holds, out of the stream (EMTRACK_STREAM). Any number of them."""
    chosen = _as_its_user()
    from emtrack.service.shard_worker import worker as run_worker

    run_until_signal(lambda stop: run_worker(chosen, stop, say))


@app.command()
def pages() -> None:
    """Past one machine: pages and the API for programs, and what is of the whole service once: deadlines, messages, the log."""
    chosen = _as_its_user()
    from emtrack.service.pages import pages as run_pages

    run_until_signal(lambda stop: run_pages(chosen, stop, say))


@app.command()
def demo(
    wearers: Annotated[int, typer.Option(min=1, max=5_000)] = 730,
    long: Annotated[int, typer.Option(min=0, help="how many of them have a long past")] = 20,
    hours: Annotated[
        float, typer.Option(min=0.1, max=240, help="hours of the past of all; more takes longer to build")
    ] = 12,
    days: Annotated[float, typer.Option(min=0.1, max=60, help="days of a long past")] = 5,
    seed: Annotated[int, typer.Option()] = 1,
) -> None:
    """Everything on this machine: embedded database with a past, service, pages, emulated tags. Ctrl-C stops it all."""
    from emtrack.service.as_whom import leave_root

    chosen = settings()
    leave_root(chosen, demo_dir(chosen))
    from emtrack.demo.run import run_demo

    run_until_signal(
        lambda stop: run_demo(chosen, stop, wearers=wearers, long=long, hours=hours, days=days, seed=seed, say=say)
    )
