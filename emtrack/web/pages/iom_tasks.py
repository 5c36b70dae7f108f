"""Tasks of the programme: the inbox of an agency and of a person, one task with its story, and what people do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from emtrack.errors import MendableError
from emtrack.forms.names import unfit_text
from emtrack.iom.entries import Author, SomebodyWasFaster
from emtrack.iom.grades import DAY_MS
from emtrack.iom.tasking import Move, NewTask, UnfitTask, agencies_of, enter_task, move_task
from emtrack.iom.tasks import Origin
from emtrack.people.looks import What, look_at_people
from emtrack.people.roles import ORDER_KEEPERS, READERS, Caller
from emtrack.reading.people import person_of, wearer_no_of
from emtrack.reading.tasks import Sight, TaskRow, TaskStory, story_of, tasks_of
from emtrack.web.form_times import UnfitTimes, read_times
from emtrack.web.guard import Problem, looker_of, read_form, read_number
from emtrack.web.rendering import NO_STORE, Pages

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

LONGEST_WORDS: Final = 2_000
USUAL_DAYS: Final = 2
"""Until when a task is due if nobody says otherwise."""
NOBODY: Final = "Nobody with this reference is on record, or they are not shared with your agency."


class Found(NamedTuple):
    """A person whom a page is about."""

    wearer_no: int
    person: Any


async def person_found(connection: Connection, reference: str) -> Found:
    """Raises Problem."""
    wearer_no = await wearer_no_of(connection, reference)
    person = None if wearer_no is None else await person_of(connection, wearer_no)
    if person is None or wearer_no is None or person["is_closed"]:
        raise Problem(404, NOBODY)
    return Found(wearer_no, person)


def words_of(form: dict[str, str], name: str) -> str | None:
    """A text of a form; None: it is empty. Raises Problem."""
    text = form.get(name, "").strip()[:LONGEST_WORDS]
    if (trouble := unfit_text(text)) is not None:
        raise Problem(422, f"A text cannot be kept: {trouble}.")
    return text or None


def sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}"


class TaskPages:
    """/iom/tasks/…, and those of a person."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/iom/tasks", self.inbox, READERS),
            route("/iom/tasks/{item_no:number}", self.one, READERS),
            route("/iom/tasks/{item_no:number}/{move}", self.move, ORDER_KEEPERS, ["POST"]),
            route("/iom/people/{reference}/task", self.form, ORDER_KEEPERS),
            route("/iom/people/{reference}/task", self.enter, ORDER_KEEPERS, ["POST"]),
        ]

    async def inbox(self, request: Request, caller: Caller) -> Response:
        """What is to be done, the first deadline first."""
        asked, now_ms = request.query_params.get("show", ""), self._pages.clock.now_ms()
        sight = Sight(asked) if asked in list(Sight) else Sight.ALL if caller.agency is None else Sight.AGENCY
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            found = await tasks_of(connection, sight, Author(caller.name, caller.agency), now_ms)
            people = [task.wearer_no for task in found]
            await look_at_people(connection, looker_of(caller), people, What.IOM_RECORD, now_ms)
        agency, owner = request.query_params.get("agency", ""), request.query_params.get("owner", "")
        shown = [task for task in found if _fits(task, agency, owner)]
        return self._pages.render(
            "iom_tasks.html", caller, words, tasks=shown, sight=sight, agency=agency, owner=owner,
            overdue=sum(task.is_open and task.due_ms is not None and task.due_ms <= now_ms for task in shown),
            agencies=sorted({task.task.for_agency for task in found if task.task.for_agency}),
            owners=sorted({task.task.owner for task in found if task.task.owner}),
        )  # fmt: skip

    async def one(self, request: Request, caller: Caller) -> Response:
        return await self._one(caller, request.path_params["item_no"], None, None)

    async def _one(self, caller: Caller, item_no: int, error: str | None, move: str | None) -> Response:
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            story = await self._story(connection, caller, item_no)
            person = await person_of(connection, story.now.wearer_no or 0)
            await look_at_people(connection, looker_of(caller), [story.now.wearer_no or 0], What.IOM_RECORD, now_ms)
        return self._pages.render(
            "iom_task.html", caller, words, status=422 if error else 200, story=story, task=story.now.content, person=person,
            moves=story.moves if caller.role in ORDER_KEEPERS else [], error=error, failed=move,
        )  # fmt: skip

    async def _story(self, connection: Connection, caller: Caller, item_no: int) -> TaskStory:
        story = await story_of(connection, item_no, Author(caller.name, caller.agency))
        if story is None:
            raise Problem(404, "There is no such task, or it is of somebody who is not shared with your agency.")
        return story

    async def move(self, request: Request, caller: Caller) -> Response:
        """Accept, reject, done or cancel."""
        form, item_no, move = await read_form(request), request.path_params["item_no"], request.path_params["move"]
        if move not in list(Move):
            raise Problem(404, "There is no such page.")
        author, now_ms = Author(caller.name, caller.agency), self._pages.clock.now_ms()
        try:
            async with self._pages.pool.acquire() as connection, connection.transaction():
                await move_task(connection, author, item_no, Move(move), words_of(form, "words"), now_ms)
        except SomebodyWasFaster as error:
            raise Problem(409, sentence(error)) from error
        except UnfitTask as error:
            return await self._one(caller, item_no, sentence(error), move)
        return RedirectResponse(f"/iom/tasks/{item_no}", 303, NO_STORE)

    async def form(self, request: Request, caller: Caller) -> Response:
        given = {name: request.query_params.get(name, "") for name in ("origin", "origin_no", "title")}
        return await self._form(caller, request.path_params["reference"], given, None)

    async def _form(self, caller: Caller, reference: str, form: dict[str, str], error: str | None) -> Response:
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            found = await person_found(connection, reference)
            agencies = await agencies_of(connection, found.wearer_no)
            await look_at_people(connection, looker_of(caller), [found.wearer_no], What.IOM_RECORD, now_ms)
        chosen = {"due": words.field(now_ms + USUAL_DAYS * DAY_MS)} | form
        return self._pages.render(
            "iom_new_task.html", caller, words, status=422 if error else 200, person=found.person, agencies=agencies, form=chosen,
            passes={"due": words.passes(chosen["due"])}, error=error,
        )  # fmt: skip

    async def enter(self, request: Request, caller: Caller) -> Response:
        form, reference = await read_form(request), request.path_params["reference"]
        author, now_ms = Author(caller.name, caller.agency), self._pages.clock.now_ms()
        try:
            async with self._pages.pool.acquire() as connection, connection.transaction():
                words = await self._pages.words(connection)
                found = await person_found(connection, reference)
                (due_ms,) = read_times(words, form, ["due"])
                origin = form.get("origin")
                new = NewTask(
                    words_of(form, "title") or "", due_ms, words_of(form, "agency"), words_of(form, "owner"),
                    Origin(origin) if origin in list(Origin) else Origin.BY_HAND, read_number(form.get("origin_no") or None),
                )  # fmt: skip
                entry = await enter_task(connection, author, found.wearer_no, new, now_ms)
        except UnfitTimes:
            return await self._form(caller, reference, form, "Give a date and a time by when it is due.")
        except MendableError as error:
            return await self._form(caller, reference, form, sentence(error))
        return RedirectResponse(f"/iom/tasks/{entry.item_no}", 303, NO_STORE)


def _fits(task: TaskRow, agency: str, owner: str) -> bool:
    return agency in ("", task.task.for_agency) and owner in ("", task.task.owner)
