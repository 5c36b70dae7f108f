"""The routes that need nobody's name: is the service alive, is it ready, what time is it, how is it doing."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.clock import Clock
from emtrack.metrics import Metrics
from geofence import format_instant

NO_STORE = {"Cache-Control": "no-store"}


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, NO_STORE, "application/json")


def service_routes(clock: Clock, metrics: Metrics, trouble: Callable[[], str | None]) -> list[Route]:
    """GET /healthz, /readyz, /metrics, /v1/time. `trouble`: why nobody is watched now; None: all is well."""

    async def healthz(_: Request) -> Response:
        return _json({"status": "alive"})

    async def readyz(_: Request) -> Response:
        what = trouble()
        return _json({"status": "ready"}) if what is None else _json({"status": "not ready", "what": what}, 503)

    async def exposed(_: Request) -> Response:
        return Response(metrics.exposed(), 200, NO_STORE, "text/plain; version=0.0.4; charset=utf-8")

    async def time(_: Request) -> Response:
        return _json({"now": format_instant(clock.now_ms()), "rate": clock.rate, "emulated": clock.emulated})

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", exposed),
        Route("/v1/time", time),
    ]
