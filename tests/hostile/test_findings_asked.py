"""Judging for a reader stops nobody: it is bounded, and done in another process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from emtrack.db.identity import Identity
from emtrack.reading.apart import MOST_WAITING, Judges, JudgesUnreachable, Patience, TookTooLong, TooManyQuestions
from tests.hostile.fixtures import beside, orders_of_a_century
from tests.office import Office, open_office

NOW = "2026-03-02T20:00:00Z"
ANN, BEN = Identity("Ann", "operator", None), Identity("Ben", "operator", None)


@pytest.fixture
async def office(database_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, tmp_path, orders_of_a_century()) as office:
        yield office


async def test_until_lies_at_most_a_month_ahead(office: Office) -> None:
    for until in ("2060-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-04-05T00:00:00Z"):
        status, told = await beside(office, office.get(f"/v1/findings?wearer=W1&until={until}"), at_least_s=0.5)
        assert status in (400, 422), "the last day of the calendar is no instant here"
        assert status == 400 or "31 days" in told["error"]


async def test_while_a_century_is_judged_for_somebody_devices_are_heard(office: Office) -> None:
    address = f"/v1/findings?wearer=W2&until={NOW}"

    async def asked() -> int:
        async with office.http.get(address, headers=office.bearer("operator")) as response:
            await response.read()
            assert response.status in (200, 422, 429)
            assert response.status != 429 or response.headers["Retry-After"]
            return response.status

    async def four_at_once() -> list[int]:
        return list(await asyncio.gather(*(asked() for _ in range(4))))

    statuses = await beside(office, four_at_once())
    assert statuses.count(429) == 3, "one at a time for a caller"


# ---------------------------------------------------------------------------------------------- the judges


async def forever(_connection: Any, _sets: Any) -> None:
    while True:
        pass


async def falls_over(_connection: Any, _sets: Any) -> None:
    raise KeyError


async def told_back(connection: Any, _sets: Any, told: str) -> str:
    assert await connection.fetchval("SHOW transaction_read_only") == "on"
    return told


@pytest.fixture
async def judges(database_url: str) -> AsyncIterator[Judges]:
    judges = Judges(database_url, None, answer_within_s=30)  # of these a busy machine takes some to begin the process
    yield judges
    await judges.aclose()


async def test_a_question_that_has_no_answer_in_time_is_ended(database_url: str) -> None:
    judges = Judges(database_url, None, answer_within_s=1)
    began_s = time.monotonic()
    with pytest.raises(TookTooLong, match="shorter time"):
        await judges.ask(ANN, Patience.PAGE, forever)
    assert time.monotonic() - began_s < 30
    assert not judges._idle, "its process is gone"
    await judges.aclose()


async def test_questions_of_a_caller_go_one_after_the_other_and_only_so_many_wait(judges: Judges) -> None:
    page = [asyncio.create_task(judges.ask(ANN, Patience.PAGE, told_back, str(n))) for n in range(Patience.PAGE)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyQuestions):
        await judges.ask(ANN, Patience.PAGE, told_back, "one more")
    with pytest.raises(TooManyQuestions):
        await judges.ask(ANN, Patience.PROGRAM, told_back, "one more")
    assert await judges.ask(BEN, Patience.PROGRAM, told_back, "of another") == "of another"
    assert await asyncio.gather(*page) == [str(n) for n in range(Patience.PAGE)]
    assert await judges.ask(ANN, Patience.PROGRAM, told_back, "again") == "again"
    assert len(judges._idle) <= 2


async def test_all_callers_together_ask_no_more_than_can_wait(judges: Judges) -> None:
    callers = [Identity(f"Caller {n}", "operator", None) for n in range(MOST_WAITING)]
    waiting = [asyncio.create_task(judges.ask(caller, Patience.PAGE, told_back, "")) for caller in callers]
    await asyncio.sleep(0)
    with pytest.raises(TooManyQuestions, match="others"):
        await judges.ask(ANN, Patience.PAGE, told_back, "")
    await asyncio.gather(*waiting)


async def test_a_fault_is_told_and_the_process_answers_the_next(judges: Judges) -> None:
    with pytest.raises(RuntimeError, match="KeyError at test_findings_asked"):
        await judges.ask(ANN, Patience.PAGE, falls_over)
    assert await judges.ask(ANN, Patience.PAGE, told_back, "well") == "well"


async def test_without_a_database_there_is_no_answer() -> None:
    judges = Judges("postgresql://127.0.0.1:1/none", None)
    with pytest.raises(JudgesUnreachable):
        await judges.ask(ANN, Patience.PAGE, told_back, "")
    await judges.aclose()
