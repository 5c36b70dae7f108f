"""What the programme is worth: the measures with their charts, the people behind each figure, a person's career, and the file for the
public."""

from __future__ import annotations

import asyncio
import csv
import io
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emtrack.forms.iom import Cohort
from emtrack.people.looks import What, look_at_everybody, look_at_people
from emtrack.people.roles import Caller, Role
from emtrack.reading.apart import Patience
from emtrack.reading.people import names_of, person_of, wearer_no_of
from emtrack.reading.what_if import MOST_MONTHS, UnfitRules, compared, read_rules, rows_of, rules_in_force
from emtrack.reading.worth import (
    Asked,
    Performance,
    basis_of,
    career_of,
    day_of,
    midnight_of,
    performance,
    whole_period,
)
from emtrack.record.deployment_settings import load_settings
from emtrack.web import wording
from emtrack.web.charts import drawn, number
from emtrack.web.guard import Problem, looker_of, read_form, read_number
from emtrack.web.rendering import NO_STORE, Pages
from emtrack.web.wording import Words
from emtrack.worth.figures import Drawing, Figure, Measure, Point, PublicRow, Unit, public_rows

PERFORMANCE_READERS: Final = frozenset({Role.SUPERVISOR, Role.OFFICER, Role.CONTACT, Role.ADMINISTRATOR})
"""Decision 30: operators work alerts and need none of it; auditors see how others looked, and nothing of the record."""
MOST_KEPT: Final = 32
"""Answers in memory: of so many accounts, cohorts and days."""
PAGE: Final = 100
COHORT_NAMES: Final = [str(one) for one in Cohort]


