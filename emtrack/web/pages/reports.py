"""Evidence reports of a person: a purpose first; what was handed out stays on record with its hash."""

from __future__ import annotations

from math import isfinite

import asyncpg
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.db.connect import Connection
from emtrack.files.positions import FileType
from emtrack.people.looks import CHOSEN, LONGEST_REFERENCE
from emtrack.people.roles import READERS, Caller
from emtrack.reading.apart import Patience
from emtrack.reading.exports import UnfitExport
from emtrack.record.disclosures import disclosures_of
from emtrack.web.form_times import UnfitTimes
from emtrack.web.guard import read_form
from emtrack.web.handing import attachment
from emtrack.web.pages.exports import (
    MOST_DISCLOSURES,
    looker_of_form,
    read_text,
    read_window,
    times_of_address,
    usual_times,
)
from emtrack.web.pages.wearers import person_or_problem
from emtrack.web.rendering import Pages
from emtrack.web.reports.gathering import AskedPlace
from emtrack.web.reports.making import Person, WantedReport, keep_report, look_at_report, report_file
from emtrack.web.reports.printing import NO_PDF, can_print
from emtrack.web.wording import GIVEN, POSITION_FORMS, Words

ZIP = FileType("application/zip", "zip")


class ReportPages:
    """/wearers/…/report"""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        return [self._pages.route("/wearers/{wearer_no:number}/report", self.report, READERS, ["GET", "POST"])]

    async def report(self, request: Request, caller: Caller) -> Response:
        """Asks for purpose and time; the answer is the report."""
        form = await read_form(request) if request.method == "POST" else {}
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            wearer = await person_or_problem(connection, request.path_params["wearer_no"])
            words = await self._pages.words(connection)
            if request.method == "GET":
                return await self._ask(connection, caller, words, wearer, times_of_address(request))
            try:
                looker = looker_of_form(caller, form)
                wanted = _wanted(wearer["wearer_no"], form, words, now_ms)
                await look_at_report(connection, looker, wanted, now_ms)
            except (UnfitExport, UnfitTimes) as error:
                return await self._ask(connection, caller, words, wearer, form, str(error))
        person = Person(wearer["wearer_id"], wearer["name"])
        made = await self._pages.judged_apart(caller, Patience.PAGE, report_file, wanted, looker, person, now_ms)
        async with self._pages.pool.acquire() as connection:
            if isinstance(made, str):
                return await self._ask(connection, caller, words, wearer, form, made)
            number = await keep_report(connection, looker, wanted, made, now_ms)
        return attachment(made.content, ZIP, f"report-{number}", number)

    async def _ask(
        self,
        connection: Connection,
        caller: Caller,
        words: Words,
        wearer: asyncpg.Record,
        form: dict[str, str],
        error: str | None = None,
    ) -> Response:
        chosen, passes = usual_times(words, form, self._pages.clock.now_ms())
        return self._pages.render(
            "report.html", caller, words, status=422 if error else 200, wearer=wearer, passes=passes, purposes=CHOSEN, error=error,
            form={"purpose": "", "known": "", "radius": "100"} | chosen, forms=POSITION_FORMS, GIVEN=GIVEN,
            no_pdf=None if can_print() else NO_PDF,
            disclosures=await disclosures_of(connection, wearer["wearer_no"], MOST_DISCLOSURES),
        )  # fmt: skip


def _wanted(wearer_no: int, form: dict[str, str], words: Words, now_ms: int) -> WantedReport:
    """Raises UnfitExport or UnfitTimes."""
    window, known_ms = read_window(form, words, now_ms)
    recipient = read_text(form, "recipient", LONGEST_REFERENCE)
    return WantedReport(wearer_no, window, known_ms, recipient, _place(form))


def _place(form: dict[str, str]) -> AskedPlace | None:
    """Raises UnfitExport."""
    texts = [form.get(name, "").strip() for name in ("lon", "lat", "radius")]
    if not texts[0] and not texts[1]:
        return None
    try:
        place = AskedPlace(*map(float, texts))
    except ValueError:
        raise UnfitExport("Enter latitude, longitude and radius of the place as numbers, or none of them.") from None
    if not all(map(isfinite, place)):
        raise UnfitExport("Enter latitude, longitude and radius of the place as numbers, or none of them.")
    return place
