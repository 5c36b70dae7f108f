"""Pages of the monitoring centre: the queue, which moves by itself, and an alert with everything that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from alerts import (
    ATV,
    CLOCK,
    OUTCOMES,
    Alert,
    AlertFilter,
    AlertState,
    BadQueuePlace,
    Move,
    NoAlert,
    Overtaken,
    Severity,
    StillLasts,
    UnfitAction,
    alert_as_known,
    alerts_to_work,
    alerts_under,
    closed_alerts,
    ledger_of,
    one_alert,
    open_counts,
    people_listed,
    rules_of,
    ticks_of,
    unsettled_of,
)
from emtrack.db.connect import Connection
from emtrack.iom.record import IomRecord, load_iom
from emtrack.people.limits import unseen_openings
from emtrack.people.looks import What, look_at_people, shift_since
from emtrack.people.roles import OVERSEERS, READERS, STAFF, Caller
from emtrack.people.saved_views import saved_views
from emtrack.reading import band
from emtrack.reading.casefile import (
    LEAD_MS,
    FactsAround,
    Occurrence,
    basis_of,
    late_facts,
    moments_of_change,
    occurrences_of,
    window_of,
)
from emtrack.reading.history import View, view_of_alert
from emtrack.reading.home_units import heard_last_ms
from emtrack.reading.last_seen import Asked, LastSeen, last_seen
from emtrack.reading.people import list_people
from emtrack.record.findings import FindingVersion
from emtrack.record.maintenance import shown as maintenance_shown
from emtrack.web.alert_work import AlertWork, Wish
from emtrack.web.api.alerts import ACTION_ERRORS, ALERT_KINDS, problem_of, read_kind, read_severity
from emtrack.web.areas import read_area
from emtrack.web.bands import drawn_bands
from emtrack.web.case_words import timeline_of
from emtrack.web.guard import Problem, answer, guarded, looker_of, read_form, read_number
from emtrack.web.judged import bands_of_view, facts_of_alert
from emtrack.web.looking import look_at_alert, look_at_alerts, look_at_queue, looker_at_alert
from emtrack.web.maps import fact_rows
from emtrack.web.pages.alert_case import case_side, line_of_now, view_of_now
from emtrack.web.queue_rows import handover_rows, queue_lines
from emtrack.web.rendering import NO_STORE, FactSpan, Pages, known_at
from emtrack.web.wording import CALL_RESULTS, CALLED, MOVED, WEARER_MESSAGES
from geofence import Requirement, SetZone, format_instant

PAGE = 100
MOST_MEMBERS = 1_000
MOST_HANDED_OVER = 500
OPEN_STATES = [str(state) for state in AlertState if state is not AlertState.CLOSED]


class Told(NamedTuple):
    """What a page says of something that was not done: why, what was typed, who was faster, and whether it wants a confirmation."""

    error: str | None
    form: dict[str, str]
    overtaken: Overtaken | None
    confirms: bool


class AlertPages:
    """/alerts and what hangs on it."""

    def __init__(self, pages: Pages, work: AlertWork) -> None:
        self._pages = pages
        self._work = work

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/alerts", self.queue, READERS),
            route("/alerts/rows", self.rows, READERS),
            route("/alerts/handover", self.handover, STAFF),
            route("/alerts/acknowledge", self.acknowledge_all, STAFF, ["POST"]),
            guarded(self._pages.pool, "/alerts/{alert_no:number}/state", self.state, READERS, is_used=False),
            route("/alerts/{alert_no:number}", self.alert, READERS),
            route("/alerts/{alert_no:number}/actions", self.act, STAFF, ["POST"]),
        ]

    # ------------------------------------------------------------------------------------- the queue

    async def queue(self, request: Request, caller: Caller) -> Response:
        """All alerts that are not closed, those that nobody has acknowledged first; or one's own; or those that were closed."""
        return await self._queue(request, caller, "alerts.html")

    async def rows(self, request: Request, caller: Caller) -> Response:
        """The part of the page that changes."""
        return await self._queue(request, caller, "alerts_rows.html")

    async def _queue(self, request: Request, caller: Caller, template: str) -> Response:
        query, now_ms = request.query_params, self._pages.clock.now_ms()
        state = query.get("state") or "open"
        if state not in LISTS:
            raise Problem(400, f"state is {state[:60]!r}; expected {', '.join(LISTS)}")
        wanted = wanted_alerts(query, caller.name if state == "mine" else None, now_ms)
        read = closed_alerts if state == "closed" else alerts_to_work
        looker = looker_of(caller)
        try:
            async with self._pages.pool.acquire() as connection:
                await look_at_queue(connection, looker, now_ms)
                found = await read(connection, wanted, query.get("after") or None, PAGE)
                await look_at_alerts(connection, looker, found, now_ms)
                if wanted.area is not None:  # who is listed lives there: that is asked about an address
                    listed = [alert.wearer_no for alert in found if alert.wearer_no is not None]
                    await look_at_people(connection, looker, listed, What.DETAILS, now_ms)
                seen = await last_seen_of(connection, found, now_ms)
                counts = await open_counts(connection)
                opened = await unseen_openings(connection) if caller.role in OVERSEERS else 0
                nobody = await self._nobody(connection, wanted, found)
                views = await saved_views(connection, caller.name)
                maintenance = await maintenance_shown(connection, now_ms)
                words = await self._pages.words(connection)
        except BadQueuePlace as error:
            raise Problem(400, str(error)) from error
        is_filtered = any(query.get(name) for name in FILTERS)
        return self._pages.render(
            template,
            caller,
            words,
            lines=queue_lines(found, seen, words, now_ms),
            counts=counts,
            opened=opened,
            nobody=nobody,
            views=views,
            maintenance=maintenance,
            state=state,
            chosen=wanted,
            query=query,
            is_filtered=is_filtered,
            address=urlencode([(k, v) for k, v in query.multi_items() if k != "after"] or [("state", state)]),
            following=found[-1].place if len(found) == PAGE else None,
            is_first=not query.get("after"),
            severities=Severity,
            kinds=ALERT_KINDS,
            may_act=caller.role in STAFF,
        )

    async def _nobody(self, connection: Connection, wanted: AlertFilter, found: Sequence[Alert]) -> str | None:
        """The person who is sought and does not exist: an empty list must not look like an all-clear."""
        if found or wanted.person is None:
            return None
        return None if await list_people(connection, None, wanted.person, 1) else wanted.person

    async def acknowledge_all(self, request: Request, caller: Caller) -> Response:
        """The alerts of a burst. What a colleague was faster with stays the colleague's."""
        form = await read_form(request)
        for number in form.get("numbers", "").split(",")[:PAGE]:
            if number.isascii() and number.isdigit() and len(number) < 19:
                with suppress(*ACTION_ERRORS):
                    await self._work.act(int(number), caller, Wish("acknowledged"))
        return RedirectResponse("/alerts", 303, NO_STORE)

    async def handover(self, _: Request, caller: Caller) -> Response:
        """What the next shift takes over: every alert that is not closed, whose it is, why it is open and what is due."""
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            await look_at_queue(connection, looker_of(caller), now_ms)
            found = await alerts_to_work(connection, AlertFilter(), None, MOST_HANDED_OVER)
            since_ms = await shift_since(connection, caller.name)
            closed = await closed_alerts(connection, AlertFilter(), None, MOST_HANDED_OVER)
            closed = [a for a in closed if a.closed_ms is not None and a.closed_ms >= (since_ms or now_ms)]
            await look_at_alerts(connection, looker_of(caller), [*found, *closed], now_ms)
            words = await self._pages.words(connection)
        mine = [a for a in found if a.owner == caller.name]
        others = [a for a in found if a.owner not in (None, caller.name)]
        new = [a for a in found if a.owner is None]
        escalated = [a for a in found if a.escalated_ms is not None]
        sections = [
            ("Yours, to hand over", mine), ("Nobody has acknowledged", new), ("Escalated", escalated),
            ("Of colleagues", others), ("Closed in your shift", closed),
        ]  # fmt: skip
        shown = [(heading, handover_rows(rows, words, now_ms)) for heading, rows in sections]
        return self._pages.render(
            "handover.html", caller, words, sections=shown, open_count=len(found), since_ms=since_ms
        )

    # ------------------------------------------------------------------------------------- one alert

    async def alert(self, request: Request, caller: Caller) -> Response:
        """An alert as known now, or as known at an instant. Its positions are read after the look is on record."""
        return await self._alert(request, caller)

    async def _alert(
        self,
        request: Request,
        caller: Caller,
        error: str | None = None,
        form: dict[str, str] | None = None,
        *,
        overtaken: Overtaken | None = None,
        confirms: bool = False,
    ) -> Response:
        now_ms = self._pages.clock.now_ms()
        asked_ms, known_ms = known_at(request, now_ms)
        async with self._pages.pool.acquire() as connection:
            await look_at_alert(connection, looker_at_alert(caller), request.path_params["alert_no"], now_ms)
            alert = await one_alert(connection, request.path_params["alert_no"])
            if alert is None:
                raise Problem(404, f"There is no alert {request.path_params['alert_no']}.")
            wearer_no = alert.wearer_no
            told = Told(error, form or {}, overtaken, confirms=confirms)
            if alert.home_unit is not None:
                return await self._silent_unit(connection, caller, alert, alert.home_unit, told)
            if wearer_no is None:
                return await self._incident(connection, caller, alert, told)
            if alert.kind == CLOCK:
                return await self._clock(connection, caller, alert, told)
            if alert.kind == ATV:
                return await self._accumulated(connection, caller, alert, told)
            occurrences = await occurrences_of(connection, alert, known_ms)
            moments = moments_of_change(occurrences)
            if asked_ms is not None:
                occurrences = [o.until(known_ms) for o in occurrences if o.version is not None] or occurrences
                known = [o.version for o in occurrences if o.version is not None]
                alert = alert_as_known(alert, [None if v.is_withdrawn else v.finding for v in known], known_ms)
            chosen = _chosen(occurrences, read_number(request.query_params.get("occurrence")))
            view, facts, late, bands = None, None, None, []
            if chosen.version is not None:
                view = await self._look(connection, caller, alert, chosen.version, known_ms, now_ms)
            words = await self._pages.words(connection)
            iom = (await load_iom(connection, [wearer_no])).get(wearer_no, IomRecord())
            side = await case_side(connection, alert, now_ms)
            basis = None if chosen.version is None else await basis_of(connection, chosen.version)
            now_view = None if asked_ms is not None else await view_of_now(connection, caller, alert, now_ms)
        there = None if now_view is None else await line_of_now(self._pages, caller, alert, now_view, now_ms)
        if view is not None and chosen.version is not None:
            facts = await self._facts(caller, view, chosen.version, known_ms)
            late = late_facts(chosen.versions, chosen.version, facts)
            if not facts.fixes:
                bands = await self._bands(caller, view, facts.requirement, known_ms)
        return self._pages.render(
            "alert.html",
            caller,
            words,
            status=409 if overtaken is not None else 422 if error else 200,
            overtaken=overtaken,
            confirms=confirms,
            done=MOVED.get(request.query_params.get("done", "")),
            alert=alert,
            iom=iom,
            side=side,
            basis=basis,
            there=there,
            timeline=timeline_of(alert, side.script.ticks if asked_ms is None else [], occurrences),
            occurrences=occurrences,
            chosen=chosen,
            facts=facts,
            late=late,
            on_set=None if facts is None or facts.requirement is None else _set_of(facts.requirement),
            rows=[] if facts is None else fact_rows(facts, words),
            bands=[] if view is None else drawn_bands(bands, view.begin_ms, view.end_ms, words),
            moments=moments,
            form=form or {},
            asked_ms=asked_ms,
            known_ms=known_ms,
            map_source=None
            if view is None or chosen.version is None
            else map_address(view, chosen.version, asked_ms),
            outcomes=OUTCOMES,
            may_act=caller.role in STAFF and asked_ms is None,
            error=error,
            instant=format_instant,
        )

    async def _facts(self, caller: Caller, view: View, version: FindingVersion, known_ms: int) -> FactsAround:
        span = FactSpan(view, known_ms, LEAD_MS)
        return await self._pages.judged(caller, span, facts_of_alert, view, version, known_ms)

    async def _bands(
        self, caller: Caller, view: View, requirement: Requirement | None, known_ms: int
    ) -> list[band.Band]:
        requirement_id = None if requirement is None else requirement.requirement_id
        span = FactSpan(view, known_ms, band.LEAD_MS)
        return await self._pages.judged(caller, span, bands_of_view, view, known_ms, requirement_id)

    async def _look(
        self,
        connection: Connection,
        caller: Caller,
        alert: Alert,
        version: FindingVersion,
        known_ms: int,
        now_ms: int,
    ) -> View:
        assert alert.wearer_no is not None, "an alert of a person"
        begin_ms, end_ms = window_of(version.finding, known_ms)
        looker = looker_at_alert(caller)
        return await view_of_alert(connection, looker, alert.wearer_no, begin_ms, end_ms, alert.alert_no, now_ms)

    async def _without_findings(
        self, connection: Connection, caller: Caller, alert: Alert, told: Told, template: str, **shown: Any
    ) -> Response:
        """An alert of a kind that has a page of its own."""
        if alert.wearer_no is not None:
            shown["iom"] = (await load_iom(connection, [alert.wearer_no])).get(alert.wearer_no, IomRecord())
        side = await case_side(connection, alert, self._pages.clock.now_ms())
        return self._pages.render(
            template,
            caller,
            await self._pages.words(connection),
            status=409 if told.overtaken is not None else 422 if told.error else 200,
            alert=alert,
            side=side,
            timeline=timeline_of(alert, side.script.ticks, []),
            most=MOST_MEMBERS,
            outcomes=OUTCOMES,
            may_act=caller.role in STAFF,
            error=told.error,
            form=told.form,
            overtaken=told.overtaken,
            confirms=told.confirms,
            **shown,
        )

    async def _incident(self, connection: Connection, caller: Caller, alert: Alert, told: Told) -> Response:
        """A platform incident: the people of a network whose tags fell silent together."""
        members = await alerts_under(connection, alert.alert_no, MOST_MEMBERS)
        await look_at_alerts(connection, looker_at_alert(caller), members, self._pages.clock.now_ms())
        return await self._without_findings(connection, caller, alert, told, "incident.html", members=members)

    async def _clock(self, connection: Connection, caller: Caller, alert: Alert, told: Told) -> Response:
        """A tag whose clock is wrong."""
        return await self._without_findings(connection, caller, alert, told, "clock.html")

    async def _silent_unit(
        self, connection: Connection, caller: Caller, alert: Alert, home_unit: str, told: Told
    ) -> Response:
        """A home unit that does not call in: the people who depend on it."""
        people = await people_listed(connection, alert.alert_no, MOST_MEMBERS)
        listed, now_ms = [person.wearer_no for person in people], self._pages.clock.now_ms()
        await look_at_people(connection, looker_at_alert(caller), listed, What.QUEUE, now_ms)
        heard_ms = await heard_last_ms(connection, home_unit)
        return await self._without_findings(
            connection, caller, alert, told, "silent_unit.html", people=people, heard_ms=heard_ms
        )

    async def _accumulated(self, connection: Connection, caller: Caller, alert: Alert, told: Told) -> Response:
        """An order over its threshold: the lines of its ledger."""
        assert alert.wearer_no is not None, "an alert of a person"
        entries = await ledger_of(connection, alert.wearer_no, requirement_id=alert.requirement_id)
        unsettled = await unsettled_of(connection, alert.wearer_no, alert.requirement_id)
        rules = await rules_of(connection)
        return await self._without_findings(
            connection,
            caller,
            alert,
            told,
            "accumulated.html",
            entries=entries,
            rules=rules,
            unsettled=unsettled,
        )

    async def act(self, request: Request, caller: Caller) -> Response:
        """What the form asks for, and back to the alert, or to the queue."""
        form = await read_form(request)
        number = request.path_params["alert_no"]
        try:
            wish = _wish(form)
            await self._work.act(number, caller, wish)
        except StillLasts as error:
            return await self._alert(request, caller, _sentence(str(error)), form, confirms=True)
        except UnfitAction as error:
            return await self._alert(request, caller, _sentence(str(error)), form)
        except Overtaken as error:
            return await self._alert(request, caller, None, form, overtaken=error)
        except NoAlert as error:
            raise problem_of(error) from error
        if form.get("back") == "queue":
            return RedirectResponse(f"/alerts#row-{number}", 303, NO_STORE)
        target = "/alerts" if wish.action == Move.CLOSE else f"/alerts/{number}?done={quote(wish.action)}"
        return RedirectResponse(target, 303, NO_STORE)

    async def state(self, request: Request, caller: Caller) -> Response:
        """Where an alert stands, for a page of it that is open: that a colleague acted is told at once."""
        number, now_ms = request.path_params["alert_no"], self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            await look_at_alert(connection, looker_at_alert(caller), number, now_ms)
            alert = await one_alert(connection, number)
            ticks = await ticks_of(connection, number)
            words = await self._pages.words(connection)
        if alert is None:
            raise Problem(404, f"there is no alert {number}")
        done = [(a.done_ms, a.done_by, MOVED[a.action]) for a in alert.actions[-1:]]
        done += [(t.ticked_ms, t.ticked_by, "ticked a step" if t.is_done else "took a tick back") for t in ticks[-1:]]
        told, by = None, None
        if done:
            at_ms, by, what = max(done)
            told = f"{by} {what} at {words.clock(at_ms, now_ms)}"
        return answer({"actions": len(alert.actions) + len(ticks), "told": told, "by": by})


