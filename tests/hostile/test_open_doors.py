"""What is open to everybody tells nothing of value, and takes nothing without a bound."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from emtrack.web.pages.site import LARGEST_REPORT, REPORTS_A_MINUTE, Rate
from tests.hostile.fixtures import beside
from tests.office import Office, open_office

TOKEN = "a token of Prometheus of ours".replace(" ", "-")
ELSEWHERE = {"X-Forwarded-For": "192.0.2.1"}


@pytest.fixture
async def office(database_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, tmp_path, tls="proxy") as office:
        yield office


async def status_of(office: Office, method: str, path: str, **more: Any) -> int:
    async with office.http.request(method, path, **more) as response:
        await response.read()
        return response.status


async def test_metrics_are_for_this_machine(office: Office) -> None:
    assert await status_of(office, "GET", "/metrics") == 200
    assert await status_of(office, "GET", "/metrics", headers=ELSEWHERE) == 403
    assert await status_of(office, "GET", "/metrics", headers={"X-Forwarded-For": "not an address"}) == 403


async def test_or_for_who_sends_the_token(database_url: str, tmp_path: Path) -> None:
    async with open_office(database_url, tmp_path, metrics_token=TOKEN, tls="proxy") as office:
        for sent, status in (
            (f"Bearer {TOKEN}", 200),
            (f"Bearer {TOKEN}x", 403),
            (TOKEN, 403),
            ("Bearer \u00fc", 403),
        ):
            headers = ELSEWHERE | {"Authorization": sent}
            assert await status_of(office, "GET", "/metrics", headers=headers) == status
        assert await status_of(office, "GET", "/metrics") == 403


async def test_reports_of_a_policy_are_few_and_of_who_is_logged_in(office: Office) -> None:
    async def sent(size: int) -> int:
        return await status_of(office, "POST", "/csp-reports", data=b"x" * size)

    async def flood() -> Counter[int]:
        return Counter(await asyncio.gather(*(sent(100) for _ in range(3 * REPORTS_A_MINUTE))))

    assert await sent(LARGEST_REPORT + 1) == 413
    assert await beside(office, flood()) == {403: REPORTS_A_MINUTE, 429: 2 * REPORTS_A_MINUTE}
    async with office.http.get("/metrics") as response:
        assert "emtrack_csp_reports_total 0.0" in await response.text()


def test_a_minute_later_there_is_room_again() -> None:
    now_s = 0.0
    rate = Rate(2, lambda: now_s)
    assert [rate.take() for _ in range(3)] == [True, True, False]
    now_s = 60.0
    assert rate.take()
