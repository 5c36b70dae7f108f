"""Composition: the service, built from the inside out in nested `async with`, and ended in the opposite order."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple

import asyncpg
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from emtrack.basemap import Basemap, open_or_outline
from emtrack.clock import Clock, clock_of
from emtrack.db.connect import Connection, connect, open_pool
from emtrack.db.identity import identify
from emtrack.db.opened import prepared_database
from emtrack.db.rights import RunTime, dsn_as, run_time_dsn
from emtrack.db.session import READING
from emtrack.delivery.mail import mail_server_of
from emtrack.delivery.webhook import WebhookSender
from emtrack.metrics import Metrics
from emtrack.people.accounts import remember_failures
from emtrack.people.guesses import Guesses
from emtrack.people.sealed_secrets import SecretBox, UnfitSecretsKey
from emtrack.reading.apart import Judges
from emtrack.reading.standby import Position, Standby, position_of
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.service.broker_door import broker_heard
from emtrack.service.check_in_door import CheckInDoor
from emtrack.service.clock_watch import ClockWatch
from emtrack.service.credential_watch import CredentialWatch
from emtrack.service.deadline_clock import DeadlineClock
from emtrack.service.deliverer import Deliverer
from emtrack.service.http_server import listening, places_of
from emtrack.service.intake import Intake
from emtrack.service.keys import DeviceKeys
from emtrack.service.packer import Packer
from emtrack.service.sealer import Sealer
from emtrack.service.signals import SignalMaker
from emtrack.service.task_clock import TaskClock
from emtrack.service.tracker_doors import refuse_unspoken, trackers_heard
from emtrack.service.vouching import Vouching
from emtrack.service.warm_up import calm_collector, warm_up
from emtrack.service.witness import Witness
from emtrack.service.worker import USUAL_PACE, Pace, Worker
from emtrack.settings import Settings, SettingsError
from emtrack.web.api.log import log_routes
from emtrack.web.api.service import service_routes
from emtrack.web.browsers import cookie_name, middleware_of
from emtrack.web.routes import web_routes
from emtrack.web.unmatched import unmatched
from ingest import Inbox, device_route

POOL = 6
"""Connections for those who read; the worker has one of its own."""
STOP_WITHIN_S = 10.0
"""Work beside the turns has so long to end; a database that says nothing would keep the program for a minute and more."""

log = structlog.get_logger()


class Service(NamedTuple):
    """A running service. `address`: where it listens. `dsn`: its database. `routes`: all that it answers. `heard`: where trackers are
    heard, in words."""

    address: str
    dsn: str
    clock: Clock
    routes: Sequence[BaseRoute]
    heard: Sequence[str] = ()


def refuse_foreign_listeners(settings: Settings, clock: Clock) -> None:
    """An emulated clock is for demonstrations and tests: nobody else may take its time for the time."""
    if not clock.emulated:
        return
    if not _is_loopback(settings.host):
        raise SettingsError(
            f"EMTRACK_LISTEN is {settings.listen!r}, and the clock is emulated: then the service listens on this "
            "machine only. Set EMTRACK_LISTEN to 127.0.0.1:PORT, or unset EMTRACK_CLOCK."
        )
    for asked in settings.trackers:
        if not _is_loopback(asked.host):
            raise SettingsError(
                f"EMTRACK_TRACKERS has {asked.protocol} on {asked.host}, and the clock is emulated: then trackers are heard on this "
                "machine only. Name 127.0.0.1:PORT there, or unset EMTRACK_CLOCK."
            )


def refuse_without_tls(settings: Settings) -> None:
    """Passwords, cookies and places go over nobody's network as they are."""
    if settings.is_secure:
        return
    if not _is_loopback(settings.host):
        raise SettingsError(
            f"EMTRACK_LISTEN is {settings.listen!r}, which others can reach, and EMTRACK_TLS is off. Put a proxy that speaks TLS "
            "before the service and set EMTRACK_TLS=proxy, or set EMTRACK_LISTEN to 127.0.0.1:PORT."
        )
    if settings.base_url.startswith("https:"):
        raise SettingsError(
            f"EMTRACK_URL is {settings.url!r}, and EMTRACK_TLS is off: cookies would not be kept to TLS. Set EMTRACK_TLS=proxy."
        )


