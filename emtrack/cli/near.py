"""`emtrack near`: who was near a place, or near the places of a file of crimes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emtrack.cli.looking import PurposeOption, ReferenceOption, looker_here
from emtrack.cli.running import run, settings
from emtrack.cli.saying import give, read_instant, refuse, say

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.people.looks import Looker
    from emtrack.reading.near import Answer
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
"""Blocks of questions that are put at once: more than two keep the service from its devices."""
BLOCK, BLOCK_MS = 20, 8 * 3_600_000
"""So many questions that lie so near each other in time are a block: what all of them ask for is read once, and each waits for three
commits of the block and not for three of its own."""


def blocks_of(questions: Sequence[Question]) -> Iterator[list[int]]:
    """The places of questions in blocks, in the order of their times: what one reads from the disk the next one needs too."""
    block: list[int] = []
    begin_ms = end_ms = 0
    for place in sorted(range(len(questions)), key=lambda place: questions[place].window.begin_ms):
        window = questions[place].window
        if block and (len(block) == BLOCK or max(end_ms, window.end_ms) - begin_ms > BLOCK_MS):
            yield block
            block = []
        begin_ms, end_ms = (begin_ms, max(end_ms, window.end_ms)) if block else window[:2]
        block.append(place)
    if block:
        yield block


async def near_of(chosen: Settings, looker: Looker, questions: Sequence[Question]) -> list[bytes]:
    """A line for each question, in their order."""
    import asyncio

    from emtrack.clock import clock_of
    from emtrack.db.connect import connect, open_pool
    from emtrack.db.opened import prepared_database
    from emtrack.db.rights import RunTime, run_time_dsn
    from emtrack.db.session import Limits

    lines = [b""] * len(questions)
    waiting, asked = deque(blocks_of(questions)), 0
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
                nonlocal asked
                async with pool.acquire() as connection:
                    while waiting:
                        block = waiting.popleft()
                        found = await _lines(
                            connection, looker, [questions[place] for place in block], clock.now_ms()
                        )
                        for place, line in zip(block, found, strict=True):
                            lines[place] = line
                        asked += len(block)
                        if waiting:
                            say(f"{asked:,} of {len(questions):,} are asked")

            async with asyncio.TaskGroup() as group:
                for _ in range(min(AT_A_TIME, len(questions))):
                    group.create_task(work())
    return lines


async def _lines(connection: Connection, looker: Looker, questions: Sequence[Question], now_ms: int) -> list[bytes]:
    from emtrack.reading.near import keep_all, look_at_windows, near_places

    await look_at_windows(connection, looker, questions, now_ms)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        answers = await near_places(connection, questions, now_ms)
    numbers = await keep_all(connection, looker, list(zip(questions, answers, strict=True)), now_ms)
    return [
        await _line(connection, question, answer, number)
        for question, answer, number in zip(questions, answers, numbers, strict=True)
    ]


async def _line(connection: Connection, question: Question, answer: Answer, number: int) -> bytes:
    import msgspec

    from emtrack.forms.grades import AUTHENTICATED
    from emtrack.record.near import results_of
    from geofence import format_instant

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