LISTS = ("open", "mine", "closed")
FILTERS = ("severity", "kind", "wearer", "person", "work", "owner", "agency", "area", "overdue")


def wanted_alerts(query: QueryParams, owner: str | None, now_ms: int) -> AlertFilter:
    """The filter of an address. Raises Problem."""
    work = query.get("work") or None
    if work is not None and work not in OPEN_STATES:
        raise Problem(400, f"work is {work[:60]!r}; expected {', '.join(OPEN_STATES)}")
    text = {name: (query.get(name) or "").strip()[:200] or None for name in ("person", "wearer", "owner", "agency")}
    return AlertFilter(
        None, read_severity(query.get("severity")), read_kind(query.get("kind")), text["person"] or text["wearer"], work,
        owner or text["owner"], text["agency"], now_ms if query.get("overdue") else None,
        read_area(query.get("area")),
    )  # fmt: skip


async def last_seen_of(connection: Connection, alerts: Sequence[Alert], now_ms: int) -> list[LastSeen | None]:
    """Of each, in order; of an alert of nobody in particular nothing. After the look is on record."""
    asked = {
        alert.alert_no: Asked(alert.activation_no, alert.wearer_no, alert.requirement_id)
        for alert in alerts
        if alert.wearer_no is not None and alert.activation_no is not None
    }
    found = dict(zip(asked, await last_seen(connection, list(asked.values()), now_ms), strict=True))
    return [found.get(alert.alert_no) for alert in alerts]