def password_of_broker(settings: Settings) -> str | None:
    """Keys of devices go over nobody's network as they are. Raises SettingsError."""
    broker, file = settings.mqtt, settings.mqtt_password_file
    if broker is not None and not broker.is_tls:
        vouching = Vouching(settings.private_networks)
        if not _is_loopback(broker.host) and not vouching.is_private(broker.host):
            raise SettingsError(
                f"EMTRACK_MQTT is mqtt://{broker.host}, and keys of devices would go there as they are. Name mqtts://, or an "
                "address in EMTRACK_PRIVATE_NETWORKS."
            )
    if broker is None or file is None:
        return None
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"EMTRACK_MQTT_PASSWORD_FILE {file} cannot be read: {error}") from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@asynccontextmanager
async def running_service(settings: Settings, stop: asyncio.Event, pace: Pace = USUAL_PACE) -> AsyncIterator[Service]:
    """Migrates, loads, listens; ends everything on the way out. `stop` is set when the service must end."""
    refuse_without_tls(settings)
    refuse_unspoken(settings.trackers)
    broker_password = password_of_broker(settings)
    mail_server = mail_server_of(settings)
    warm_up()
    async with prepared_database(settings, program="serve", exclusive=True) as dsn:
        connection = await connect(dsn)
        try:
            clock = await clock_of(connection, settings.clock, adopt=False)
            guesses = Guesses()
            await remember_failures(connection, guesses)
            await encrypt_secrets(connection, settings)
        finally:
            await connection.close()
        refuse_foreign_listeners(settings, clock)
        metrics = Metrics()
        inbox = Inbox(settings.inbox_reports)
        keys = DeviceKeys()
        places = places_of(settings)
        changed, all_written = asyncio.Condition(), asyncio.Event()
        zone_sets = ZoneSetCache(settings.sets_dir)
        worker_dsn, pages_dsn = [await run_time_dsn(dsn, role) for role in (RunTime.WORKER, RunTime.PAGES)]
        credentials = CredentialWatch(worker_dsn, keys, changed)
        worker = Worker(
            worker_dsn, clock, inbox, keys, metrics,
            turn_reports=settings.turn_reports, new_days_an_hour=settings.new_days_an_hour, pace=pace, changed=changed,
            zone_sets=zone_sets,
        )  # fmt: skip
        vouching = Vouching(settings.private_networks)
        intake = Intake(inbox, keys.identifiers, credentials.fresh, clock, metrics)
        to_deliver = asyncio.Event()
        deadlines = DeadlineClock(worker_dsn, clock, metrics, changed, to_deliver)
        tasks = TaskClock(worker_dsn, clock, metrics, to_deliver)
        webhooks = WebhookSender([ipaddress.ip_network(network) for network in settings.webhook_networks])
        deliverer = Deliverer(worker_dsn, clock, metrics, to_deliver, mail_server, webhooks, settings.base_url)
        witness = Witness(settings.log_witness, metrics)
        clock_watch = ClockWatch(worker_dsn, settings.ntp_servers, metrics)
        sealer = Sealer(worker_dsn, settings, metrics, witness)
        signals = SignalMaker(worker_dsn, clock, metrics)
        packer = Packer(worker_dsn, clock, metrics)
        async with (
            ground_of(settings) as basemap,
            open_pool(pages_dsn, size=POOL, limits=READING, prepare=identify) as pool,
            aclosing(judges_for(pages_dsn, settings, pool, metrics)) as judges,
            asyncio.TaskGroup() as group,
        ):
            routes = [
                device_route(
                    inbox, keys, credentials.fresh, lambda status: metrics.answers.labels(str(status)).inc()
                ),
                *service_routes(clock, metrics, settings.metrics_token, worker.watch),
                *(CheckInDoor(intake, keys, vouching).routes() if settings.check_in == "on" else []),
                *log_routes(pool),
                *web_routes(
                    pool,
                    clock,
                    zone_sets,
                    judges,
                    metrics,
                    changed,
                    stop,
                    worker.watch,
                    credentials,
                    guesses,
                    settings,
                    basemap,
                ),
            ]
            application = application_of(routes, settings)
            work = group.create_task(worker.run(stop))
            watching = group.create_task(credentials.run(stop))
            sealing = group.create_task(sealer.run(all_written))
            telling = [group.create_task(part.run(stop)) for part in (deadlines, tasks, deliverer)]
            beside = [group.create_task(witness.run()), group.create_task(clock_watch.run())]
            telling += [group.create_task(part.run(stop)) for part in (signals, packer)]
            await _first_of(worker.ready.wait(), work)
            calm_collector()
            async with (
                listening(application, settings, places, stop) as address,
                trackers_heard(settings.trackers, intake, places, vouching) as heard,
                broker_heard(settings.mqtt, broker_password, intake, keys, metrics) as brokers,
            ):
                phones = [f"telephones at {address}/check-in/"] if settings.check_in == "on" else []
                yield Service(address, dsn, clock, routes, [*heard, *brokers, *phones])
                stop.set()
            await work
            await ended(telling)
            watching.cancel()
            all_written.set()
            await ended([sealing])
            for task in beside:
                task.cancel()


