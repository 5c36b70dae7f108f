"""`emtrack gateway`: the doors of devices, as `serve` has them; what comes in goes into the stream, and is answered when a worker has
committed it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from emtrack.db.opened import prepared_database
from emtrack.db.rights import RunTime, run_time_dsn
from emtrack.metrics import Metrics
from emtrack.service.app import Service, application_of, joined_clock, password_of_broker, refuse_without_tls
from emtrack.service.broker_door import broker_heard
from emtrack.service.check_in_door import CheckInDoor
from emtrack.service.credential_watch import CredentialWatch
from emtrack.service.http_server import listening, places_of
from emtrack.service.intake import Intake
from emtrack.service.keys import DeviceKeys
from emtrack.service.routing_watch import RoutingWatch
from emtrack.service.stream_setting import usable_stream
from emtrack.service.tracker_doors import refuse_unspoken, trackers_heard
from emtrack.service.vouching import Vouching
from emtrack.settings import Settings, SettingsError
from emtrack.stream.publishing import Publisher
from emtrack.stream.server import opened_stream
from emtrack.web.api.service import service_routes
from ingest import Inbox, KeysUnknown, device_route


class GatewayWatch:
    """Whether devices can be heard here."""

    def __init__(self, publisher: Publisher, credentials: CredentialWatch) -> None:
        self._publisher = publisher
        self._credentials = credentials

    def trouble(self) -> str | None:
        """In a sentence; None: all is well."""
        if not self._publisher.is_connected:
            return "The stream cannot be reached: devices are told to send again."
        if not self._credentials.is_fresh:
            return "The database does not answer, so that nobody knows whose keys are good: devices are told to send again."
        return None

    async def hears(self) -> bool:
        """Devices, now. It waits for keys of now as a device does, as long, and goes on in the same moment."""
        try:
            await self._credentials.fresh()
        except KeysUnknown:
            return False
        return self._publisher.is_connected

    def late(self) -> str | None:
        return None


@asynccontextmanager
async def running_gateway(settings: Settings, stop: asyncio.Event) -> AsyncIterator[Service]:
    """Connects, listens; ends everything on the way out. `stop` is set when it must end."""
    setting = usable_stream(settings)
    refuse_without_tls(settings)
    refuse_unspoken(settings.trackers)
    broker_password = password_of_broker(settings)
    async with prepared_database(settings, program="gateway", exclusive=False) as dsn:
        clock = await joined_clock(dsn, settings)
        metrics, inbox, keys = Metrics(), Inbox(settings.inbox_reports), DeviceKeys()
        reading_dsn = await _reading_dsn(dsn)
        credentials = CredentialWatch(reading_dsn, keys, asyncio.Condition())
        routing = RoutingWatch(reading_dsn)
        vouching = Vouching(settings.private_networks)
        intake = Intake(inbox, keys.identifiers, credentials.fresh, clock, metrics)
        places = places_of(settings)
        stream = await opened_stream(setting, "gateway")
        try:
            publisher = Publisher(stream, inbox, routing.routing, metrics, settings.inbox_reports)
            async with asyncio.TaskGroup() as group:
                following = [group.create_task(part.run(stop)) for part in (credentials, routing)]
                await routing.loaded.wait()
                publishing = group.create_task(publisher.run(stop))
                watch = GatewayWatch(publisher, credentials)
                routes = [
                    device_route(
                        inbox, keys, credentials.fresh, lambda status: metrics.answers.labels(str(status)).inc()
                    ),
                    *service_routes(clock, metrics, settings.metrics_token, watch),
                    *(CheckInDoor(intake, keys, vouching).routes() if settings.check_in == "on" else []),
                ]
                application = application_of(routes, settings)
                async with (
                    listening(application, settings, places, stop) as address,
                    trackers_heard(settings.trackers, intake, places, vouching) as heard,
                    broker_heard(settings.mqtt, broker_password, intake, keys, metrics) as brokers,
                ):
                    following.append(group.create_task(publisher.give_signs(watch.hears, stop)))
                    yield Service(address, dsn, clock, routes, [*heard, *brokers])
                    stop.set()
                await asyncio.wait([publishing, *following])
        finally:
            with suppress(Exception):
                await stream.client.close()


async def _reading_dsn(dsn: str) -> str:
    """In the role that may read keys and who wears what, and write nothing. Raises SettingsError where it cannot be had."""
    reading = await run_time_dsn(dsn, RunTime.GATEWAY)
    if reading == dsn:
        raise SettingsError(
            f"A gateway works in the role {RunTime.GATEWAY} of the database, and the user of EMTRACK_DATABASE_URL is not in it. As "
            f"an administrator: CREATE ROLE {RunTime.GATEWAY} NOLOGIN; GRANT {RunTime.GATEWAY} TO that user. Then begin `emtrack "
            "pages` once, which gives the role its rights."
        )
    return reading


async def gateway(settings: Settings, stop: asyncio.Event, say: Callable[[str], None]) -> None:
    """Until `stop` is set."""
    async with running_gateway(settings, stop) as service:
        say(f"emtrack gateway listens on {service.address}")
        for heard in service.heard:
            say(f"emtrack hears {heard}")
        await stop.wait()