def _wish(form: dict[str, str]) -> Wish:
    action = form.get("action", "")
    return Wish(
        action,
        (form.get("outcome") or None) if action == Move.CLOSE else None,
        _note(form, action),
        read_number(form.get("for_minutes")) if action == Move.SUSPEND else None,
        form.get("confirmed") == "yes",
        WEARER_MESSAGES.get(form.get("message", "")) if action == Move.MESSAGE else None,
    )


def _note(form: dict[str, str], action: str) -> str | None:
    """What was typed; of a call and of an authority, whom and with what result before it."""
    note = (form.get("note") or "").strip()
    if action == Move.CALL:
        who, result = CALLED.get(form.get("called", "")), CALL_RESULTS.get(form.get("call_result", ""))
        if who is None or result is None:
            raise UnfitAction("select who was called, and the result")
        return f"{who}: {result}. {note}".strip()
    if action == Move.MESSAGE:
        text = WEARER_MESSAGES.get(form.get("message", ""))
        if text is None:
            raise UnfitAction("select a message")
        return f"{text} {note}".strip()
    if action == Move.TELL_AUTHORITY:
        authority, number = (form.get(name, "").strip() for name in ("authority", "log_number"))
        if not authority or not number:
            raise UnfitAction("enter which authority was told, and its log number")
        return f"{authority[:80]}, log number {number[:40]}. {note}".strip()
    return form.get("note")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _set_of(requirement: Requirement) -> SetZone | None:
    return requirement.zone if isinstance(requirement.zone, SetZone) else None


def map_address(view: View, version: FindingVersion, asked_ms: int | None) -> str:
    known = "" if asked_ms is None else f"&known_at={format_instant(asked_ms)}"
    return f"/views/{view.view_no}/map?alert={view.alert_no}&finding={version.finding_no}{known}"


def _chosen(occurrences: list[Occurrence], finding_no: int | None) -> Occurrence:
    """The occurrence that was asked for, or the newest that was known and not withdrawn, or the newest."""
    if finding_no is not None:
        found = next((o for o in occurrences if o.finding_no == finding_no), None)
        if found is None:
            raise Problem(404, f"The alert has no such occurrence ({finding_no}).")
        return found
    standing: list[Any] = [o for o in occurrences if o.version is not None and not o.version.is_withdrawn]
    return (standing or occurrences)[0]
