"""The HTTP door for devices. It reads, checks the key, puts the request in the inbox, and answers after the commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ingest.inbox import (
    Admission,
    Inbox,
    InboxClosed,
    InboxFull,
    NotCommitted,
    Submission,
    TooManyAtOnce,
    TooManyDays,
)
from ingest.signing import Checked, signing_of
from ingest.wire import (
    MAX_BODY_BYTES,
    Acknowledgement,
    WireError,
    encode_answer,
    kept_body,
    media_type,
    read_request,
    refuse_encoding,
)

BODY_WITHIN_S = 20.0
ANSWER_WITHIN_S = 30.0
"""A request that has waited so long for its commit is told to try again; its reports may still be committed."""


class KeysUnknown(Exception):
    """Nobody knows at the moment which keys are good."""


class KeyCheck(Protocol):
    """Who may report as which device."""

    def device_no(self, device_id: str, key: str) -> int | None:
        """The device's number if the key is one of its keys, else None. Does not block."""

    def checked(self, device_id: str, message: bytes, signature: bytes) -> Checked | None:
        """Which key of the device made the signature; None: the device never had a key to sign with."""


def _problem(status: int, message: str, *, retry_after_s: int | None = None) -> Response:
    headers = {"Cache-Control": "no-store"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(msgspec.json.encode({"error": message}), status, headers, "application/json")


Fresh = Callable[[], Awaitable[None]]
"""Returns when what `KeyCheck` knows is of now. Raises KeysUnknown."""


def device_route(inbox: Inbox, keys: KeyCheck, fresh: Fresh, on_status: Callable[[int], None]) -> Route:
    """POST /v1/devices/{device_id}/reports. `on_status` is told the status of every answer."""

    async def endpoint(request: Request) -> Response:
        try:
            await fresh()
            response = await _receive(request, inbox, keys)
        except WireError as error:
            response = _problem(error.status, str(error))
        except InboxFull as full:
            response = _problem(503, "the service is behind; send again later", retry_after_s=full.retry_after_s)
        except TooManyAtOnce as many:
            response = _problem(
                429, "the device has too many requests open; wait for their answers", retry_after_s=many.retry_after_s
            )
        except KeysUnknown:
            response = _problem(503, "whether the key is good cannot be told now; send again", retry_after_s=5)
        except TooManyDays as many:
            response = _problem(
                429,
                "the reports are of more days that are new here than are made for a device in an hour; send again later",
                retry_after_s=many.retry_after_s,
            )
        except (InboxClosed, NotCommitted, TimeoutError):
            response = _problem(503, "not committed yet; send again", retry_after_s=5)
        except ClientDisconnect:
            response = _problem(400, "the connection was closed before the body was read")
        on_status(response.status_code)
        return response

    return Route("/v1/devices/{device_id}/reports", endpoint, methods=["POST"])


async def _receive(request: Request, inbox: Inbox, keys: KeyCheck) -> Response:
    device_no = _authenticated(request, keys)
    refuse_encoding(request.headers.get("content-encoding"))
    content_type = media_type(request.headers.get("content-type"))
    with inbox.admit(device_no, _declared_length(request)) as admission:
        body = await _bounded_body(request)
        try:
            sent = read_request(body, content_type)
        except WireError as error:
            if error.keep:
                unreadable = Submission(device_no, [], _unanswered(), kept_body(body, str(error)))
                await _submit(inbox, admission, unreadable)
            raise
        signing = signing_of(request.path_params["device_id"], sent.boot, sent.signature, keys.checked)
        submission = Submission.of(sent, device_no, _unanswered(), signing)
        answer = await _submit(inbox, admission, submission)
    return Response(encode_answer(answer, content_type), 200, {"Cache-Control": "no-store"}, content_type)


def _authenticated(request: Request, keys: KeyCheck) -> int:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    known = keys.device_no(request.path_params["device_id"], key.strip())
    if scheme.lower() != "bearer" or known is None:
        raise WireError(401, "the key is not one of this device; send Authorization: Bearer KEY", keep=False)
    return known


def _declared_length(request: Request) -> int:
    """How long the body says it is: whether there is room for it is decided before it is read. Raises WireError 411, 413."""
    declared = request.headers.get("content-length", "")
    if not (declared.isascii() and declared.isdigit()):
        raise WireError(411, "send Content-Length: how long the body is must be known before it is read", keep=False)
    if len(declared) > 18 or int(declared) > MAX_BODY_BYTES:
        message = f"the body is larger than {MAX_BODY_BYTES:,} bytes; send less at once"
        raise WireError(413, message, keep=False)
    return int(declared)


async def _bounded_body(request: Request) -> bytes:
    """The body; the server reads no further than its length. Raises WireError 408 for one that does not come: room is kept for it."""
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            return b"".join([chunk async for chunk in request.stream()])
    except TimeoutError:
        raise WireError(408, f"the body did not come within {BODY_WITHIN_S:.0f} s; send again", keep=False) from None


def _unanswered() -> asyncio.Future[Acknowledgement]:
    return asyncio.get_running_loop().create_future()


async def _submit(inbox: Inbox, admission: Admission, submission: Submission) -> Acknowledgement:
    admission.gives_room()
    inbox.put(submission)
    return await submission.answered(ANSWER_WITHIN_S)
