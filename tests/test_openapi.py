"""The description of the API is what the service does: for every role, whatever is sent that fits it, and what does not."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route
from yarl import URL

from emtrack.forms.lines import FindingLine
from emtrack.people.roles import READERS, Role
from emtrack.web.api.description import description, plain_path
from tests.command_line import emtrack
from tests.office import Office, open_office

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
NOBODY = "nobody"
DEVICE = "D1"
CALLERS = [NOBODY, DEVICE, *map(str, Role)]
MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
KNOWN = {
    "wearer_id": ["W1", "W2"],
    "requirement_id": ["C1", "X1"],
    "device_id": ["D1", "D2"],
    "alert_no": [1, 2],
    "finding_no": [1, 2],
}
"""Who and what there is in the office."""
SHORT = settings(
    max_examples=3,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
LONG = settings(SHORT, max_examples=100, derandomize=False)
UNMATCHED = {400, 404, 405, 431}
"""What is answered where an address or a head is none, before it is asked who calls."""


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, data_dir) as office:
        await office.two_are_out()
        yield office


async def test_every_route_for_programs_is_described_and_nothing_else(office: Office) -> None:
    served = {
        (plain_path(route.path), method)
        for route in office.routes
        if isinstance(route, Route) and route.path.startswith("/v1/")
        for method in (route.methods or set()) - {"HEAD"}
    }
    described = json.loads(description())["paths"]
    assert {(path, method.upper()) for path, methods in described.items() for method in methods} == served


async def test_the_description_names_the_roles_that_routes_are_for(office: Office) -> None:
    described = json.loads(description())["paths"]
    for route in office.routes:
        if isinstance(route, Route) and route.path.startswith("/v1/") and hasattr(route.endpoint, "roles"):
            (operation,) = [described[plain_path(route.path)][method.lower()] for method in route.methods or ()]
            assert set(operation["x-roles"]) == set(map(str, route.endpoint.roles)), route.path


async def test_everybody_reads_the_description_and_may_keep_it(office: Office) -> None:
    async with office.http.get("/v1/openapi.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert response.headers["Cache-Control"] == "public, max-age=3600"
        assert await response.read() == description()


def test_the_published_description_is_what_the_service_serves() -> None:
    published = Path(__file__).parent.parent / "docs" / "schemas" / "openapi.json"
    assert published.read_bytes() == description(), "make schemas"


def test_the_command_prints_what_the_service_serves() -> None:
    assert emtrack("schema", "api").stdout.encode() == description()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/alerts/x/actions", 404),
        ("PUT", "/v1/requirements/a%2Fb", 404),
        ("PUT", "/v1/requirements/a%2F", 404),
        ("DELETE", "/v1/alerts", 405),
        ("GET", "/v1/devices/D1/reports", 405),
    ],
)
async def test_programs_are_told_in_json_of_an_address_or_method_that_there_is_not(
    office: Office, method: str, path: str, status: int
) -> None:
    async with office.http.request(method, URL(path, encoded=True), allow_redirects=False) as response:
        assert (response.status, response.content_type) == (status, "application/json")
        assert "/v1/openapi.json" in (await response.json())["error"]
        assert ("Allow" in response.headers) == (status == 405)


@pytest.mark.parametrize("caller", CALLERS)
async def test_the_service_does_what_the_description_says(office: Office, caller: str) -> None:
    visitor = Visitor(office, caller, SHORT)
    await asyncio.to_thread(visitor.visit)
    statuses = {status for operation, status in visitor.answers if operation == "GET /v1/alerts"}
    assert (200 in statuses) == (caller in map(str, READERS))
    assert (401 in statuses) == (caller in (NOBODY, DEVICE))


@pytest.mark.long
@pytest.mark.parametrize("caller", CALLERS)
async def test_the_service_does_what_the_description_says_for_long(office: Office, caller: str) -> None:
    await asyncio.to_thread(Visitor(office, caller, LONG).visit)


@functools.cache
def operations() -> list[Any]:
    """As schemathesis reads them; kept, as are the schemas that it derives of them."""
    schema = schemathesis.openapi.from_dict(json.loads(description()))
    schema.config.update(base_url="http://127.0.0.1")
    return [found.ok() for found in schema.get_all_operations()]


class Visitor:
    """Somebody with a token or key, or nobody, who calls every operation with whatever is generated for it."""

    def __init__(self, office: Office, caller: str, examples: settings) -> None:
        self._office = office
        self._caller = caller
        self._examples = examples
        self._session = requests.Session()
        self.answers: set[tuple[str, int]] = set()

    def visit(self) -> None:
        """Raises all that is otherwise than described."""
        if broken := list(self._broken()):
            raise ExceptionGroup(f"{self._caller} found the service to be another than described", broken)

    def _broken(self) -> Iterator[Exception]:
        for operation in operations():
            for mode in self._modes(operation):
                try:
                    self._send_all(operation, mode)
                except Exception as error:
                    yield error

    def _modes(self, operation: Any) -> list[schemathesis.GenerationMode]:
        """What does not fit is sent by those who may call: others are refused before it is read."""
        can_be_unfit = any(True for _ in operation.iter_parameters())
        return MODES if can_be_unfit and self._is_for(operation.definition.raw) else MODES[:1]

    def _send_all(self, operation: Any, mode: schemathesis.GenerationMode) -> None:
        media_type = "application/json" if operation.body else None
        cases = operation.as_strategy(generation_mode=mode, media_type=media_type)

        @self._examples
        @given(case=cases, choice=st.randoms())
        def sent(case: Any, choice: Random) -> None:
            name_what_there_is(case, choice)
            self._send(case)

        sent()

    def _send(self, case: Any) -> None:
        request = case.as_transport_kwargs(self._office.address)
        generated = {name: value for name, value in request["headers"].items() if name.lower() != "authorization"}
        request["headers"] = generated | self._credential()
        with self._session.request(**request, stream=True, allow_redirects=False, timeout=20) as response:
            media_type = response.headers.get("Content-Type", "").partition(";")[0]
            if media_type == "text/event-stream":
                response._content = next(response.iter_content(None))  # it has no end
            case.validate_response(response, checks=CHECKS)
            if media_type == "application/x-ndjson":
                for line in response.content.splitlines():
                    msgspec.json.decode(line, type=FindingLine)
        self.answers.add((case.operation.label, response.status_code))
        if not self._may(case):
            assert response.status_code in {401, 403} | UNMATCHED, (response.status_code, self._caller, request)

    def _credential(self) -> dict[str, str]:
        if self._caller == DEVICE:
            return {"Authorization": f"Bearer {self._office.keys[DEVICE]}"}
        return {} if self._caller == NOBODY else self._office.bearer(self._caller)

    def _is_for(self, described: dict[str, Any]) -> bool:
        if described["security"] == [{"deviceKey": []}]:
            return self._caller == DEVICE
        return not described["security"] or self._caller in described["x-roles"]

    def _may(self, case: Any) -> bool:
        is_own = self._caller != DEVICE or (case.path_parameters or {}).get("device_id", DEVICE) == DEVICE
        return is_own and self._is_for(case.operation.definition.raw)


def name_what_there_is(case: Any, choice: Random) -> None:
    """Mostly, so that more is reached than "there is no such person"."""
    for fields in (case.path_parameters, case.body):
        for name in KNOWN.keys() & fields.keys() if isinstance(fields, dict) else ():
            if choice.random() < 0.7:
                fields[name] = choice.choice(KNOWN[name])
