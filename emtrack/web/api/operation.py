"""What the routes for programs say of themselves: the operation stands beside the code that does it, and the route is made of it, so
that the description (`description.py`) and the service cannot name other paths, methods or roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import asyncpg
from msgspec import Meta, Struct
from starlette.routing import Route

from emtrack.people.looks import ALERT, LONGEST_REFERENCE, PURPOSES
from emtrack.people.roles import Role
from emtrack.web.guard import Endpoint, guarded

Place = Literal["path", "query", "header"]
MOST_DIGITS = 18

IdInAddress = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^/]+$")]
Number = Annotated[int, Meta(ge=0, lt=10**MOST_DIGITS)]
Instant = Annotated[str, Meta(description="ISO 8601 with a zone", extra_json_schema={"format": "date-time"})]


class ConflictAnswer(Struct, frozen=True):
    """`overlaps`: what is entered for that time already, with its `from` and `to`."""

    error: str
    overlaps: dict[str, str | None] | None


class Parameter(NamedTuple):
    """`form`: a type as msgspec reads them. One in the path must be given; no other need be."""

    name: str
    form: Any
    what: str
    place: Place = "query"


class Body(NamedTuple):
    """`named`: a field that the address gives, and the body may leave out. `most`: a list of so many is taken, too."""

    form: Any
    named: str | None = None
    most: int | None = None
    media_types: tuple[str, ...] = ("application/json",)


class Content(NamedTuple):
    """What a good answer holds. `line`: each line of the text is JSON of this form."""

    form: Any
    what: str
    media_types: tuple[str, ...] = ("application/json",)
    line: Any = None


class Credential(NamedTuple):
    """What a caller shows. `refusals`: what every operation for it may be answered with."""

    scheme: str | None
    refusals: tuple[int, ...]


EVERY_REFUSAL = (400, 408, 431)
"""Before it is known what is asked for: a host that is not ours, a request that does not come, a head that is too large."""
NOBODY = Credential(None, EVERY_REFUSAL)
DEVICE_KEY = Credential("deviceKey", (*EVERY_REFUSAL, 401, 503))
TOKEN = Credential("token", (*EVERY_REFUSAL, 401, 403, 422, 500, 503))
BODY_REFUSALS = (411, 413, 415)

PURPOSE = (
    Parameter(
        "Purpose",
        Annotated[str, Meta(extra_json_schema={"enum": [name for name in PURPOSES if name != ALERT]})],
        "For which purpose the program looks at people; left out: the usual one of the role. It goes on record.",
        "header",
    ),
    Parameter(
        "Purpose-Reference",
        Annotated[str, Meta(max_length=LONGEST_REFERENCE, pattern="^[ -~]*$")],
        "What the purpose refers to",
        "header",
    ),
)


class Operation(NamedTuple):
    """`path` as routes have it. `answers`: by status, the good ones. `refusals`: statuses beside those of the credential."""

    name: str
    method: str
    path: str
    what: str
    answers: Mapping[int, Content]
    roles: frozenset[Role] = frozenset()
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    refusals: tuple[int, ...] = ()
    credential: Credential = TOKEN

    @property
    def statuses(self) -> list[int]:
        """Of what it may be refused with."""
        of_body = () if self.body is None else BODY_REFUSALS
        return sorted({*self.credential.refusals, *of_body, *self.refusals})

    @property
    def all_parameters(self) -> tuple[Parameter, ...]:
        return (*self.parameters, *PURPOSE) if self.credential is TOKEN else self.parameters


def served(pool: asyncpg.Pool[Any], operation: Operation, endpoint: Endpoint) -> Route:
    """The route of an operation for people and programs."""
    return guarded(pool, operation.path, endpoint, operation.roles, operation.method)
