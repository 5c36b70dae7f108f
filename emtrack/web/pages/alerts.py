"""Pages of the monitoring centre: the queue, which moves by itself, and an alert with everything that it rests on."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from alerts import (
    ATV,
    CLOCK,
    OUTCOMES,
    Alert,
    AlertFilter,
    BadQueuePlace,
    Severity,
    UnfitAction,
    alert_as_known,
    alerts_under,
    closed_alerts,
    ledger_of,
    one_alert,
    open_alerts,
    open_counts,
    people_listed,
    rules_of,
    unsettled_of,
)
from emtrack.db.connect import Connection
from emtrack.iom.record import IomRecord, load_iom
from emtrack.people.limits import unseen_openings
from emtrack.people.looks import What, look_at_people
from emtrack.people.roles import OVERSEERS, READERS, STAFF, Caller
from emtrack.reading import band
from emtrack.reading.casefile import (
    LEAD_MS,
    FactsAround,
    Occurrence,
    late_facts,
    moments_of_change,
    occurrences_of,
    window_of,
)
from emtrack.reading.history import View, view_of_alert
from emtrack.reading.home_units import heard_last_ms
from emtrack.record.findings import FindingVersion
from emtrack.web.alert_work import AlertWork
from emtrack.web.api.alerts import ACTION_ERRORS, ALERT_KINDS, problem_of, read_kind, read_severity
from emtrack.web.bands import drawn_bands
from emtrack.web.guard import Problem, looker_of, read_form, read_number
from emtrack.web.judged import bands_of_view, facts_of_alert
from emtrack.web.looking import look_at_alert, look_at_alerts, look_at_queue, looker_at_alert
from emtrack.web.maps import fact_rows
from emtrack.web.rendering import NO_STORE, FactSpan, Pages, known_at
from geofence import Requirement, SetZone, format_instant

PAGE = 100
MOST_MEMBERS = 1_000


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
            route("/alerts/{alert_no:number}", self.alert, READERS),
            route("/alerts/{alert_no:number}/actions", self.act, STAFF, ["POST"]),
        ]

    # ------------------------------------------------------------------------------------- the queue

    async def queue(self, request: Request, caller: Caller) -> Response:
        """All alerts that are open, the gravest first; or those that were closed, the last first."""
        return await self._queue(request, caller, "alerts.html")

    async def rows(self, request: Request, caller: Caller) -> Response:
        """The part of the page that changes."""
        return await self._queue(request, caller, "alerts_rows.html")

    async def _queue(self, request: Request, caller: Caller, template: str) -> Response:
        query = request.query_params
        state = query.get("state") or "open"
        if state not in ("open", "closed"):
            raise Problem(400, f"state is {state[:60]!r}; expected open or closed")
        wearer = (query.get("wearer") or "").strip() or None
        wanted = AlertFilter(wearer, read_severity(query.get("severity")), read_kind(query.get("kind")))
        read = open_alerts if state == "open" else closed_alerts
        looker = looker_of(caller)
        try:
            async with self._pages.pool.acquire() as connection:
                await look_at_queue(connection, looker, self._pages.clock.now_ms())
                found = await read(connection, wanted, query.get("after") or None, PAGE)
                await look_at_alerts(connection, looker, found, self._pages.clock.now_ms())
                counts = await open_counts(connection)
                opened = await unseen_openings(connection) if caller.role in OVERSEERS else 0
                words = await self._pages.words(connection)
        except BadQueuePlace as error:
            raise Problem(400, str(error)) from error
        return self._pages.render(
            template,
            caller,
            words,
            alerts=found,
            counts=counts,
            opened=opened,
            state=state,
            chosen=wanted,
            following=found[-1].place if len(found) == PAGE else None,
            is_first=not query.get("after"),
            severities=Severity,
            kinds=ALERT_KINDS,
            outcomes=OUTCOMES,
        )

    # ------------------------------------------------------------------------------------- one alert

    async def alert(self, request: Request, caller: Caller) -> Response:
        """An alert as known now, or as known at an instant. Its positions are read after the look is on record."""
        return await self._alert(request, caller)

    async def _alert(
        self, request: Request, caller: Caller, error: str | None = None, form: dict[str, str] | None = None
    ) -> Response:
        now_ms = self._pages.clock.now_ms()
        asked_ms, known_ms = known_at(request, now_ms)
        async with self._pages.pool.acquire() as connection:
            await look_at_alert(connection, looker_at_alert(caller), request.path_params["alert_no"], now_ms)
            alert = await one_alert(connection, request.path_params["alert_no"])
            if alert is None:
                raise Problem(404, f"There is no alert {request.path_params['alert_no']}.")
            wearer_no = alert.wearer_no
            if alert.home_unit is not None:
                return await self._silent_unit(connection, caller, alert, alert.home_unit, error)
            if wearer_no is None:
                return await self._incident(connection, caller, alert, error)
            if alert.kind == CLOCK:
                return await self._clock(connection, caller, alert, error)
            if alert.kind == ATV:
                return await self._accumulated(connection, caller, alert, error)
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
        if view is not None and chosen.version is not None:
            facts = await self._facts(caller, view, chosen.version, known_ms)
            late = late_facts(chosen.versions, chosen.version, facts)
            if not facts.fixes:
                bands = await self._bands(caller, view, facts.requirement, known_ms)
        return self._pages.render(
            "alert.html",
            caller,
            words,
            status=422 if error else 200,
            alert=alert,
            iom=iom,
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
            may_act=caller.role in STAFF,
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
        self, connection: Connection, caller: Caller, alert: Alert, error: str | None, template: str, **shown: Any
    ) -> Response:
        """An alert of a kind that has a page of its own."""
        if alert.wearer_no is not None:
            shown["iom"] = (await load_iom(connection, [alert.wearer_no])).get(alert.wearer_no, IomRecord())
        return self._pages.render(
            template,
            caller,
            await self._pages.words(connection),
            status=422 if error else 200,
            alert=alert,
            most=MOST_MEMBERS,
            outcomes=OUTCOMES,
            may_act=caller.role in STAFF,
            error=error,
            **shown,
        )

    async def _incident(self, connection: Connection, caller: Caller, alert: Alert, error: str | None) -> Response:
        """A platform incident: the people of a network whose tags fell silent together."""
        members = await alerts_under(connection, alert.alert_no, MOST_MEMBERS)
        await look_at_alerts(connection, looker_at_alert(caller), members, self._pages.clock.now_ms())
        return await self._without_findings(connection, caller, alert, error, "incident.html", members=members)

    async def _clock(self, connection: Connection, caller: Caller, alert: Alert, error: str | None) -> Response:
        """A tag whose clock is wrong."""
        return await self._without_findings(connection, caller, alert, error, "clock.html")

    async def _silent_unit(
        self, connection: Connection, caller: Caller, alert: Alert, home_unit: str, error: str | None
    ) -> Response:
        """A home unit that does not call in: the people who depend on it."""
        people = await people_listed(connection, alert.alert_no, MOST_MEMBERS)
        listed, now_ms = [person.wearer_no for person in people], self._pages.clock.now_ms()
        await look_at_people(connection, looker_at_alert(caller), listed, What.QUEUE, now_ms)
        heard_ms = await heard_last_ms(connection, home_unit)
        return await self._without_findings(
            connection, caller, alert, error, "silent_unit.html", people=people, heard_ms=heard_ms
        )

    async def _accumulated(self, connection: Connection, caller: Caller, alert: Alert, error: str | None) -> Response:
        """An order over its threshold: the lines of its ledger."""
        assert alert.wearer_no is not None, "an alert of a person"
        entries = await ledger_of(connection, alert.wearer_no, requirement_id=alert.requirement_id)
        unsettled = await unsettled_of(connection, alert.wearer_no, alert.requirement_id)
        rules = await rules_of(connection)
        return await self._without_findings(
            connection,
            caller,
            alert,
            error,
            "accumulated.html",
            entries=entries,
            rules=rules,
            unsettled=unsettled,
        )

    async def act(self, request: Request, caller: Caller) -> Response:
        """What the form asks for, and back to the alert, or to the queue once it is closed."""
        form = await read_form(request)
        number, action = request.path_params["alert_no"], form.get("action", "")
        outcome = form.get("outcome") or None
        try:
            await self._work.act(number, caller, action, outcome if action == "closed" else None, form.get("note"))
        except UnfitAction as error:
            return await self._alert(request, caller, str(error), form)
        except ACTION_ERRORS as error:
            raise problem_of(error) from error
        return RedirectResponse("/alerts" if action == "closed" else f"/alerts/{number}", 303, NO_STORE)


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
