"""Orders over HTTP: what `emtrack orders import` does, one thing at a time. The bodies are the objects of orders.json."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.clock import Clock
from emtrack.forms.errors import FormError
from emtrack.forms.orders import AbsenceForm, ActivationForm, Orders, RequirementForm
from emtrack.forms.reading import read_orders
from emtrack.orders.entry import enter_orders
from emtrack.people.looks import ORDER, Looker
from emtrack.people.roles import ORDER_KEEPERS, Caller
from emtrack.reading.apart import Judges, Patience
from emtrack.reading.people import wearer_no_of
from emtrack.record.entering import OrdersConflict
from emtrack.record.past_orders import NoReason, look_by_past_orders
from emtrack.web.api.operation import Body, ConflictAnswer, Content, IdInAddress, Operation, Parameter, served
from emtrack.web.guard import Problem, answer, asked, door_of, read_json_body
from emtrack.web.judged import orders_in

LARGEST = 2 * 1024 * 1024
LITTLE = 16 * 1024
"""Bytes of a body whose zones are checked where it came in: what a boundary crosses itself grows with the square of its corners."""
MOST_CORNERS = 10_000
"""Of all zones of a request. No order of a court has a thousand; `emtrack orders import` takes more."""

MOST_ENTRIES = 100
"""Of one requirement. Each is compared with all others of the person."""
NAME = "the request"


class EnteredAnswer(msgspec.Struct, frozen=True):
    """What was entered. `keys`: of devices that are new, shown once. `warnings`: what is allowed and probably not meant."""

    changes: list[str]
    keys: dict[str, str]
    warnings: list[str]


ENTERED = {200: Content(EnteredAnswer, "It was entered")}
REQUIREMENT = Operation(
    "putRequirement", "PUT", "/v1/requirements/{requirement_id}",
    "All entries of a requirement, instead of those that were entered before. One for the past takes a `reason`. At most "
    f"{MOST_CORNERS:,} corners and {LARGEST >> 20} MiB.",
    ENTERED, ORDER_KEEPERS,
    (Parameter("requirement_id", IdInAddress, "Id of the requirement", "path"),),
    Body(RequirementForm, named="requirement_id", most=MOST_ENTRIES),
    (409, 429),
)  # fmt: skip
ACTIVATION = Operation(
    "enterActivation", "POST", "/v1/activations", "A new activation, or a new version of one. The key of a new device is shown once.",
    ENTERED, ORDER_KEEPERS,
    body=Body(ActivationForm),
    refusals=(409, 429),
)  # fmt: skip
ABSENCE = Operation(
    "enterAbsence", "POST", "/v1/wearers/{wearer_id}/absences", "An authorised absence.",
    ENTERED, ORDER_KEEPERS,
    (Parameter("wearer_id", IdInAddress, "Id of the wearer", "path"),),
    Body(AbsenceForm, named="wearer_id"),
    (404, 409, 429),
)  # fmt: skip


class OrderRoutes:
    """PUT /v1/requirements/{id}, POST /v1/activations, POST /v1/wearers/{id}/absences."""

    def __init__(self, pool: asyncpg.Pool[Any], clock: Clock, judges: Judges) -> None:
        self._pool = pool
        self._clock = clock
        self._judges = judges

    def routes(self) -> list[Route]:
        pool = self._pool
        return [
            served(pool, REQUIREMENT, self.requirement),
            served(pool, ACTIVATION, self.activation),
            served(pool, ABSENCE, self.absence),
        ]

    async def requirement(self, request: Request, caller: Caller) -> Response:
        """All entries of a requirement, instead of those that were entered before: an object, or a list of them."""
        body = await _body(request, (dict, list))
        entries = body if isinstance(body, list) else [body]
        named = {"requirement_id": request.path_params["requirement_id"]}
        if not entries or not all(isinstance(entry, dict) for entry in entries):
            raise Problem(422, "expected a requirement, or a list of the entries of one")
        if len(entries) > MOST_ENTRIES:
            raise Problem(422, f"{len(entries):,} entries; expected at most {MOST_ENTRIES} of a requirement here")
        return await self._enter(caller, {"requirements": [_named(entry, named) for entry in entries]})

    async def activation(self, request: Request, caller: Caller) -> Response:
        """A new activation, or a new version of one. The key of a device that is new stands in the answer, once."""
        return await self._enter(caller, {"activations": [await _body(request, dict)]})

    async def absence(self, request: Request, caller: Caller) -> Response:
        """An authorised absence. 409 if it overlaps another."""
        named = {"wearer_id": request.path_params["wearer_id"]}
        await self._refuse_stranger(named["wearer_id"])
        return await self._enter(caller, {"absences": [_named(await _body(request, dict), named)]})

    async def _refuse_stranger(self, wearer_id: str) -> None:
        async with self._pool.acquire() as connection:
            number = await wearer_no_of(connection, wearer_id)
        if number is None:
            raise Problem(404, f"there is no wearer {wearer_id!r}; their activation is entered first")

    async def _read(self, caller: Caller, form: dict[str, Any]) -> Orders:
        """Large ones in another process. Raises FormError or Problem."""
        body = msgspec.json.encode(form).decode()
        if len(body) <= LITTLE:
            return read_orders(body, NAME)
        if (corners := _corners_in(form)) > MOST_CORNERS:
            raise Problem(
                422,
                f"the zones have {corners:,} corners; expected at most {MOST_CORNERS:,} here (`emtrack orders import` takes more)",
            )
        read = await asked(self._judges, caller, Patience.PAGE, orders_in, body, NAME)
        if isinstance(read, str):
            raise Problem(422, read)
        return read

    async def _enter(self, caller: Caller, form: dict[str, Any]) -> Response:
        try:
            orders = await self._read(caller, form)
            async with self._pool.acquire() as connection, connection.transaction():
                now_ms = self._clock.now_ms()
                entered = await enter_orders(connection, orders, who=caller.name, now_ms=now_ms)
                looker = Looker(caller.name, str(caller.role), door_of(caller), ORDER)
                await look_by_past_orders(connection, entered.past, looker, now_ms)
        except FormError as error:
            if error.overlaps is not None:
                return answer(ConflictAnswer(str(error), error.overlaps), 409)
            raise Problem(422, str(error)) from error
        except NoReason as error:
            raise Problem(422, str(error)) from error
        except OrdersConflict as error:
            return answer(ConflictAnswer(str(error), error.overlaps), 409)
        told = [caution.what for caution in entered.cautions]
        return answer(EnteredAnswer([change.what for change in entered.changes], entered.keys, told))


def _corners_in(value: Any) -> int:
    """Lists that begin with a number."""
    if isinstance(value, dict):
        return sum(map(_corners_in, value.values()))
    if not isinstance(value, list) or not value:
        return 0
    return 1 if isinstance(value[0], int | float) else sum(map(_corners_in, value))


async def _body(request: Request, kinds: type | tuple[type, ...]) -> Any:
    body = await read_json_body(request, LARGEST)
    if not isinstance(body, kinds):
        raise Problem(422, "expected an object of orders.json; `emtrack schema orders` describes them")
    return body


def _named(entry: dict[str, Any], named: dict[str, str]) -> dict[str, Any]:
    """The entry with the id of the address, which the body may repeat and must not contradict."""
    for name, value in named.items():
        if entry.get(name, value) != value:
            raise Problem(
                422, f"the body says {name} {entry[name]!r}, and the address {value!r}; expected them to agree"
            )
    return entry | named