def application_of(routes: Sequence[BaseRoute], settings: Settings) -> Starlette:
    """What is listened for, with what holds for all of it."""
    application = Starlette(
        routes=routes, middleware=middleware_of(settings), exception_handlers={HTTPException: unmatched}
    )
    application.router.redirect_slashes = False  # one address for one thing: a body sent to another is not sent on
    application.state.cookie = cookie_name(settings)
    return application


async def joined_clock(dsn: str, settings: Settings) -> Clock:
    """The clock of the deployment, for a part of it that runs apart. Raises SettingsError."""
    connection = await connect(dsn)
    try:
        clock = await clock_of(connection, settings.clock, adopt=True)
    finally:
        await connection.close()
    refuse_foreign_listeners(settings, clock)
    return clock


def judges_for(dsn: str, settings: Settings, pool: asyncpg.Pool[Any], metrics: Metrics) -> Judges:
    """Who works out what readers ask for; on the standby where one is named, and always in the role of the pages there: what the
    database lets a reader see holds there as here."""

    async def position() -> Position:
        async with pool.acquire() as connection:
            return await position_of(connection)

    standby = None if settings.standby_url is None else Standby(dsn_as(settings.standby_url, RunTime.PAGES), position)
    return Judges(
        dsn, settings.sets_dir, standby=standby,
        count=lambda by_standby: metrics.questions.labels("standby" if by_standby else "primary").inc(),
    )  # fmt: skip


async def ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Work that was told to end. What still waits for a database that says nothing is cancelled: what it leaves undone stands
    there."""
    _, pending = await asyncio.wait(tasks, timeout=STOP_WITHIN_S)
    for task in pending:
        task.cancel()
    await asyncio.wait(tasks)


async def encrypt_secrets(connection: Connection, settings: Settings) -> None:
    """Secrets of authenticator apps that an earlier version stored as they are. Without its key the service watches all the same."""
    try:
        async with connection.transaction():
            await SecretBox(settings.data_dir).seal_all(connection)
    except (UnfitSecretsKey, OSError) as error:
        log.error("second factors cannot be checked", what=str(error))


@asynccontextmanager
async def ground_of(settings: Settings) -> AsyncIterator[Basemap]:
    """The base map, open as long as the service runs. One that cannot be used stops nobody from watching: the log says why."""
    basemap, trouble = open_or_outline(settings.basemap)
    if trouble is not None:
        log.error("the base map cannot be used; maps have an outline of the country instead", why=trouble)
    try:
        yield basemap
    finally:
        basemap.close()


async def _first_of(ready: Coroutine[Any, Any, Any], work: asyncio.Task[None]) -> None:
    """Wait until the worker is ready; if it ends before that, so do we, with its error."""
    waiting = asyncio.ensure_future(ready)
    await asyncio.wait({waiting, work}, return_when=asyncio.FIRST_COMPLETED)
    if work.done():
        waiting.cancel()
        work.result()


async def serve(settings: Settings, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    """`emtrack serve`: until `stop` is set, or the worker cannot go on."""
    async with running_service(settings, stop) as service:
        if stop.is_set():  # before everybody was read
            return
        clock = f", on an emulated clock ×{service.clock.rate:g}" if service.clock.emulated else ""
        say(f"emtrack listens on {service.address}{clock}")
        for heard in service.heard:
            say(f"emtrack hears {heard}")
        await stop.wait()
