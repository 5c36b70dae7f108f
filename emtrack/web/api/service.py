"""The routes that need nobody's name: is the service alive, is it ready, what time is it, how is it doing."""

from __future__ import annotations

import ipaddress
import secrets

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.clock import Clock
from emtrack.metrics import Metrics
from emtrack.web.api.operation import NOBODY, Content, Instant, Operation
from emtrack.web.watched import Watched
from geofence import format_instant

NO_STORE = {"Cache-Control": "no-store"}


class TimeAnswer(msgspec.Struct, frozen=True):
    """`rate`: how many seconds of it pass in a second; other than 1 only where it is emulated."""

    now: Instant
    rate: float
    emulated: bool


TIME = Operation(
    "readTime",
    "GET",
    "/v1/time",
    "What time it is for the service.",
    {200: Content(TimeAnswer, "The time")},
    credential=NOBODY,
)


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, NO_STORE, "application/json")


def _may_read_metrics(request: Request, token: str | None) -> bool:
    if token is None:
        return request.client is not None and is_loopback(request.client.host)
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and secrets.compare_digest(sent.strip().encode(), token.encode())


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def service_routes(clock: Clock, metrics: Metrics, metrics_token: str | None, watched: Watched) -> list[Route]:
    """GET /healthz, /readyz, /metrics, /v1/time. `metrics_token`: who sends it reads the metrics; None: who calls from this machine.
    `watched`: whether the service watches."""

    async def healthz(_: Request) -> Response:
        return _json({"status": "alive"})

    async def readyz(_: Request) -> Response:
        what, late = watched.trouble(), watched.late()
        if what is not None:
            return _json({"status": "not ready", "what": what}, 503)
        return _json({"status": "ready"} if late is None else {"status": "ready", "late": late})

    async def exposed(request: Request) -> Response:
        if not _may_read_metrics(request, metrics_token):
            return _json(
                {"error": "metrics are for this machine, or for who sends EMTRACK_METRICS_TOKEN as a bearer token"},
                403,
            )
        return Response(metrics.exposed(), 200, NO_STORE, "text/plain; version=0.0.4; charset=utf-8")

    async def time(_: Request) -> Response:
        return _json(TimeAnswer(format_instant(clock.now_ms()), clock.rate, clock.emulated))

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", exposed),
        Route(TIME.path, time),
    ]
