"""Evidence reports of a person: a purpose first; what was handed out stays on record with its hash."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.db.connect import Connection
from emtrack.people.looks import CHOSEN, LONGEST_REFERENCE
from emtrack.people.roles import READERS, Caller
from emtrack.reading.exports import UnfitExport
from emtrack.record.disclosures import disclosures_of
from emtrack.web.handing import Asking, Handing, handed_out
from emtrack.web.pages.exports import (
    MOST_DISCLOSURES,
    looker_of_form,
    read_text,
    read_window,
    usual_times,
)
from emtrack.web.rendering import Pages
from emtrack.web.reports.gathering import AskedPlace
from emtrack.web.reports.making import ZIP, MadeReport, Person, WantedReport, keep_report, look_at_report, report_file
from emtrack.web.reports.printing import NO_PDF, can_print
from emtrack.web.wording import GIVEN, POSITION_FORMS, Words


class ReportPages:
    """/wearers/…/report"""

    def __init__(self, pages: Pages, basemap: Path) -> None:
        self._pages = pages
        self._basemap = basemap

    def routes(self) -> list[Route]:
        return [self._pages.route("/wearers/{wearer_no:number}/report", self.report, READERS, ["GET", "POST"])]

    async def report(self, request: Request, caller: Caller) -> Response:
        """Asks for purpose and time; the answer is the report."""
        return await handed_out(self._pages, request, caller, self._ask, self._handing)

    async def _ask(self, asking: Asking) -> Response:
        chosen, passes = usual_times(asking.words, asking.form, asking.now_ms)
        return self._pages.render(
            "report.html", asking.caller, asking.words, status=422 if asking.error else 200, wearer=asking.wearer, passes=passes,
            purposes=CHOSEN, error=asking.error, form={"purpose": "", "known": "", "radius": "100"} | chosen,
            forms=POSITION_FORMS, GIVEN=GIVEN, no_pdf=None if can_print() else NO_PDF,
            disclosures=await disclosures_of(asking.connection, asking.wearer["wearer_no"], MOST_DISCLOSURES),
        )  # fmt: skip

    async def _handing(self, asking: Asking) -> Handing:
        looker, now_ms = looker_of_form(asking.caller, asking.form), asking.now_ms
        wanted = _wanted(asking.wearer["wearer_no"], asking.form, asking.words, now_ms)
        await look_at_report(asking.connection, looker, wanted, now_ms)

        async def keep(connection: Connection, made: MadeReport) -> int:
            return await keep_report(connection, looker, wanted, made, now_ms)

        person = Person(asking.wearer["wearer_id"], asking.wearer["name"])
        return Handing(report_file, (wanted, looker, person, self._basemap, now_ms), keep, ZIP, "report")


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
