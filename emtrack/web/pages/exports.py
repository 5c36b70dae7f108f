"""Positions of a person as a file: a purpose first; what was handed out stays on record with its hash."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.db.connect import Connection
from emtrack.files.positions import FILE_TYPES, PositionForm
from emtrack.forms.names import unfit_text
from emtrack.people.looks import CHOSEN, LONGEST_REFERENCE, Looker
from emtrack.people.roles import READERS, Caller
from emtrack.reading.exports import MadeFile, UnfitExport, WantedExport, keep_export, look_at_export, position_file
from emtrack.record.disclosures import disclosures_of
from emtrack.web.form_times import read_times
from emtrack.web.guard import door_of
from emtrack.web.handing import Asking, Handing, handed_out
from emtrack.web.rendering import Pages
from emtrack.web.wording import GIVEN, POSITION_FORMS, Words
from geofence import Interval

DAY_MS = 86_400_000
MOST_DISCLOSURES = 100


class ExportPages:
    """/wearers/…/export"""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        return [self._pages.route("/wearers/{wearer_no:number}/export", self.export, READERS, ["GET", "POST"])]

    async def export(self, request: Request, caller: Caller) -> Response:
        """Asks for purpose, time and form; the answer is the file."""
        return await handed_out(self._pages, request, caller, self._ask, _handing)

    async def _ask(self, asking: Asking) -> Response:
        chosen, passes = usual_times(asking.words, asking.form, asking.now_ms)
        return self._pages.render(
            "export.html", asking.caller, asking.words, status=422 if asking.error else 200, wearer=asking.wearer, passes=passes,
            purposes=CHOSEN, error=asking.error, form={"purpose": "", "form": PositionForm.CSV, "known": ""} | chosen,
            forms=POSITION_FORMS, GIVEN=GIVEN,
            disclosures=await disclosures_of(asking.connection, asking.wearer["wearer_no"], MOST_DISCLOSURES),
        )  # fmt: skip


async def _handing(asking: Asking) -> Handing:
    looker, now_ms = looker_of_form(asking.caller, asking.form), asking.now_ms
    wanted = _wanted(asking.wearer["wearer_no"], asking.form, asking.words, now_ms)
    await look_at_export(asking.connection, looker, wanted, now_ms)

    async def keep(connection: Connection, made: MadeFile) -> int:
        return await keep_export(connection, looker, wanted, made, now_ms)

    arguments = wanted, looker, asking.wearer["wearer_id"], now_ms
    return Handing(position_file, arguments, keep, FILE_TYPES[wanted.form], "positions")


def usual_times(words: Words, form: dict[str, str], now_ms: int) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The form with the last day where nothing was chosen, and the passes of its times that come twice."""
    usual = {"begin": now_ms - DAY_MS, "end": now_ms}
    chosen = {name: words.field(ms) for name, ms in usual.items()} | form
    if not form:  # who has chosen a time, chooses its pass as well
        chosen |= {f"{name}_pass": words.pass_name(ms) for name, ms in usual.items()}
    return chosen, {name: words.passes(chosen.get(name, "")) for name in (*usual, "known")}


def looker_of_form(caller: Caller, form: dict[str, str]) -> Looker:
    """Raises UnfitExport."""
    if form.get("purpose") not in CHOSEN:
        raise UnfitExport("Select a reason.")
    reference = read_text(form, "reference", LONGEST_REFERENCE)
    return Looker(caller.name, str(caller.role), door_of(caller), form["purpose"], reference)


def read_text(form: dict[str, str], name: str, longest: int) -> str | None:
    """Raises UnfitExport."""
    text = form.get(name, "").strip()
    if len(text) > longest:
        raise UnfitExport(f"A text has at most {longest:,} characters.")
    if (trouble := unfit_text(text)) is not None:
        raise UnfitExport(f"A text cannot be kept: {trouble}.")
    return text or None


def read_window(form: dict[str, str], words: Words, now_ms: int) -> tuple[Interval, int]:
    """The time, and as known when: left out, now. Raises UnfitTimes."""
    begin_ms, end_ms = read_times(words, form, ("begin", "end"))
    known_ms = now_ms
    if form.get("known", "").strip():
        (known_ms,) = read_times(words, form, ("known",))
    return Interval(begin_ms, end_ms), min(known_ms, now_ms)


def _wanted(wearer_no: int, form: dict[str, str], words: Words, now_ms: int) -> WantedExport:
    """Raises UnfitExport or UnfitTimes."""
    if form.get("form") not in set(PositionForm):
        raise UnfitExport("Select a kind of file.")
    window, known_ms = read_window(form, words, now_ms)
    recipient = read_text(form, "recipient", LONGEST_REFERENCE)
    return WantedExport(wearer_no, window, PositionForm(form["form"]), known_ms, recipient)
