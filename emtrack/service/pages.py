"""`emtrack pages`: pages and the API for programs, apart from workers; and what is of the whole service once (`keeper.py`)."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager

from emtrack.clock import Clock, clock_of
from emtrack.db.connect import connect, open_pool
from emtrack.db.identity import identify
from emtrack.db.opened import prepared_database
from emtrack.db.rights import RunTime, run_time_dsn
from emtrack.db.session import READING
from emtrack.delivery.mail import mail_server_of
from emtrack.delivery.webhook import WebhookSender
from emtrack.metrics import Metrics
from emtrack.people.accounts import remember_failures
from emtrack.people.guesses import Guesses
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.service.app import (
    POOL,
    Service,
    application_of,
    encrypt_secrets,
    ended,
    ground_of,
    judges_for,
    refuse_foreign_listeners,
    refuse_without_tls,
)
from emtrack.service.beside import done_before
from emtrack.service.clock_watch import ClockWatch
from emtrack.service.credential_watch import CredentialWatch
from emtrack.service.deadline_clock import DeadlineClock
from emtrack.service.deliverer import Deliverer
from emtrack.service.http_server import listening, places_of
from emtrack.service.keeper import Part, keep
from emtrack.service.keys import DeviceKeys
from emtrack.service.packer import Packer
from emtrack.service.record_watch import RecordWatch
from emtrack.service.sealer import Sealer
from emtrack.service.signals import SignalMaker
from emtrack.service.task_clock import TaskClock
from emtrack.service.witness import Witness
from emtrack.settings import Settings
from emtrack.web.api.log import log_routes
from emtrack.web.api.service import service_routes
from emtrack.web.routes import web_routes


@asynccontextmanager
async def running_pages(settings: Settings, stop: asyncio.Event) -> AsyncIterator[Service]:
    """Listens; ends everything on the way out. It needs neither the stream nor the worker's lock."""
    refuse_without_tls(settings)
    async with prepared_database(settings, program="pages", exclusive=False) as dsn:
        connection = await connect(dsn)
        try:
            clock = await clock_of(connection, settings.clock, adopt=True)
            guesses = Guesses()
            await remember_failures(connection, guesses)
            await encrypt_secrets(connection, settings)
        finally:
            await connection.close()
        refuse_foreign_listeners(settings, clock)
        metrics, changed = Metrics(), asyncio.Condition()
        worker_dsn, pages_dsn = [await run_time_dsn(dsn, role) for role in (RunTime.WORKER, RunTime.PAGES)]
        credentials = CredentialWatch(worker_dsn, DeviceKeys(), changed)
        watch = RecordWatch(worker_dsn, changed)
        async with (
            ground_of(settings) as basemap,
            open_pool(pages_dsn, size=POOL, limits=READING, prepare=identify) as pool,
            aclosing(judges_for(pages_dsn, settings, pool, metrics)) as judges,
            asyncio.TaskGroup() as group,
        ):
            routes = [
                *service_routes(clock, metrics, settings.metrics_token, watch),
                *log_routes(pool),
                *web_routes(
                    pool, clock, ZoneSetCache(settings.sets_dir), judges, metrics, changed, stop, watch, credentials, guesses,
                    settings, basemap,
                ),
            ]  # fmt: skip
            application = application_of(routes, settings)
            tasks = [group.create_task(part.run(stop)) for part in (credentials, watch)]
            keeping = keep(worker_dsn, lambda: whole_parts(worker_dsn, settings, clock, metrics, changed), stop)
            tasks.append(group.create_task(keeping))
            async with listening(application, settings, places_of(settings), stop) as address:
                yield Service(address, dsn, clock, routes)
                stop.set()
            await ended(tasks)


def whole_parts(
    dsn: str, settings: Settings, clock: Clock, metrics: Metrics, changed: asyncio.Condition
) -> Sequence[Part]:
    """What is of the whole service once."""
    to_deliver = asyncio.Event()
    webhooks = WebhookSender([ipaddress.ip_network(network) for network in settings.webhook_networks])
    witness = Witness(settings.log_witness, metrics)
    return [
        DeadlineClock(dsn, clock, metrics, changed, to_deliver).run,
        TaskClock(dsn, clock, metrics, to_deliver).run,
        Deliverer(dsn, clock, metrics, to_deliver, mail_server_of(settings), webhooks, settings.base_url).run,
        Sealer(dsn, settings, metrics, witness).run,
        SignalMaker(dsn, clock, metrics).run,
        Packer(dsn, clock, metrics).run,
        _until_stop(witness.run),
        _until_stop(ClockWatch(dsn, settings.ntp_servers, metrics).run),
    ]


def _until_stop(run: Callable[[], Awaitable[None]]) -> Part:
    """Of a part that goes on until it is cancelled, or has nothing to do. Raises what it raises."""

    async def part(stop: asyncio.Event) -> None:
        if await done_before(stop, run()):
            await stop.wait()

    return part


async def pages(settings: Settings, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    """Until `stop` is set."""
    async with running_pages(settings, stop) as service:
        say(f"emtrack pages listen on {service.address}")
        await stop.wait()
