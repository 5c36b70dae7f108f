"""Evidence reports about one person, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import asyncpg
import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.clock import Clock
from emtrack.people.roles import READERS, Caller
from emtrack.reading.apart import Judges, Patience
from emtrack.reading.exports import UnfitExport
from emtrack.reading.people import person_of, wearer_no_of
from emtrack.record.disclosures import LONGEST_RECIPIENT
from emtrack.web.api.operation import Body, Content, IdInAddress, Instant, Operation, Parameter, served
from emtrack.web.guard import LARGEST_FORM, Problem, asked, looker_of, read_instant, read_json_body
from emtrack.web.handing import attachment
from emtrack.web.reports.gathering import AskedPlace
from emtrack.web.reports.making import ZIP, Person, WantedReport, keep_report, look_at_report, report_file
from geofence import Interval


class PlaceForm(msgspec.Struct, forbid_unknown_fields=True):
    """A place that no order names, of which the report says who can have been there."""

    lat_deg: Annotated[float, Meta(gt=-89, lt=89)]
    lon_deg: Annotated[float, Meta(gt=-179, lt=179)]
    radius_m: Annotated[float, Meta(ge=5, le=5000)] = 100.0


class ReportForm(msgspec.Struct, forbid_unknown_fields=True, rename={"from_": "from"}):
    """A time of at most 14 days. `recipient`: for whom it is made."""

    from_: Instant
    to: Instant
    as_known_at: Instant | None = None
    recipient: Annotated[str, Meta(max_length=LONGEST_RECIPIENT)] | None = None
    place: PlaceForm | None = None


REPORT = Operation(
    "makeEvidenceReport", "POST", "/v1/wearers/{wearer_id}/report",
    "An evidence report about one person: a zip with the report, all positions, proofs and a manifest, which `emtrack audit verify` "
    "checks. The purpose (header Purpose) is one that somebody chooses, not that of a place of work. The header Disclosure is the "
    "number under which it is on record with its hash, Repr-Digest that hash. One question of a caller at a time.",
    {200: Content(str, "The report", (ZIP.media_type,))},
    READERS,
    (Parameter("wearer_id", IdInAddress, "Id of the wearer", "path"),),
    body=Body(ReportForm),
    refusals=(404, 429),
)  # fmt: skip


def report_routes(pool: asyncpg.Pool[Any], clock: Clock, judges: Judges, basemap: Path) -> list[Route]:
    """POST /v1/wearers/{wearer_id}/report."""

    async def report(request: Request, caller: Caller) -> Response:
        try:
            form = msgspec.convert(await read_json_body(request, LARGEST_FORM), ReportForm)
        except msgspec.ValidationError as error:
            raise Problem(422, f"{error}; expected from and to") from error
        looker, now_ms, wearer_id = looker_of(caller), clock.now_ms(), request.path_params["wearer_id"]
        try:
            async with pool.acquire() as connection:  # given back before the question: the look is committed by then
                number = await wearer_no_of(connection, wearer_id)
                row = None if number is None else await person_of(connection, number)
                if number is None or row is None:
                    raise Problem(404, f"there is no wearer {wearer_id[:60]!r}")
                wanted = _wanted(form, number, now_ms)
                await look_at_report(connection, looker, wanted, now_ms)
        except UnfitExport as error:
            raise Problem(422, str(error)) from error
        person = Person(row["wearer_id"], row["name"])
        made = await asked(judges, caller, Patience.PROGRAM, report_file, wanted, looker, person, basemap, now_ms)
        if isinstance(made, str):
            raise Problem(422, made)
        async with pool.acquire() as connection:
            disclosure_no = await keep_report(connection, looker, wanted, made, now_ms)
        return attachment(made.content, ZIP, f"report-{disclosure_no}", disclosure_no)

    return [served(pool, REPORT, report)]


def _wanted(form: ReportForm, wearer_no: int, now_ms: int) -> WantedReport:
    begin_ms, end_ms = read_instant(form.from_), read_instant(form.to)
    if begin_ms is None or end_ms is None:
        raise Problem(422, "from and to are instants with a zone; correct them")
    known_ms = read_instant(form.as_known_at)
    place = None if form.place is None else AskedPlace(form.place.lon_deg, form.place.lat_deg, form.place.radius_m)
    as_known_ms = now_ms if known_ms is None else min(known_ms, now_ms)
    return WantedReport(wearer_no, Interval(begin_ms, end_ms), as_known_ms, form.recipient or None, place)
