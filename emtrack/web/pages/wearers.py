"""Pages about people: who they are to the programme, and what was found."""

from __future__ import annotations

import asyncpg
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from alerts import alerts_of_wearer, ledger_of, open_alerts_of_units, rules_of, unsettled_of
from emtrack.db.connect import Connection
from emtrack.forms.names import unfit_text
from emtrack.iom.record import IomRecord, load_iom
from emtrack.people.limits import open_record
from emtrack.people.looks import (
    LONGEST_REFERENCE,
    MONITORING,
    PURPOSES,
    Looker,
    What,
    look_at_people,
    lookers_at,
    looks_at,
)
from emtrack.people.roles import EVERYBODY, ORDER_KEEPERS, READERS, STAFF, Caller
from emtrack.reading.history import LONGEST_MS
from emtrack.reading.home_units import units_of_wearer
from emtrack.reading.people import list_people, person_of
from emtrack.reading.person_card import person_card
from emtrack.record.findings import shown_at, versions_of_wearer
from emtrack.record.past_orders import entered_for_the_past
from emtrack.record.plans import load_assignments
from emtrack.web.api.ledger import excuse_finding
from emtrack.web.guard import Problem, door_of, looker_of, read_form, read_number
from emtrack.web.maps import requirements_of
from emtrack.web.rendering import NO_STORE, Pages, known_at
from emtrack.web.wording import timetable_words
from geofence import FOREVER_MS, format_instant

PAGE = 50
FINDINGS = 200
ALERTS = 50
LOOKERS = 100
LOOKS = 100


class WearerPages:
    """/wearers and /wearers/…"""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/wearers", self.people, EVERYBODY, ["GET", "POST"]),
            route("/wearers/{wearer_no:number}", self.wearer, READERS),
            route("/wearers/{wearer_no:number}/looks", self.looks, EVERYBODY),
            route("/wearers/{wearer_no:number}/opening", self.open_record, STAFF, ["POST"]),
            route("/wearers/{wearer_no:number}/excuses", self.excuse, ORDER_KEEPERS, ["POST"]),
        ]

    # ------------------------------------------------------------------------------------- people

    async def people(self, request: Request, caller: Caller) -> Response:
        """Everybody, or those whom a search finds. What is sought comes as a form: a name does not belong in an address."""
        sought = (await read_form(request)).get("sought", "").strip() if request.method == "POST" else ""
        async with self._pages.pool.acquire() as connection:
            rows = await list_people(connection, request.query_params.get("after"), sought, PAGE)
        following = rows[-1]["wearer_id"] if len(rows) == PAGE and not sought else None
        return self._pages.render("wearers.html", caller, people=rows, sought=sought, following=following, most=PAGE)

    async def wearer(self, request: Request, caller: Caller) -> Response:
        """The IOM record, what the person is obliged to, what was found and alerted; no position."""
        looker = looker_of(caller)
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            asked_ms, known_ms = known_at(request, now_ms, words)
            wearer = await person_or_problem(connection, request.path_params["wearer_no"])
            number = wearer["wearer_no"]
            if wearer["is_closed"] and caller.role not in STAFF:
                return self._pages.render("restricted.html", caller, wearer=wearer)
            await look_at_people(connection, looker, [number], What.FINDINGS, now_ms)
            iom = (await load_iom(connection, [number])).get(number, IomRecord())
            found = await versions_of_wearer(connection, number, known_ms - LONGEST_MS, known_ms, FINDINGS)
            shown = await shown_at(connection, found, known_ms)
            assignments = await load_assignments(connection, known_ms, [number])
            alerts = await alerts_of_wearer(connection, number, ALERTS)
            units = await units_of_wearer(connection, number, known_ms)
            unit_alerts = await open_alerts_of_units(connection, [unit.hmu_id for unit in units])
            looks, lookers = await lookers_at(connection, number, LOOKERS)
            past = await entered_for_the_past(connection, number)
            ledger = await ledger_of(connection, number)
            unsettled = await unsettled_of(connection, number)
            rules = await rules_of(connection)
            card = await person_card(connection, number, now_ms)
        return self._pages.render(
            "wearer.html",
            caller,
            words,
            wearer=wearer,
            iom=iom,
            card=card,
            findings=[pair for pair in zip(found, shown, strict=True) if pair[1] is not None],
            most_findings=FINDINGS,
            assignments=[a.plan.activation for a in assignments.values()],
            requirements=requirements_of(assignments.values()),
            alerts=alerts,
            units=units,
            unit_alerts=unit_alerts,
            looks=looks,
            lookers=lookers,
            past=past,
            ledger=ledger,
            unsettled=unsettled,
            rules=rules,
            may_open=caller.role in STAFF,
            may_excuse=caller.role in ORDER_KEEPERS,
            purposes=PURPOSES,
            asked_ms=asked_ms,
            known_ms=known_ms,
            instant=format_instant,
            timetable=timetable_words,
            forever=lambda end_ms: end_ms >= FOREVER_MS,
        )

    # ------------------------------------------------------------------------------------- looks

    async def looks(self, request: Request, caller: Caller) -> Response:
        """Every look at the person, the newest first, in pages."""
        before = read_number(request.query_params.get("before"))
        async with self._pages.pool.acquire() as connection:
            wearer = await person_or_problem(connection, request.path_params["wearer_no"])
            count, lookers = await lookers_at(connection, wearer["wearer_no"], LOOKERS)
            found = await looks_at(connection, wearer["wearer_no"], before, LOOKS)
            words = await self._pages.words(connection)
        return self._pages.render(
            "looks.html",
            caller,
            words,
            wearer=wearer,
            count=count,
            lookers=lookers,
            looks=found,
            following=found[-1].look_no if len(found) == LOOKS else None,
            is_first=before is None,
            purposes=PURPOSES,
        )

    async def open_record(self, request: Request, caller: Caller) -> Response:
        """A closed record is opened to one account for an hour, with a reason; overseers are told."""
        form = await read_form(request)
        reason = form.get("reason", "").strip()
        if not 0 < len(reason) <= LONGEST_REFERENCE:
            raise Problem(422, "Say in at most 1,000 characters why you open a restricted record.")
        if (trouble := unfit_text(reason)) is not None:
            raise Problem(422, f"The reason cannot be kept: {trouble}.")
        number = request.path_params["wearer_no"]
        looker = Looker(caller.name, str(caller.role), door_of(caller), caller.purpose or MONITORING, reason)
        async with self._pages.pool.acquire() as connection:
            await person_or_problem(connection, number)
            await open_record(connection, number, looker, self._pages.clock.now_ms())
        return RedirectResponse(f"/wearers/{number}", 303, NO_STORE)

    # ------------------------------------------------------------------------------------- accumulated violations

    async def excuse(self, request: Request, caller: Caller) -> Response:
        """A violation of the ledger that a person excuses, and back to the person's page."""
        form = await read_form(request)
        number = read_number(form.get("finding")) or 0
        await excuse_finding(self._pages.pool, self._pages.clock, number, caller, form.get("why", ""))
        return RedirectResponse(f"/wearers/{request.path_params['wearer_no']}#ledger", 303, NO_STORE)


async def person_or_problem(connection: Connection, wearer_no: int) -> asyncpg.Record:
    row = await person_of(connection, wearer_no)
    if row is None:
        raise Problem(404, f"There is no person with the number {wearer_no}.")
    return row
