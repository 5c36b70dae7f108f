"""`emtrack worker`: turns over the shards that it holds, fed by the stream. Any number of them share a record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette

from emtrack.db.opened import prepared_database
from emtrack.db.rights import RunTime, run_time_dsn
from emtrack.metrics import Metrics
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.service.app import Service, joined_clock, refuse_without_tls
from emtrack.service.http_server import listening, places_of
from emtrack.service.keys import DeviceKeys
from emtrack.service.sharing import Sharing
from emtrack.service.stream_setting import usable_stream
from emtrack.service.warm_up import calm_collector, warm_up
from emtrack.service.worker import USUAL_PACE, Pace, Worker
from emtrack.settings import Settings
from emtrack.stream.reading import StreamReader
from emtrack.stream.server import opened_stream
from emtrack.web.api.service import service_routes
from ingest import Inbox


@asynccontextmanager
async def running_worker(settings: Settings, stop: asyncio.Event, pace: Pace = USUAL_PACE) -> AsyncIterator[Service]:
    """Connects, takes shards, listens for who asks whether it is ready; ends everything on the way out."""
    setting = usable_stream(settings)
    refuse_without_tls(settings)
    warm_up()
    async with prepared_database(settings, program="worker", exclusive=False) as dsn:
        clock = await joined_clock(dsn, settings)
        metrics, inbox = Metrics(), Inbox(settings.inbox_reports)
        stream = await opened_stream(setting, "worker")
        try:
            reader = StreamReader(stream, inbox, metrics)
            worker = Worker(
                await run_time_dsn(dsn, RunTime.WORKER), clock, inbox, DeviceKeys(), metrics,
                turn_reports=settings.turn_reports, new_days_an_hour=settings.new_days_an_hour, pace=pace,
                zone_sets=ZoneSetCache(settings.sets_dir), sharing=Sharing(reader),
            )  # fmt: skip
            routes = service_routes(clock, metrics, settings.metrics_token, worker.watch)
            async with asyncio.TaskGroup() as group:
                work = group.create_task(worker.run(stop))
                removing = group.create_task(reader.remove_stored(stop))
                ready = asyncio.ensure_future(worker.ready.wait())
                await asyncio.wait({ready, work}, return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    ready.cancel()
                    work.result()
                calm_collector()
                async with listening(Starlette(routes=routes), settings, places_of(settings), stop) as address:
                    yield Service(address, dsn, clock, routes)
                    stop.set()
                await asyncio.wait([work, removing])
        finally:
            with suppress(Exception):
                await stream.client.close()


async def worker(settings: Settings, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    """Until `stop` is set, or it cannot go on."""
    async with running_worker(settings, stop) as service:
        say(f"emtrack worker: its state is at {service.address}/readyz")
        await stop.wait()
