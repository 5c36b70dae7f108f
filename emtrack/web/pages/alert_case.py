"""What stands beside a decision on the page of an alert: whether the person is there now, who must be called, scripted steps."""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from alerts import Alert, NoAlert, UnfitAction, one_alert, tick
from emtrack.db.connect import Connection
from emtrack.people.roles import READERS, STAFF, Caller
from emtrack.reading import band
from emtrack.reading.casefile import AROUND_MS
from emtrack.reading.history import View, view_of_alert
from emtrack.reading.last_seen import Asked, last_seen
from emtrack.reading.person_card import PersonCard, person_card
from emtrack.reading.steps import Script, script_of
from emtrack.record.requirement_names import load_names
from emtrack.web.alert_work import AlertWork
from emtrack.web.case_words import ThereLine, there_line
from emtrack.web.guard import Problem, answer, guarded, read_form, read_number
from emtrack.web.judged import there_now
from emtrack.web.looking import look_at_alert, looker_at_alert
from emtrack.web.rendering import NO_STORE, FactSpan, Pages

LOOKED_BACK_MS = 24 * 3_600_000


class CaseSide(NamedTuple):
    """`card` None: an alert of nobody in particular."""

    card: PersonCard | None
    script: Script


async def case_side(connection: Connection, alert: Alert, now_ms: int) -> CaseSide:
    """After the look is on record."""
    card = None if alert.wearer_no is None else await person_card(connection, alert.wearer_no, now_ms)
    return CaseSide(card, await script_of(connection, alert))


async def view_of_now(connection: Connection, caller: Caller, alert: Alert, now_ms: int) -> View:
    """The look at where the person of an alert is now. It is that of the page while what the alert is about goes on."""
    assert alert.wearer_no is not None, "an alert of a person"
    begin_ms = max(alert.begin_ms - AROUND_MS, now_ms - LOOKED_BACK_MS)
    return await view_of_alert(
        connection,
        looker_at_alert(caller),
        alert.wearer_no,
        min(begin_ms, now_ms - 1),
        now_ms,
        alert.alert_no,
        now_ms,
    )


async def line_of_now(pages: Pages, caller: Caller, alert: Alert, view: View, now_ms: int) -> ThereLine:
    """Under a view of now. No connection is to be held meanwhile."""
    span = FactSpan(view, now_ms, band.LEAD_MS)
    there = await pages.judged(caller, span, there_now, view, now_ms, alert.requirement_id)
    async with pages.pool.acquire() as connection:
        words = await pages.words(connection)
        last, name = None, None
        if alert.activation_no is not None and alert.wearer_no is not None:
            requirement_id = None if there.requirement is None else there.requirement.requirement_id
            last = (
                await last_seen(connection, [Asked(alert.activation_no, alert.wearer_no, requirement_id)], now_ms)
            )[0]
            name = (await load_names(connection, [alert.wearer_no])).get((alert.wearer_no, requirement_id or ""))
    return there_line(there, last, name, words, now_ms)


class CasePages:
    """/alerts/{alert_no}/now and /alerts/{alert_no}/steps."""

    def __init__(self, pages: Pages, work: AlertWork) -> None:
        self._pages = pages
        self._work = work

    def routes(self) -> list[Route]:
        return [
            guarded(self._pages.pool, "/alerts/{alert_no:number}/now", self.now, READERS),
            self._pages.route("/alerts/{alert_no:number}/steps", self.tick, STAFF, ["POST"]),
        ]

    async def now(self, request: Request, caller: Caller) -> Response:
        """Whether the person is there now, for a page that is open."""
        number, now_ms = request.path_params["alert_no"], self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            await look_at_alert(connection, looker_at_alert(caller), number, now_ms)
            alert = await one_alert(connection, number)
            if alert is None or alert.wearer_no is None:
                raise Problem(404, f"there is no alert {number} of a person")
            view = await view_of_now(connection, caller, alert, now_ms)
        line = await line_of_now(self._pages, caller, alert, view, now_ms)
        return answer(line._asdict())

    async def tick(self, request: Request, caller: Caller) -> Response:
        """A step was done, or was not after all; and back to the steps."""
        form, number = await read_form(request), request.path_params["alert_no"]
        step_no, done = read_number(form.get("step")) or 0, form.get("done") != "no"
        now_ms = self._pages.clock.now_ms()
        try:
            async with self._pages.pool.acquire() as connection:
                await look_at_alert(connection, looker_at_alert(caller), number, now_ms)
                await _tick(connection, number, form, step_no, who=caller.name, done=done, now_ms=now_ms)
        except NoAlert as error:
            raise Problem(404, f"There is no alert {number}.") from error
        except UnfitAction as error:
            raise Problem(409, f"Nothing was ticked: {error}.") from error
        await self._work.tell()
        return RedirectResponse(f"/alerts/{number}#steps", 303, NO_STORE)


async def _tick(connection: Connection, number: int, form: dict[str, str], step_no: int, **how: Any) -> None:
    alert = await one_alert(connection, number)
    if alert is None:
        raise NoAlert(number)
    protocol = (await script_of(connection, alert)).protocol
    if (form.get("protocol") or None) != (None if protocol.protocol_no is None else str(protocol.protocol_no)):
        raise UnfitAction("the steps have changed meanwhile: look at them again")
    async with connection.transaction():
        await tick(connection, number, protocol, step_no, **how)
