"""What every page has: templates, a guard, the clock, and an answer for a person when something is wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import asyncpg
from jinja2 import ChainableUndefined, ChoiceLoader, Environment, FileSystemLoader, PackageLoader, PrefixLoader
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from alerts import OUTCOMES
from emtrack.clock import Clock
from emtrack.db.connect import Connection
from emtrack.iom.offences import HARM_INDEX
from emtrack.people.looks import PURPOSES
from emtrack.people.roles import Caller, Needs, Role
from emtrack.reading.apart import Answer, Arguments, Judges, Patience, Work
from emtrack.reading.history import View, is_little
from emtrack.reading.iom_seldom import SeldomCache
from emtrack.record.deployment_settings import load_settings
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.web import case_words, wording
from emtrack.web.assets import assets
from emtrack.web.form_keys import masked
from emtrack.web.guard import (
    DATABASE_ERRORS,
    EARLIEST_MS,
    LATEST_MS,
    NOT_YOURS,
    Endpoint,
    NoPurpose,
    Problem,
    Unfinished,
    asked,
    caller_of,
    comes_from_elsewhere,
    log_fault,
    read_instant,
    route_without_head,
)
from emtrack.web.watched import Watched
from emtrack.web.wording import Words
from geofence import NotAnInstant, format_instant, instant_of

TEMPLATES = Path(__file__).parent / "templates"
LITTLE = 1_500
"""So many facts are weighed in some 10 ms, in which nobody else is heard."""
NO_STORE = {"Cache-Control": "no-store"}
WHERE_NEEDS_ARE_MET = {
    Needs.CODE: "/login/code",
    Needs.PASSWORD: "/account",
    Needs.SECOND_FACTOR: "/account/second-factor",
}
NO_HEADERS: dict[str, str] = {}
_HEADINGS = {
    400: "This cannot be shown as it was asked for",
    401: "You are logged out",
    403: "You may not see this",
    404: "There is no such page",
    409: "A colleague was faster",
    429: "Too much at once",
    422: "This cannot be done as it was asked for",
    500: "The service has a fault",
    503: "The database does not answer",
}


def _environment() -> Environment:
    # The macros of GOV.UK Frontend read fields that are not there, and expect nothing to come of it.
    govuk = PrefixLoader({"govuk_frontend_jinja": PackageLoader("govuk_frontend_jinja")})
    environment = Environment(
        loader=ChoiceLoader([FileSystemLoader(TEMPLATES), govuk]),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        title_of=wording.title_of,
        clock_words=wording.clock_words,
        title_of_alert=wording.title_of_alert,
        kind_name=wording.kind_name,
        length=wording.length,
        minutes=wording.minutes,
        LEDGER=wording.LEDGER,
        SEVERITIES=wording.SEVERITIES,
        SEVERITY_COLOURS={1: "red", 2: "orange", 3: "yellow", 4: "grey"},
        RAG_COLOURS={"RED": "red", "AMBER": "orange", "GREEN": "green"},
        COHORTS=wording.COHORTS,
        PATHWAYS=wording.PATHWAYS,
        CHANGES=wording.CHANGES,
        PURPOSES=PURPOSES,
        DOORS=wording.DOORS,
        STATES=wording.STATES,
        STEP_ACTIONS=case_words.STEP_ACTIONS,
        BASES=case_words.BASES,
        protocol_words=case_words.protocol_words,
        battery_words=case_words.battery_words,
        tag_clock_words=case_words.tag_clock_words,
        contact_words=case_words.contact_words,
        order_words=case_words.order_words,
        zone_name=case_words.zone_name,
        HARM_INDEX=HARM_INDEX,
        MOVED=wording.MOVED,
        DEADLINES=wording.DEADLINES,
        OCCASIONS=wording.OCCASIONS,
        SEVERITY_NAMES=wording.SEVERITY_NAMES,
        instant_of=instant_of,
        CALLED=wording.CALLED,
        WEARER_MESSAGES=wording.WEARER_MESSAGES,
        CALL_RESULTS=wording.CALL_RESULTS,
        OUTCOMES=OUTCOMES,
        LOOKED_AT=wording.LOOKED_AT,
        static=assets().root,
        map_modules=assets().map_modules,
        NOUNS=wording.NOUNS,
        IOM_WORDS=wording.IOM_WORDS,
        told_line=wording.told_line,
        changed_words=wording.changed_words,
        finding_words=wording.finding_words,
        why_words=wording.why_words,
        CONTACT_OUTCOMES=wording.CONTACT_OUTCOMES,
        MECHANISMS=wording.MECHANISMS,
        way_words=wording.way_words,
        VISIBILITIES=wording.VISIBILITIES,
        TASK_STATES=wording.TASK_STATES,
        STRANDS=wording.STRANDS,
        STEP_STATES=wording.STEP_STATES,
        REGISTRATIONS=wording.REGISTRATIONS,
        BREACH_STATES=wording.BREACH_STATES,
        MEETING_STATES=wording.MEETING_STATES,
        DECISIONS=wording.DECISIONS,
        END_REASONS=wording.END_REASONS,
        instant=format_instant,
        ORIGINS=wording.ORIGINS,
        shown=shown,
        unshown=lambda columns: (
            f'<tr class="govuk-table__row"><td colspan="{columns}">One row that cannot be shown.</td></tr>'
        ),
    )
    return environment


def shown(row: Callable[..., str], otherwise: str, *arguments: Any) -> str:
    """A row by a macro; where it cannot be shown, `otherwise` (HTML of the template's own), and a line in the log. One row that
    nobody foresaw does not take the page with it."""
    try:
        return row(*arguments)
    except Exception as error:
        log_fault(error, "a row of a page")
        return Markup(otherwise)


class Pages:
    """Makes the routes of pages, and renders them."""

    def __init__(
        self,
        pool: asyncpg.Pool[Any],
        clock: Clock,
        zone_sets: ZoneSetCache,
        judges: Judges,
        watched: Watched,
        *,
        guided: bool = False,
        history_gap_ms: int = 300_000,
    ) -> None:
        """`watched`: what every page says of the watching. `guided`: there is a page that guides through
        a shift. `history_gap_ms`: after so long without a position nothing is known of a way."""
        self._watched = watched
        self.pool = pool
        self.clock = clock
        self.history_gap_ms = history_gap_ms
        self.seldom = SeldomCache()
        self._zone_sets = zone_sets
        self._judges = judges
        self._environment = _environment()
        self._environment.globals["guided"] = guided

    def route(
        self,
        path: str,
        endpoint: Endpoint,
        roles: frozenset[Role],
        methods: Sequence[str] = ("GET",),
        serves: frozenset[Needs] = frozenset(),
    ) -> Route:
        """A page for callers of one of the roles. Without a session a person is asked to log in; somebody whose login is not finished
        is sent to what is needed, unless this page `serves` that."""

        @functools.wraps(endpoint)
        async def checked(request: Request) -> Response:
            caller = None
            try:
                caller = await caller_of(request, self.pool, roles, serves)
                if caller.form_key is not None and request.method == "GET" and comes_from_elsewhere(request):
                    return self.render("foreign_link.html", caller, here=_here(request))
                return await endpoint(request, caller)
            except NoPurpose:
                return RedirectResponse(f"/shift?next={quote(_here(request), safe='')}", 303, NO_STORE)
            except Unfinished as unfinished:
                return RedirectResponse(WHERE_NEEDS_ARE_MET[unfinished.needs], 303, NO_STORE)
            except Problem as problem:
                if problem.status == 401 and request.method == "GET":
                    return RedirectResponse(f"/login?next={quote(_here(request), safe='')}", 303, NO_STORE)
                told = self.trouble(caller, problem.status, str(problem))
                told.headers.update(problem.headers)
                return told
            except asyncpg.InsufficientPrivilegeError:
                return self.trouble(caller, 403, f"{NOT_YOURS[:1].upper()}{NOT_YOURS[1:]}.")
            except asyncpg.DataError:
                return self.trouble(caller, 422, "A number or a text in it cannot be kept. Go back and correct it.")
            except DATABASE_ERRORS:
                return self.trouble(caller, 503, "Nothing was changed. Try again in a moment.")
            except Exception as error:
                log_fault(error, path)
                return self.trouble(
                    caller, 500, "This is a fault of the service, and it is in its log. Go back and try again."
                )

        checked.roles = roles  # type: ignore[attr-defined]
        return route_without_head(path, checked, methods)

    def render(
        self,
        template: str,
        caller: Caller | None,
        words: Words | None = None,
        status: int = 200,
        headers: Mapping[str, str] = NO_HEADERS,
        **context: Any,
    ) -> Response:
        """A whole page, or a part of one. `headers`: more than it has anyway."""
        now_ms = self.clock.now_ms()
        words = words or Words("Europe/London")
        if caller is not None and caller.form_key is not None:
            caller = caller._replace(form_key=masked(caller.form_key))
        text = self._environment.get_template(template).render(
            caller=caller,
            words=words,
            now_ms=now_ms,
            clock=self.clock,
            not_watching=self._watched.trouble(),
            behind=self._watched.late(),
            **context,
        )
        return HTMLResponse(text, status, {**NO_STORE, **headers})

    def trouble(self, caller: Caller | None, status: int, message: str) -> Response:
        """What happened and what to do."""
        heading = _HEADINGS.get(status, "This did not work")
        return self.render("trouble.html", caller, status=status, heading=heading, message=message)

    async def judged(
        self,
        caller: Caller,
        span: FactSpan,
        work: Work[Arguments, Answer],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Answer:
        """What a page needs judged, after the look is on record: a little here, more in a process of its own. No connection is to be
        held meanwhile. Raises Problem."""
        async with self.pool.acquire() as connection:
            if await is_little(connection, span.view, known_ms=span.known_ms, lead_ms=span.lead_ms, most=LITTLE):
                return await work(connection, self._zone_sets, *arguments, **named)
        return await asked(self._judges, caller, Patience.PAGE, work, *arguments, **named)

    async def judged_apart(
        self,
        caller: Caller,
        patience: Patience,
        work: Work[Arguments, Answer],
        *arguments: Arguments.args,
        **named: Arguments.kwargs,
    ) -> Answer:
        """What is never judged in the loop, after the look is on record. Raises Problem."""
        return await asked(self._judges, caller, patience, work, *arguments, **named)

    async def words(self, connection: Connection) -> Words:
        """Words in the time zone of the orders."""
        timezone, _ = await load_settings(connection, self.clock.now_ms())
        return Words(timezone)


class FactSpan(NamedTuple):
    """The facts that a page weighs: those of a view, with a lead before it, as received by an instant."""

    view: View
    known_ms: int
    lead_ms: int


class KnownAt(NamedTuple):
    """As known at which instant a page is asked for: `asked_ms` None: now. `ms` is never in the future."""

    asked_ms: int | None
    ms: int


def known_at(request: Request, now_ms: int, words: Words | None = None) -> KnownAt:
    """Of the query's `known_at`: an instant or, where there are `words` to read it, a local time as a browser's field gives it; of a
    time that comes twice the later one. Raises Problem."""
    text = request.query_params.get("known_at")
    local_ms = None if words is None or not text else _local_ms(text, words)
    asked_ms = read_instant(text) if local_ms is None else local_ms
    return KnownAt(asked_ms, now_ms if asked_ms is None else min(asked_ms, now_ms))


def _local_ms(text: str, words: Words) -> int | None:
    try:
        at_ms = words.read_field(text, (words.passes(text) or [""])[-1])
    except NotAnInstant:
        return None
    return at_ms if EARLIEST_MS <= at_ms < LATEST_MS else None


def _here(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
