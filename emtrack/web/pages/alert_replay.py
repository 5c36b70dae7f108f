"""An alert watched as it came: what we knew at each moment. Nothing can be done to it there."""

from __future__ import annotations

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alerts import Alert, RaisedFor, Tick, alert_as_known, one_alert, raised_for
from emtrack.db.connect import Connection
from emtrack.people.roles import READERS, Caller
from emtrack.reading.becoming_known import MOST_RECEIPTS, Receipt, before_it_was_found, receipts_of
from emtrack.reading.casefile import LEAD_MS, Occurrence, occurrences_of, window_of
from emtrack.reading.history import View, view_of_alert
from emtrack.reading.steps import script_of
from emtrack.record.findings import FindingVersion
from emtrack.web.guard import Problem, guarded
from emtrack.web.judged import facts_of_alert, map_of_facts
from emtrack.web.known_moments import moments_of_alert
from emtrack.web.looking import look_at_alert, looker_at_alert
from emtrack.web.maps import fact_rows
from emtrack.web.packed import MEDIA_TYPE
from emtrack.web.rendering import NO_STORE, FactSpan, Pages, known_at
from geofence import format_instant


class Replayed(NamedTuple):
    """All that became known of an alert by now. `view` None: it is of nobody in particular, or nothing stands behind it."""

    alert: Alert
    view: View | None
    occurrences: list[Occurrence]
    ticks: list[Tick]
    raised: dict[int, RaisedFor]
    receipts: list[Receipt]

    @property
    def versions(self) -> list[FindingVersion]:
        return [version for occurrence in self.occurrences for version in occurrence.versions]


class Then(NamedTuple):
    """What stood at an instant. `occurrence`: the newest that was known; the first of all before. `shown` None: nobody knew of
    it yet."""

    occurrence: Occurrence
    shown: FindingVersion | None

    @property
    def judged(self) -> FindingVersion:
        return self.shown or before_it_was_found(self.occurrence.versions[0])


class AlertReplayPages:
    """/alerts/{alert_no}/replay and its map."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self) -> list[Route]:
        return [
            self._pages.route("/alerts/{alert_no:number}/replay", self.replay, READERS),
            guarded(self._pages.pool, "/alerts/{alert_no:number}/replay/map", self.map, READERS),
        ]

    async def replay(self, request: Request, caller: Caller) -> Response:
        """What we knew at a moment; without one, at the first."""
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            all_ = await self._replayed(connection, request, caller, now_ms)
            words = await self._pages.words(connection)
        moments = moments_of_alert(all_.alert, all_.ticks, all_.versions, all_.raised, all_.receipts, words)
        asked_ms = known_at(request, now_ms).asked_ms
        known_ms = moments[0].at_ms if asked_ms is None else min(asked_ms, now_ms)
        then = None if not all_.occurrences else _then(all_.occurrences, known_ms)
        rows = []
        if all_.view is not None and then is not None:
            span = FactSpan(all_.view, known_ms, LEAD_MS)
            facts = await self._pages.judged(caller, span, facts_of_alert, all_.view, then.judged, known_ms)
            rows = fact_rows(facts, words)
        return self._pages.render(
            "alert_replay.html",
            caller,
            words,
            alert=_as_known(all_, known_ms),
            is_raised=all_.alert.raised_ms <= known_ms,
            then=then,
            rows=rows,
            moments=moments,
            known_ms=known_ms,
            has_map=all_.view is not None,
            is_cut=len(all_.receipts) >= MOST_RECEIPTS,
            most=MOST_RECEIPTS,
            base=f"/alerts/{all_.alert.alert_no}/replay",
            instant=format_instant,
        )

    async def map(self, request: Request, caller: Caller) -> Response:
        """What the map drew at a moment."""
        now_ms = self._pages.clock.now_ms()
        known_ms = known_at(request, now_ms).ms
        async with self._pages.pool.acquire() as connection:
            all_ = await self._replayed(connection, request, caller, now_ms)
            timezone = (await self._pages.words(connection)).timezone
        if all_.view is None:
            raise Problem(404, "nothing of this alert can be drawn")
        then = _then(all_.occurrences, known_ms)
        span, gap_ms = FactSpan(all_.view, known_ms, LEAD_MS), self._pages.history_gap_ms
        drawn = await self._pages.judged(
            caller, span, map_of_facts, all_.view, then.judged, known_ms, timezone, gap_ms
        )
        return Response(drawn, 200, NO_STORE, MEDIA_TYPE)

    async def _replayed(self, connection: Connection, request: Request, caller: Caller, now_ms: int) -> Replayed:
        """After the looks at the alert and at the positions around all its findings are on record."""
        number, looker = request.path_params["alert_no"], looker_at_alert(caller)
        await look_at_alert(connection, looker, number, now_ms)
        alert = await one_alert(connection, number)
        if alert is None:
            raise Problem(404, f"There is no alert {number}.")
        ticks = (await script_of(connection, alert)).ticks
        if alert.wearer_no is None:
            return Replayed(alert, None, [], ticks, {}, [])
        occurrences = await occurrences_of(connection, alert, now_ms)
        versions = [version for occurrence in occurrences for version in occurrence.versions]
        if not versions:
            return Replayed(alert, None, [], ticks, {}, [])
        windows = [window_of(version.finding, now_ms) for version in occurrences[0].versions]
        begin_ms, end_ms = min(begin for begin, _ in windows), max(end for _, end in windows)
        view = await view_of_alert(connection, looker, alert.wearer_no, begin_ms, end_ms, number, now_ms)
        raised = await raised_for(connection, [version.finding_no for version in versions], now_ms)
        activation_no = occurrences[0].versions[0].activation_no
        receipts = await receipts_of(connection, view, now_ms, activation_no=activation_no)
        return Replayed(alert, view, occurrences, ticks, raised, receipts)


def _then(occurrences: list[Occurrence], known_ms: int) -> Then:
    """Of the newest occurrence: that is whose facts are shown."""
    occurrence = occurrences[0]
    known = occurrence.until(known_ms).versions
    return Then(occurrence, known[-1] if known else None)


def _as_known(all_: Replayed, known_ms: int) -> Alert:
    known = [o.until(known_ms).versions for o in all_.occurrences]
    newest = [versions[-1] for versions in known if versions]
    return alert_as_known(all_.alert, [None if v.is_withdrawn else v.finding for v in newest], known_ms)
