"""Composition: the service, built from the inside out in nested `async with`, and ended in the opposite order."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, NamedTuple

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware

from emtrack.clock import Clock, clock_of
from emtrack.db.connect import connect, create_pool, database
from emtrack.db.migrate import migrate
from emtrack.metrics import Metrics
from emtrack.record.zone_sets import SetShelf
from emtrack.service.worker import KeyRing, Worker
from emtrack.settings import Settings, SettingsError
from emtrack.web.api.alerts import AlertDesk
from emtrack.web.api.findings import finding_routes
from emtrack.web.api.orders import OrderDesk
from emtrack.web.api.service import service_routes
from emtrack.web.pages.alerts import DeskPages
from emtrack.web.pages.site import SecurityHeaders, Site
from emtrack.web.pages.wearers import WearerPages
from emtrack.web.rendering import Pages
from geofence.facts import Position
from geofence.judgement.judge import judge_history
from geofence.judgement.places import Places
from geofence.obligations import Activation, Plan, Requirement
from geofence.shapes.set_building import build
from geofence.shapes.zone_sets import Member
from geofence.words import ActivationId, DeviceId, EntryId, Mechanism, ObligationKind, RequirementId, WearerId
from geofence.zones import Area, Disc, SetZone, Zone
from ingest.http import device_route
from ingest.inbox import Inbox

POOL = 6
"""Connections for those who read; the worker has one of its own."""

log = structlog.get_logger()


class Service(NamedTuple):
    """A running service. `address`: where it listens. `dsn`: its database."""

    address: str
    dsn: str
    clock: Clock


def warm_up() -> None:
    """Compile all kernels of the service before anybody waits for them (from the cache, in a second): those of circles, of areas
    and of shared sets, and of the margins that explain a finding."""
    area = Area(((((0.0, 0.0), (0.01, 0.0), (0.0, 0.01), (0.0, 0.0)),),))
    zone_set = build([Member("a", area), Member("b", area)])
    zones: tuple[Zone, ...] = (Disc((0.0, 0.0), 1.0), area, SetZone("", "", zone_set.content))
    requirements = tuple(
        Requirement(EntryId(""), RequirementId(str(i)), WearerId(""), ObligationKind.EXCLUSION, 0, 1, zone)
        for i, zone in enumerate(zones)
    )
    sets = {zone_set.content: zone_set}
    plan = Plan(Activation(ActivationId(""), DeviceId(""), WearerId(""), 0, 1), requirements)
    judge_history(plan, [Position(0, 0.001, 0.001, None, Mechanism.GPS, 0)], 0, sets)
    places = Places(requirements, sets)
    places.margins_m([0.001], [0.001])
    places.zone_id(2, 0.001, 0.001)


def calm_collector() -> None:
    """States of activations live as long as the program: searching them for garbage again and again cost a tenth of
    the throughput (benchmarks.end_to_end, 1,000 wearers). What is there now is never searched again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def refuse_foreign_listeners(settings: Settings, clock: Clock) -> None:
    """An emulated clock is for demonstrations and tests: nobody else may take its time for the time."""
    if not clock.emulated:
        return
    try:
        loopback = settings.host == "localhost" or ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SettingsError(
            f"EMTRACK_LISTEN is {settings.listen!r}, and the clock is emulated: then the service listens on this "
            "machine only. Set EMTRACK_LISTEN to 127.0.0.1:PORT, or unset EMTRACK_CLOCK."
        )


@asynccontextmanager
async def prepared_database(settings: Settings, *, program: str, exclusive: bool) -> AsyncIterator[str]:
    """The DSN of a database that is migrated."""
    async with database(settings.database_url, settings.data_dir, program=program, exclusive=exclusive) as dsn:
        connection = await connect(dsn)
        try:
            await migrate(connection)
        finally:
            await connection.close()
        yield dsn


@asynccontextmanager
async def running_service(settings: Settings, stop: asyncio.Event) -> AsyncIterator[Service]:
    """Migrates, loads, listens; ends everything on the way out. `stop` is set when the service must end."""
    warm_up()
    async with prepared_database(settings, program="serve", exclusive=True) as dsn:
        connection = await connect(dsn)
        try:
            clock = await clock_of(connection, settings.clock, adopt=False)
        finally:
            await connection.close()
        refuse_foreign_listeners(settings, clock)
        metrics = Metrics()
        inbox = Inbox(settings.inbox_reports)
        keys = KeyRing()
        nudge = asyncio.Condition()
        shelf = SetShelf(settings.sets_dir)
        worker = Worker(
            dsn, clock, inbox, keys, metrics, turn_reports=settings.turn_reports, nudge=nudge, shelf=shelf
        )
        async with await create_pool(dsn, size=POOL) as pool, asyncio.TaskGroup() as group:
            pages, desk = Pages(pool, clock, shelf), AlertDesk(pool, clock, nudge, stop)
            application = Starlette(
                routes=[
                    device_route(inbox, keys, lambda status: metrics.answers.labels(str(status)).inc()),
                    *service_routes(clock, metrics, worker.ready.is_set),
                    *finding_routes(pool, clock, shelf),
                    *desk.routes(),
                    *OrderDesk(pool, clock).routes(),
                    *Site(pages, metrics, secure=settings.base_url.startswith("https:")).routes(),
                    *DeskPages(pages, desk).routes(),
                    *WearerPages(pages).routes(),
                ],
                middleware=[Middleware(SecurityHeaders)],
            )
            work = group.create_task(worker.run(stop))
            await _first_of(worker.ready.wait(), work)
            calm_collector()
            async with _listening(application, settings, stop) as address:
                yield Service(address, dsn, clock)
                stop.set()
            await work


async def _first_of(ready: Coroutine[Any, Any, Any], work: asyncio.Task[None]) -> None:
    """Wait until the worker is ready; if it ends before that, so do we, with its error."""
    waiting = asyncio.ensure_future(ready)
    await asyncio.wait({waiting, work}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        waiting.cancel()
        work.result()


@asynccontextmanager
async def _listening(application: Starlette, settings: Settings, stop: asyncio.Event) -> AsyncIterator[str]:
    """Serve HTTP in this loop; yields the address. Ends when `stop` is set, once open requests are answered."""
    listener = _bound_socket(settings)
    config = uvicorn.Config(
        application, http="httptools", log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=10,
        timeout_keep_alive=75, server_header=False, backlog=1024, ws="none",
    )  # fmt: skip
    server = _Server(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        host, port = listener.getsockname()[:2]
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        stop.set()
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    """Signals are ours: they end the program in order, the HTTP server first."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


def _bound_socket(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(1024)  # from here on nobody is turned away, although the server answers a little later
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"Cannot listen on {settings.listen}: {error.strerror}. Another program may use the port; "
            "end it, or set EMTRACK_LISTEN to another."
        ) from error
    return listener


async def serve(settings: Settings, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    """`emtrack serve`: until `stop` is set, or the worker cannot go on."""
    async with running_service(settings, stop) as service:
        clock = f", on an emulated clock ×{service.clock.rate:g}" if service.clock.emulated else ""
        say(f"emtrack listens on {service.address}{clock}")
        await stop.wait()
