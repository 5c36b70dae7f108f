"""The door of telephones: check-in over HTTP by OsmAnd, Traccar Client and OwnTracks, answered after the commit.

It asks for the key of the device, or for a private network: an identifier alone would let anybody write into the record. What comes
in is unauthenticated evidence all the same (docs/decisions/0046). Places stand in addresses here: nothing of a request is logged.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.service.intake import Intake, NotTaken, Outcome
from emtrack.service.keys import DeviceKeys
from emtrack.service.vouching import Vouching
from ingest.protocols import Asked, CheckIn, NotACheckIn, Reading, Source, osmand, owntracks

MOST_BYTES = 16_384
BODY_WITHIN_S = 20.0


class App(NamedTuple):
    """A protocol of telephones. `taken`: what it is answered when all is stored."""

    name: str
    methods: tuple[str, ...]
    identify: Callable[[Asked], CheckIn]
    read: Callable[[CheckIn], Reading]
    taken: bytes = b""


APPS = (
    App("osmand", ("GET", "POST"), osmand.identify, osmand.read),
    App("owntracks", ("POST",), owntracks.identify, owntracks.read, owntracks.NOTHING_TO_SAY),
)


class Refused(Exception):
    """`status` of HTTP; the message says what to change."""

    def __init__(self, status: int, message: str, outcome: Outcome = Outcome.NOT_OF_THE_PROTOCOL) -> None:
        super().__init__(message)
        self.status = status
        self.outcome = outcome


class CheckInDoor:
    """GET and POST /check-in/osmand, POST /check-in/owntracks."""

    def __init__(self, intake: Intake, keys: DeviceKeys, vouching: Vouching) -> None:
        self._intake = intake
        self._keys = keys
        self._vouching = vouching

    def routes(self) -> list[Route]:
        return [Route(f"/check-in/{app.name}", self._door(app), methods=list(app.methods)) for app in APPS]

    def _door(self, app: App) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            try:
                self._intake.count(app.name, await self._take(app, request))
            except Refused as refused:
                self._intake.count(app.name, refused.outcome)
                return _problem(refused.status, str(refused))
            except NotTaken as not_taken:
                self._intake.count(app.name, not_taken.outcome)
                if not_taken.outcome is Outcome.UNKNOWN_DEVICE:
                    return _problem(401, NOT_ALLOWED)
                return _problem(503, "not committed yet; send again", max(5, round(not_taken.wait_s)))
            except ClientDisconnect:
                return _problem(400, "the connection was closed before the body was read")
            return Response(app.taken, 200, {"Cache-Control": "no-store"}, "application/json")

        return endpoint

    async def _take(self, app: App, request: Request) -> Outcome:
        """Raises Refused or NotTaken."""
        asked = await _asked(request)
        try:
            check_in = app.identify(asked)
        except NotACheckIn as error:
            raise Refused(422, str(error)) from error
        device = await self._intake.device(app.name, check_in.identifier)
        there = "" if request.client is None else request.client.host
        if not self._vouching.is_private(there) and self._keys.device_no(device.device_id, check_in.key) is None:
            raise Refused(401, NOT_ALLOWED, Outcome.UNKNOWN_DEVICE)
        data = str(check_in.fields).encode()  # what it says, without the key
        return await self._intake.commit(device, data, lambda: app.read(check_in), Source.UNAUTHENTICATED)


NOT_ALLOWED = (
    "this telephone may not check in; enter its identifier, and give it the key of its device as password or token"
)


async def _asked(request: Request) -> Asked:
    """Raises Refused."""
    declared = request.headers.get("content-length", "0" if request.method == "GET" else "")
    if not (declared.isascii() and declared.isdigit()):
        raise Refused(411, "send Content-Length: how long the body is must be known before it is read")
    if len(declared) > 9 or int(declared) > MOST_BYTES:
        raise Refused(413, f"the body is larger than {MOST_BYTES:,} bytes")
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            body = b"".join([chunk async for chunk in request.stream()])
    except TimeoutError:
        raise Refused(408, f"the body did not come within {BODY_WITHIN_S:.0f} s; send again") from None
    user, key = _credentials(request.headers.get("authorization", ""))
    return Asked(request.url.query, request.headers, body, user, key)


def _credentials(authorization: str) -> tuple[str, str]:
    """User and key: of Basic, or of Bearer, which names no user. Empty where there is none."""
    scheme, _, said = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return "", said.strip()
    try:
        user, _, key = (
            base64.b64decode(said if scheme.lower() == "basic" else "", validate=True).decode().partition(":")
        )
    except (binascii.Error, ValueError):
        return "", ""
    return user, key


def _problem(status: int, message: str, retry_after_s: int | None = None) -> Response:
    headers = {"Cache-Control": "no-store"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = "Basic"
    return Response(msgspec.json.encode({"error": message}), status, headers, "application/json")
