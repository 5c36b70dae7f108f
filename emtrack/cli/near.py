"""`emtrack near`: who was near a place, or near the places of a file of crimes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emtrack.cli.looking import PurposeOption, ReferenceOption, looker_here
from emtrack.cli.running import run, settings
from emtrack.cli.saying import give, read_instant, refuse, say

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.people.looks import Looker
    from emtrack.record.near import Question
    from emtrack.settings import Settings

app = typer.Typer()


@app.command()
def near(
    purpose: PurposeOption,
    lat: Annotated[float | None, typer.Option(help="latitude of the place, in degrees")] = None,
    lon: Annotated[float | None, typer.Option(help="longitude of the place, in degrees")] = None,
    begin: Annotated[str | None, typer.Option("--from", help="first instant, with a zone")] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="the instant after the last, at most 12 hours later")
    ] = None,
    radius: Annotated[float, typer.Option(help="of the place, in metres")] = 100.0,
    crimes: Annotated[
        Path | None, typer.Option(help="a file of crimes (CSV of 13 columns) in place of one place")
    ] = None,
    reference: ReferenceOption = None,
    out: Annotated[
        Path | None, typer.Option(help="the file to write, for its owner only; left out: standard output")
    ] = None,
) -> None:
    """Who was near a place in a time, graded: a line of JSON for each question, with counts and those who are named. Everybody
    who is asked about, and everybody who is named, is a look, which is put on record first; questions and answers are kept."""
    from emtrack.files.crimes import read_crimes

    if (crimes is None) == (lat is None or lon is None or begin is None or end is None):
        refuse("expected --lat, --lon, --from and --to; or --crimes FILE")
    if crimes is None:
        questions = [_question(lat, lon, radius, read_instant(begin, "--from"), read_instant(end, "--to"))]
    else:
        file = read_crimes(crimes.read_bytes(), radius, settings_timezone())
        for trouble in file.troubles:
            say(f"line {trouble.line}: {trouble.what}")
        say(f"{len(file.questions):,} crimes are asked about; {len(file.troubles):,} lines are left out")
        questions = file.questions
    lines = run(near_of(settings(), looker_here(purpose, reference), questions))
    give(b"".join(lines), out)


def settings_timezone() -> str:
    """Times of crimes are those of the clock on the wall in Great Britain, as the format has it."""
    return "Europe/London"


def _question(lat: Any, lon: Any, radius: float, begin_ms: int | None, end_ms: int | None) -> Question:
    from emtrack.record.near import Asked, Question
    from geofence import Interval
    from geofence.nearness import Spot

    assert begin_ms is not None, "it is given"
    assert end_ms is not None, "it is given"
    if end_ms <= begin_ms:
        refuse("--to: it is not after --from")
    return Question(Asked.PLACE, Interval(begin_ms, end_ms), radius, Spot(lon, lat, radius))


AT_A_TIME = 2
"""Questions that are put at once: more than two keep the service from its devices."""


async def near_of(chosen: Settings, looker: Looker, questions: Sequence[Question]) -> list[bytes]:
    """A line for each question, in their order."""
    import asyncio

    from emtrack.clock import clock_of
    from emtrack.db.connect import connect, open_pool
    from emtrack.db.opened import prepared_database
    from emtrack.db.rights import RunTime, run_time_dsn
    from emtrack.db.session import Limits

    lines = [b""] * len(questions)
    # In the order of their times: what one reads from the disk the next one needs too.
    waiting = deque(sorted(enumerate(questions), key=lambda one: one[1].window.begin_ms))
    limits = Limits(statement_s=60, lock_s=5, answer_s=90)
    async with prepared_database(chosen, program="near", exclusive=False) as dsn:
        worker = await run_time_dsn(dsn, RunTime.WORKER)
        first = await connect(worker)
        try:
            clock = await clock_of(first, chosen.clock, adopt=True)
        finally:
            await first.close()
        async with open_pool(worker, size=AT_A_TIME, limits=limits) as pool:

            async def work() -> None:
                async with pool.acquire() as connection:
                    while waiting:
                        place, question = waiting.popleft()
                        lines[place] = await _line(connection, looker, question, clock.now_ms())
                        if waiting and len(waiting) % 50 == 0:
                            say(f"{len(waiting):,} of {len(questions):,} are still to be asked")

            async with asyncio.TaskGroup() as group:
                for _ in range(min(AT_A_TIME, len(questions))):
                    group.create_task(work())
    return lines


async def _line(connection: Connection, looker: Looker, question: Question, now_ms: int) -> bytes:
    import msgspec

    from emtrack.forms.grades import AUTHENTICATED
    from emtrack.reading.near import keep, look_at_window, near_place
    from emtrack.record.near import results_of
    from emtrack.record.zone_sets import ZoneSetCache
    from geofence import format_instant

    await look_at_window(connection, looker, question, now_ms)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        answer = await near_place(connection, ZoneSetCache(None), question, now_ms)
    number = await keep(connection, looker, question, answer, now_ms)
    people = [
        {
            "wearer_id": one.wearer_id,
            "grade": one.named.grade,
            "probability": round(one.named.probability, 4),
            "fix_time": None if one.named.fix_ms is None else format_instant(one.named.fix_ms),
            "distance_m": one.named.distance_m,
            AUTHENTICATED: one.is_authenticated,
        }
        for one in await results_of(connection, number)
    ]
    line = {"run_no": number, "label": question.label, "counts": answer.counts, "people": people}
    return msgspec.json.encode(line) + b"\n"
