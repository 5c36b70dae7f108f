"""What officers write down on a person's page of the programme: notes, and what came of contacts."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emtrack.errors import MendableError
from emtrack.forms.names import unfit_text
from emtrack.iom.contacts import Outcome
from emtrack.iom.entries import Author, SomebodyWasFaster
from emtrack.iom.notes import Visibility
from emtrack.iom.noting import NewNote, UnfitNote, decide_contact, write_note
from emtrack.people.looks import What, look_at_people
from emtrack.people.roles import ORDER_KEEPERS, Caller
from emtrack.reading.people import person_of
from emtrack.web.form_times import UnfitTimes, read_times
from emtrack.web.guard import Problem, looker_of, read_form
from emtrack.web.pages.iom_tasks import person_found, sentence, words_of
from emtrack.web.rendering import NO_STORE, Pages

LONGEST_NAME: Final = 200


class NotePages:
    """/iom/people/…/note, /iom/contacts/…"""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/iom/people/{reference}/note", self.note, ORDER_KEEPERS, ["POST"]),
            route("/iom/contacts/{item_no:number}", self.contact, ORDER_KEEPERS, ["POST"]),
        ]

    async def note(self, request: Request, caller: Caller) -> Response:
        form, now_ms = await read_form(request), self._pages.clock.now_ms()
        author = Author(caller.name, caller.agency)
        try:
            async with self._pages.pool.acquire() as connection:
                words = await self._pages.words(connection)
                found = await person_found(connection, request.path_params["reference"])
                await look_at_people(connection, looker_of(caller), [found.wearer_no], What.IOM_RECORD, now_ms)
                occurred_ms = read_times(words, form, ["occurred"])[0] if form.get("occurred") else now_ms
                async with connection.transaction():
                    await write_note(connection, author, found.wearer_no, _note_of(form, occurred_ms), now_ms)
        except UnfitTimes as error:
            raise Problem(422, "Give a date and a time at which it was, or leave both empty.") from error
        except MendableError as error:
            raise Problem(422, sentence(error)) from error
        return RedirectResponse(f"{_address(found.person['wearer_id'])}#chronology", 303, NO_STORE)

    async def contact(self, request: Request, caller: Caller) -> Response:
        form, now_ms = await read_form(request), self._pages.clock.now_ms()
        given = form.get("outcome")
        outcome = Outcome(given) if given in list(Outcome) else Outcome.NOT_RECORDED
        author, item_no = Author(caller.name, caller.agency), request.path_params["item_no"]
        try:
            async with self._pages.pool.acquire() as connection, connection.transaction():
                entry = await decide_contact(connection, author, item_no, outcome, now_ms)
                person = await person_of(connection, entry.wearer_no or 0)
        except SomebodyWasFaster as error:
            raise Problem(409, sentence(error)) from error
        except UnfitNote as error:
            raise Problem(422, sentence(error)) from error
        assert person is not None, "who may change a contact may see of whom it is"
        return RedirectResponse(f"{_address(person['wearer_id'])}#chronology", 303, NO_STORE)


def _note_of(form: dict[str, str], occurred_ms: int) -> NewNote:
    """Never for more people than was meant. Raises Problem or UnfitNote."""
    given = form.get("visibility", "")
    if given not in list(Visibility):
        raise UnfitNote("choose who may read the note")
    text = form.get("text", "").strip()  # one that is too long is refused and not cut
    if (trouble := unfit_text(text)) is not None:
        raise UnfitNote(f"the note cannot be kept: {trouble}")
    named = tuple(
        dict.fromkeys(name.strip()[:LONGEST_NAME] for name in form.get("named", "").split(";") if name.strip())
    )
    return NewNote(
        text, occurred_ms, Visibility(given), named, words_of(form, "kind"),
        words_of(form, "lawful_basis"),
    )  # fmt: skip


def _address(reference: str) -> str:
    return f"/iom/people/{quote(reference, safe='')}"
