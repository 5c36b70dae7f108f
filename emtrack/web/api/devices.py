"""What devices speak, over HTTP: what `emtrack devices identifiers` does."""

from __future__ import annotations

from typing import Annotated, Any

import asyncpg
import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.clock import Clock
from emtrack.people.roles import Caller, Role
from emtrack.record.device_identifiers import IdentifierTaken, UnfitIdentifier, end_identifier, set_identifier
from emtrack.record.devices import NoDevice
from emtrack.web.api.operation import Body, ConflictAnswer, Content, IdInAddress, Operation, Parameter, served
from emtrack.web.guard import Problem, answer, read_json_body

LARGEST = 4 * 1024
ADMINISTRATORS = frozenset({Role.ADMINISTRATOR})
"""Whose evidence something is follows from it."""


class IdentifierForm(Struct, frozen=True, forbid_unknown_fields=True):
    """By what the device is known in the protocol: an IMEI, or what a telephone calls itself."""

    identifier: Annotated[str, Meta(min_length=1, max_length=64)]


class IdentifierAnswer(Struct, frozen=True):
    """`identifier` None: the device speaks the protocol no longer."""

    device_id: str
    protocol: str
    identifier: str | None


NAMED = (
    Parameter("device_id", IdInAddress, "Id of the device", "path"),
    Parameter("protocol", IdInAddress, "Name of the protocol, such as teltonika", "path"),
)
SET = Operation(
    "setDeviceIdentifier", "PUT", "/v1/devices/{device_id}/identifiers/{protocol}",
    "The device speaks this protocol, and is known in it by this identifier; one that it had before ends.",
    {200: Content(IdentifierAnswer, "It was entered")}, ADMINISTRATORS, NAMED, Body(IdentifierForm), (404, 409),
)  # fmt: skip
END = Operation(
    "endDeviceIdentifier", "DELETE", "/v1/devices/{device_id}/identifiers/{protocol}",
    "The device speaks this protocol no longer, within a second.",
    {200: Content(IdentifierAnswer, "It was ended")}, ADMINISTRATORS, NAMED, refusals=(404,),
)  # fmt: skip


def device_routes(pool: asyncpg.Pool[Any], clock: Clock) -> list[Route]:
    """PUT and DELETE /v1/devices/{device_id}/identifiers/{protocol}."""

    async def enter(request: Request, caller: Caller) -> Response:
        device_id, protocol = request.path_params["device_id"], request.path_params["protocol"]
        try:
            form = msgspec.convert(await read_json_body(request, LARGEST), IdentifierForm)
            async with pool.acquire() as connection, connection.transaction():
                await set_identifier(connection, device_id, protocol, form.identifier, caller.name, clock.now_ms())
        except (msgspec.ValidationError, UnfitIdentifier) as error:
            raise Problem(422, str(error)) from error
        except NoDevice as error:
            raise Problem(404, str(error)) from error
        except IdentifierTaken as error:
            return answer(ConflictAnswer(str(error), None), 409)
        return answer(IdentifierAnswer(device_id, protocol, form.identifier))

    async def end(request: Request, caller: Caller) -> Response:
        device_id, protocol = request.path_params["device_id"], request.path_params["protocol"]
        try:
            async with pool.acquire() as connection, connection.transaction():
                await end_identifier(connection, device_id, protocol, caller.name, clock.now_ms())
        except NoDevice as error:
            raise Problem(404, str(error)) from error
        return answer(IdentifierAnswer(device_id, protocol, None))

    return [served(pool, SET, enter), served(pool, END, end)]
