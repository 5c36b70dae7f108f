"""The description of the API: OpenAPI 3.1, made of the operations and of the structures that the code reads and writes."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.forms.reading import schema_of_special
from emtrack.people.roles import Role
from emtrack.web.api import (
    alerts,
    devices,
    evidence,
    exports,
    findings,
    iom,
    ledger,
    log,
    near,
    orders,
    reports,
    service,
    what_if,
)
from emtrack.web.api.operation import (
    NOBODY,
    Body,
    ConflictAnswer,
    Content,
    Operation,
    Parameter,
)
from emtrack.web.guard import ErrorAnswer, route_without_head

CACHED_S = 3600
JSON = "application/json"
REF = "#/components/schemas/{name}"

DESCRIPTION = Operation(
    "describeApi", "GET", "/v1/openapi.json", "This description.",
    {200: Content(dict[str, Any], "An OpenAPI 3.1 document")},
    credential=NOBODY,
)  # fmt: skip

OPERATIONS: tuple[Operation, ...] = (
    reports.REPORTS, alerts.QUEUE, alerts.STREAM, alerts.ACT, findings.FINDINGS, orders.REQUIREMENT, orders.ACTIVATION,
    orders.ABSENCE, devices.SET, devices.END, ledger.LEDGER, ledger.EXCUSE,
    iom.ROWS, iom.OUT, iom.CHANGES, iom.COHORT, iom.RECORD, iom.GRADE, iom.AGAINST,
    near.NEAR, exports.EXPORT, evidence.REPORT, what_if.BEGIN, what_if.READ, what_if.CANCEL, service.TIME, log.HEAD, DESCRIPTION,
)  # fmt: skip

REFUSALS = {
    400: "What cannot be read: a parameter, the header Purpose, a body that is not JSON, or a host that the service is not known by",
    401: "No credential, or one that is not known or has ended",
    403: "Not for this role or agency, or no purpose was said; nothing was changed",
    404: "There is no such person, alert or address",
    408: "The request did not come in whole in time",
    409: "It contradicts what is there: it overlaps, or somebody was faster",
    411: "The length of the body must be said beforehand",
    413: "The body is too large",
    415: "A content type or encoding that is not taken",
    422: "What was sent does not fit its form, or asks for what cannot be done",
    429: "Too much at once; again after Retry-After",
    431: "The head of the request is too large",
    500: "A fault of the service; it is in its log",
    503: "Not now; again after Retry-After",
}
SECURITY = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of a program (`emtrack tokens add`), which has a role and may be of an agency. A browser may show "
        "the cookie of its session instead; what changes something then takes the header X-Form-Key, too.",
    },
    "deviceKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of the device or home unit (`emtrack devices add`)",
    },
}
ABOUT = (
    "Electronic monitoring: devices send reports, which become findings and alerts. An operation says which roles it is for "
    "(`x-roles`): operators and supervisors work alerts, officers and contacts keep orders, administrators do both, auditors see "
    "none of it. Everybody of an agency sees the people whom it shares. Whatever shows where somebody was is put on record first."
)


@functools.cache
def description() -> bytes:
    """The document as it is served and printed."""
    forms, components = _schemas(OPERATIONS)
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        described = _operation(operation, forms, components)
        paths.setdefault(plain_path(operation.path), {})[operation.method.lower()] = described
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "emtrack",
            "version": version("emtrack"),
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {"schemas": dict(sorted(components.items())), "securitySchemes": SECURITY},
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def plain_path(path: str) -> str:
    """A path of a route without what its parameters are read with."""
    return re.sub(r":\w+}", "}", path)


def description_route() -> Route:
    """GET /v1/openapi.json, for everybody: it tells of nobody."""
    headers = {"Cache-Control": f"public, max-age={CACHED_S}"}

    async def endpoint(_: Request) -> Response:
        return Response(description(), 200, headers, JSON)

    return route_without_head(DESCRIPTION.path, endpoint, ["GET"])


Forms = dict[Any, dict[str, Any]]


def _schemas(operations: Iterable[Operation]) -> tuple[Forms, dict[str, Any]]:
    """The schema of each type that operations speak of, and the components that those refer to."""
    types = list(dict.fromkeys(form for operation in operations for form in _forms_of(operation)))
    schemas, components = msgspec.json.schema_components(types, schema_hook=schema_of_special, ref_template=REF)
    return dict(zip(types, schemas, strict=True)), dict(components)


def _forms_of(operation: Operation) -> Iterable[Any]:
    yield from (ErrorAnswer, ConflictAnswer)
    yield from (parameter.form for parameter in operation.all_parameters)
    if operation.body is not None:
        yield operation.body.form
    for content in operation.answers.values():
        yield content.form
        if content.line is not None:
            yield content.line


def _operation(operation: Operation, forms: Forms, components: dict[str, Any]) -> dict[str, Any]:
    good = {str(status): _good(content, forms) for status, content in operation.answers.items()}
    refused = {str(status): _refusal(status, forms) for status in operation.statuses}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "description": _in_words(operation),
        "parameters": [_parameter(parameter, forms) for parameter in operation.all_parameters],
        "responses": good | refused,
        "security": [] if operation.credential.scheme is None else [{operation.credential.scheme: []}],
    }
    if operation.roles:
        described["x-roles"] = [str(role) for role in Role if role in operation.roles]
    if operation.body is not None:
        described["requestBody"] = _body(operation.body, forms, components)
    return described


def _in_words(operation: Operation) -> str:
    if not operation.roles:
        return operation.what
    return f"{operation.what} For: {', '.join(role for role in Role if role in operation.roles)}."


def _parameter(parameter: Parameter, forms: Forms) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.what,
        "schema": forms[parameter.form],
    }


def _body(body: Body, forms: Forms, components: dict[str, Any]) -> dict[str, Any]:
    schema = forms[body.form] if body.named is None else _named_by_address(body.form, body.named, components)
    if body.most is not None:
        entries = {"type": "array", "items": schema, "minItems": 1, "maxItems": body.most}
        schema = {"anyOf": [schema, entries]}
    return {"required": True, "content": {media: {"schema": schema} for media in body.media_types}}


def _named_by_address(form: type, named: str, components: dict[str, Any]) -> dict[str, Any]:
    """The form, of which the body may leave out the field that the address gives."""
    whole = components[form.__name__]
    name = f"{form.__name__}InAddress"
    components[name] = whole | {"required": [field for field in whole["required"] if field != named]}
    return {"$ref": REF.format(name=name)}


def _good(content: Content, forms: Forms) -> dict[str, Any]:
    schema = forms[content.form]
    if content.line is not None:
        schema = schema | {"contentMediaType": JSON, "contentSchema": forms[content.line]}
    return {"description": content.what, "content": {media: {"schema": schema} for media in content.media_types}}


def _refusal(status: int, forms: Forms) -> dict[str, Any]:
    schemas = [forms[ErrorAnswer]] if status != 409 else [forms[ConflictAnswer], forms[ErrorAnswer]]
    described = {"description": REFUSALS[status], "content": {JSON: {"schema": _one_of(schemas)}}}
    if status == 401:
        described["headers"] = {"WWW-Authenticate": _header({"type": "string"})}
    if status in (429, 503):
        described["headers"] = {"Retry-After": _header({"type": "integer", "minimum": 0})}
    return described


def _header(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "schema": schema}


def _one_of(schemas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}