class PerformancePages:
    """/iom/performance and what lies under it."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._kept: OrderedDict[tuple[Any, ...], Performance] = OrderedDict()
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def routes(self) -> list[Route]:
        route = self._pages.route
        return [
            route("/iom/performance", self.measures, PERFORMANCE_READERS),
            route("/iom/performance.csv", self.public_file, PERFORMANCE_READERS),
            route("/iom/performance/rules", self.rules, PERFORMANCE_READERS),
            route("/iom/performance/rules", self.tried, PERFORMANCE_READERS, ["POST"]),
            route("/iom/performance/people", self.people, PERFORMANCE_READERS),
            route("/iom/performance/people/{reference}", self.career, PERFORMANCE_READERS),
        ]

    async def measures(self, request: Request, caller: Caller) -> Response:
        """All measures with their figures."""
        asked, words = await self._asked(request)
        found = await self._performance(caller, asked)
        return self._pages.render(
            "performance.html", caller, words, measures=found.measures, chosen=found.chosen, pool=found.pool, asked=asked,
            query=_query(asked), cohorts=list(Cohort), **_SHOWING,
        )  # fmt: skip

    async def public_file(self, request: Request, caller: Caller) -> Response:
        """The figures as the public may have them."""
        asked, _ = await self._asked(request)
        found = await self._performance(caller, asked)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([name.replace("_", " ") for name in PublicRow._fields])
        writer.writerows(public_rows(found.measures))
        name = f"performance-{asked.today.isoformat()}.csv"
        headers = NO_STORE | {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(text.getvalue(), 200, headers, "text/csv; charset=utf-8")

    async def people(self, request: Request, caller: Caller) -> Response:
        """Who is behind a figure: a look at each of them."""
        asked, words = await self._asked(request)
        found = await self._performance(caller, asked)
        measure, figure = _figure(found.measures, request.query_params.get("figure", ""))
        first = min(read_number(request.query_params.get("first")) or 0, len(figure.people))
        numbers = figure.people[first : first + PAGE]
        async with self._pages.pool.acquire() as connection:
            await look_at_people(connection, looker_of(caller), numbers, What.IOM_RECORD, self._pages.clock.now_ms())
            people = await names_of(connection, numbers)
        missing = len(numbers) - len(people)
        return self._pages.render(
            "performance_people.html", caller, words, measure=measure, figure=figure, people=people, asked=asked,
            count=len(figure.people) - missing, following=first + PAGE if first + PAGE < len(figure.people) else None,
            query=_query(asked), **_SHOWING,
        )  # fmt: skip

    async def career(self, request: Request, caller: Caller) -> Response:
        """Offences of one person by age."""
        asked, words = await self._asked(request)
        reference = request.path_params["reference"]
        async with self._pages.pool.acquire() as connection:
            wearer_no = await wearer_no_of(connection, reference)
            person = None if wearer_no is None else await person_of(connection, wearer_no)
            if person is None or wearer_no is None:
                raise Problem(
                    404, "Nobody with this reference is on record, or they are not shared with your agency."
                )
            now_ms = self._pages.clock.now_ms()
            await look_at_people(connection, looker_of(caller), [wearer_no], What.IOM_RECORD, now_ms)
            years = await career_of(connection, wearer_no, asked)
        points = tuple(Point(str(year.age), year.offences, marked=year.in_programme) for year in years)
        drawing = Drawing("Proven offences by age", "offences", points=points, mark="in the programme")
        return self._pages.render(
            "performance_career.html",
            caller,
            words,
            person=person,
            years=years,
            drawing=drawing,
            asked=asked,
            **_SHOWING,
        )

    async def rules(self, request: Request, caller: Caller) -> Response:
        """The rules in force, to be changed and tried."""
        del request
        async with self._pages.pool.acquire() as connection:
            words = await self._pages.words(connection)
            text = (await rules_in_force(connection)).decode()
        return self._pages.render("performance_rules.html", caller, words, text=text, months=3, found=None)

    async def tried(self, request: Request, caller: Caller) -> Response:
        """What changed rules would have proposed. Nothing is changed by it."""
        form = await read_form(request)
        months = read_number(form.get("months")) or 3
        if months > MOST_MONTHS:
            raise Problem(422, f"Choose {MOST_MONTHS} months at most.")
        try:
            changed = read_rules(form.get("rules", ""))
        except UnfitRules as error:
            raise Problem(422, f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
        now_ms = self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            await look_at_everybody(connection, looker_of(caller), What.IOM_RECORD, now_ms)
            words = await self._pages.words(connection)
        found = await self._pages.judged_apart(caller, Patience.PAGE, compared, changed, months, now_ms)
        numbers = [*found.only_changed, *found.only_now][: 2 * PAGE]
        async with self._pages.pool.acquire() as connection:
            await look_at_people(connection, looker_of(caller), numbers, What.IOM_RECORD, now_ms)
            names = {row["wearer_no"]: row for row in await names_of(connection, numbers)}
        return self._pages.render(
            "performance_rules.html", caller, words, text=form.get("rules", ""), months=months, found=found, rows=rows_of(found),
            names=names,
        )  # fmt: skip

    async def _asked(self, request: Request) -> tuple[Asked, Words]:
        """By default of any cohort and the last three years, as known at the last midnight. Raises Problem."""
        query, now_ms = request.query_params, self._pages.clock.now_ms()
        async with self._pages.pool.acquire() as connection:
            timezone, _ = await load_settings(connection, now_ms)
        latest = day_of(now_ms, timezone)
        today = min(_day(query.get("known_on")) or latest, latest)
        begin, end = whole_period(today)
        begin, end = _day(query.get("from")) or begin, _day(query.get("until")) or end
        if not begin < end:
            raise Problem(422, "Choose a day to begin with that is before the day to end with.")
        cohort = query.get("cohort", "").strip() or None
        if cohort is not None and cohort not in COHORT_NAMES:
            raise Problem(422, f"Choose a cohort: {', '.join(COHORT_NAMES)}.")
        midnight_ms = midnight_of(today, timezone)
        asked = Asked(None if cohort is None else Cohort(cohort), begin, end, today, midnight_ms, timezone)
        return asked, Words(timezone)

    async def _performance(self, caller: Caller, asked: Asked) -> Performance:
        """What is kept, or worked out beside the turns; the look is on record before. One question of an account at a time: two
        tabs that open together ask once."""
        async with self._turns[caller.name]:
            async with self._pages.pool.acquire() as connection:
                now_ms = self._pages.clock.now_ms()
                await look_at_everybody(connection, looker_of(caller), What.IOM_RECORD, now_ms)
                key = (caller.name, caller.role, caller.agency, asked, await basis_of(connection))
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            found = await self._pages.judged_apart(caller, Patience.PAGE, performance, asked)
            self._kept[key] = found
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            return found


def _day(text: str | None) -> date | None:
    """A day of a query, such as 2026-03-02; None where there is none. Raises Problem."""
    if not text or not text.strip():
        return None
    try:
        found = date.fromisoformat(text.strip())
    except ValueError:
        raise Problem(422, f"{text[:60]!r} is no day; write it as 2026-03-02") from None
    if not 1950 <= found.year <= 2150:
        raise Problem(422, f"{text[:60]!r} lies outside the years 1950 to 2150; write another")
    return found


def _query(asked: Asked) -> str:
    days = {"from": asked.begin.isoformat(), "until": asked.end.isoformat(), "known_on": asked.today.isoformat()}
    return urlencode(({} if asked.cohort is None else {"cohort": str(asked.cohort)}) | days)


def _figure(measures: Sequence[Measure], key: str) -> tuple[Measure, Figure]:
    for measure in measures:
        for figure in measure.figures:
            if figure.key == key:
                return measure, figure
    raise Problem(404, "There is no such figure. Go back to the measures and choose one.")


def value_of(figure: Figure) -> str:
    """With its unit, as a cell shows it."""
    if figure.value is None:
        return ""
    match figure.unit:
        case Unit.PERCENT:
            return f"{number(figure.value)} %"
        case Unit.POUNDS:
            return f"£{number(figure.value)}"
        case Unit.COUNT:
            return number(figure.value)
    return f"{number(figure.value)} {figure.unit}"


def group_words(group: str) -> str:
    return wording.PATHWAYS.get(group, wording.COHORTS.get(group, group))


_SHOWING: Final[dict[str, Any]] = {"drawn": drawn, "number": number, "value_of": value_of, "group_words": group_words}
