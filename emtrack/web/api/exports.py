"""Positions of one person as a file, over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

import asyncpg
import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.clock import Clock
from emtrack.files.positions import FILE_TYPES, PositionForm
from emtrack.people.roles import READERS, Caller
from emtrack.reading.apart import Judges, Patience
from emtrack.reading.exports import UnfitExport, WantedExport, keep_export, look_at_export, position_file
from emtrack.reading.people import wearer_no_of
from emtrack.record.disclosures import LONGEST_RECIPIENT
from emtrack.web.api.operation import Body, Content, IdInAddress, Instant, Operation, Parameter, served
from emtrack.web.guard import LARGEST_FORM, Problem, asked, looker_of, read_instant, read_json_body
from emtrack.web.handing import attachment
from geofence import Interval


class ExportForm(msgspec.Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A time of at most 31 days, and the form of the file. `recipient`: for whom it is made."""

    from_: Instant
    to: Instant
    form: PositionForm = PositionForm.CSV
    as_known_at: Instant | None = None
    recipient: Annotated[str, Meta(max_length=LONGEST_RECIPIENT)] | None = None


EXPORT = Operation(
    "exportPositions", "POST", "/v1/wearers/{wearer_id}/export",
    "Positions of one person as a file. The purpose (header Purpose) is one that somebody chooses, not that of a place of work. The "
    "header Disclosure is the number under which the file is on record with its hash, Repr-Digest that hash. One question of a "
    "caller at a time.",
    {200: Content(str, "The file", tuple(sorted({one.media_type.partition(";")[0] for one in FILE_TYPES.values()})))},
    READERS,
    (Parameter("wearer_id", IdInAddress, "Id of the wearer", "path"),),
    body=Body(ExportForm),
    refusals=(404, 429),
)  # fmt: skip


def export_routes(pool: asyncpg.Pool[Any], clock: Clock, judges: Judges) -> list[Route]:
    """POST /v1/wearers/{wearer_id}/export."""

    async def export(request: Request, caller: Caller) -> Response:
        try:
            form = msgspec.convert(await read_json_body(request, LARGEST_FORM), ExportForm)
        except msgspec.ValidationError as error:
            raise Problem(422, f"{error}; expected from, to and form") from error
        looker, now_ms, wearer_id = looker_of(caller), clock.now_ms(), request.path_params["wearer_id"]
        try:
            async with pool.acquire() as connection:  # given back before the question: the look is committed by then
                number = await wearer_no_of(connection, wearer_id)
                if number is None:
                    raise Problem(404, f"there is no wearer {wearer_id[:60]!r}")
                wanted = _wanted(form, number, now_ms)
                await look_at_export(connection, looker, wanted, now_ms)
        except UnfitExport as error:
            raise Problem(422, str(error)) from error
        made = await asked(judges, caller, Patience.PROGRAM, position_file, wanted, looker, wearer_id, now_ms)
        if isinstance(made, str):
            raise Problem(422, made)
        async with pool.acquire() as connection:
            disclosure_no = await keep_export(connection, looker, wanted, made, now_ms)
        return attachment(made.content, FILE_TYPES[wanted.form], f"positions-{disclosure_no}", disclosure_no)

    return [served(pool, EXPORT, export)]


def _wanted(form: ExportForm, wearer_no: int, now_ms: int) -> WantedExport:
    begin_ms, end_ms = read_instant(form.from_), read_instant(form.to)
    if begin_ms is None or end_ms is None:
        raise Problem(422, "from and to are instants with a zone; correct them")
    known_ms = read_instant(form.as_known_at)
    as_known_ms = now_ms if known_ms is None else min(known_ms, now_ms)
    return WantedExport(wearer_no, Interval(begin_ms, end_ms), form.form, as_known_ms, form.recipient or None)
