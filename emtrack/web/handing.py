"""Files that are handed out: asked for with a reason, looked at, made apart, on record with their hash, and only then sent."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.responses import Response

from emtrack.reading.apart import Patience
from emtrack.reading.exports import UnfitExport
from emtrack.web.form_times import UnfitTimes
from emtrack.web.guard import read_form
from emtrack.web.pages.wearers import person_or_problem

if TYPE_CHECKING:
    import asyncpg
    from starlette.requests import Request

    from emtrack.db.connect import Connection
    from emtrack.files.positions import FileType
    from emtrack.people.roles import Caller
    from emtrack.web.rendering import Pages
    from emtrack.web.wording import Words


class Asking(NamedTuple):
    """Who asks for something of whom, and what stands in the form; on a connection of theirs. `error`: why it is asked again."""

    connection: Connection
    caller: Caller
    words: Words
    wearer: asyncpg.Record
    form: dict[str, str]
    now_ms: int
    error: str | None = None


class Handing(NamedTuple):
    """What was asked for, once the look is on record. `work`, `arguments`: what makes the file apart, or says why there is none.
    `keep`: puts what was made on record, and gives its number there. `name`: of the file, before that number."""

    work: Callable[..., Awaitable[Any]]
    arguments: tuple[Any, ...]
    keep: Callable[[Connection, Any], Awaitable[int]]
    file_type: FileType
    name: str


async def handed_out(
    pages: Pages,
    request: Request,
    caller: Caller,
    ask: Callable[[Asking], Awaitable[Response]],
    wanted: Callable[[Asking], Awaitable[Handing]],
) -> Response:
    """The form (`ask`), or the file. `wanted` records the look; it raises UnfitExport or UnfitTimes."""
    form = await read_form(request) if request.method == "POST" else times_of_address(request)
    now_ms = pages.clock.now_ms()
    async with pages.pool.acquire() as connection:
        wearer = await person_or_problem(connection, request.path_params["wearer_no"])
        asking = Asking(connection, caller, await pages.words(connection), wearer, form, now_ms)
        if request.method == "GET":
            return await ask(asking)
        try:
            handing = await wanted(asking)
        except (UnfitExport, UnfitTimes) as error:
            return await ask(asking._replace(error=str(error)))
    made = await pages.judged_apart(caller, Patience.PAGE, handing.work, *handing.arguments)
    async with pages.pool.acquire() as connection:
        if isinstance(made, str):
            return await ask(asking._replace(connection=connection, error=made))
        number = await handing.keep(connection, made)
    return attachment(made.content, handing.file_type, f"{handing.name}-{number}", number)


def times_of_address(request: Request) -> dict[str, str]:
    """The time of a history, where its page leads here."""
    return {name: text for name in ("begin", "end") if (text := request.query_params.get(name))}


def attachment(content: bytes, file_type: FileType, name: str, disclosure_no: int) -> Response:
    """A file with its hash and the number under which it is on record."""
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="{name}.{file_type.extension}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "Disclosure": str(disclosure_no),
    }
    return Response(content, 200, headers, file_type.media_type)
