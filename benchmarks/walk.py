"""A walk as an operator: what each step of a night costs, in keys or clicks, and how long the pages take for it.

    python -m benchmarks.walk [--open 60] [--rounds 3]

Starts the service as a program of its own on an embedded database in a temporary folder, with so many people who are out, each at a
time of their own. An operator stands somewhere in the list, at 1366 × 768, when the strap of one more person is cut. Then, once by
keyboard alone and once by mouse: see it, acknowledge it, open it, log a call, close it. Seconds are those of the machine: nobody
reads or thinks.

    see      from the report at the device door until the line that says so is in view
    keys     as they are pressed: Tab counts as one each time; the letters of a note do not
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import aiohttp
from playwright.async_api import Page, async_playwright

from benchmarks.serving import served
from emtrack.db.connect import connect, database
from emtrack.forms.reading import read_orders_of
from emtrack.orders.importing import import_with_keys
from emtrack.people.accounts import add_user, let_password_stay
from emtrack.people.roles import Role
from emtrack.settings import Settings

HOME, AWAY = (-2.1753, 53.0027), (-2.1753, 53.0127)
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
NOTE = "strap cut, police told"


class Step(NamedTuple):
    name: str
    presses: int
    took_s: float


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _orders(people: int, now: datetime) -> dict[str, Any]:
    """Everybody has to be at home all day, since an hour ago."""
    since = _iso(now - timedelta(hours=1))
    numbers = range(1, people + 1)
    return {
        "activations": [
            {"activation_id": f"A{n}", "device_id": f"D{n}", "wearer_id": f"W{n}", "from": since, "report_interval_s": 60}
            for n in numbers
        ],
        "requirements": [
            {"requirement_id": f"C{n}", "wearer_id": f"W{n}", "kind": "CURFEW", "from": since, "seen_within_s": 900,
             "geometry": {"type": "Circle", "centre": list(HOME), "radius_m": 60},
             "timetable": [{"day": day, "start": "00:00", "end": "00:00"} for day in DAYS]} for n in numbers
        ],
        "wearers": [{"wearer_id": f"W{n}", "name": f"Person {n}"} for n in numbers],
    }  # fmt: skip


def _position(seq: int, at: datetime, place: tuple[float, float]) -> dict[str, Any]:
    return {"seq": seq, "type": "position", "fix_time": _iso(at), "lat_deg": place[1], "lon_deg": place[0], "precision_m": 6,
            "mechanism": "GPS"}  # fmt: skip


class Tags:
    """What the tags of the people send, over HTTP."""

    def __init__(self, http: aiohttp.ClientSession, keys: dict[str, str]) -> None:
        self._http = http
        self._keys = keys
        self._seqs = dict.fromkeys(keys, 0)

    async def _send(self, device: str, reports: list[dict[str, Any]]) -> None:
        headers = {"Authorization": f"Bearer {self._keys[device]}"}
        async with self._http.post(
            f"/v1/devices/{device}/reports", json={"boot": 1, "reports": reports}, headers=headers
        ) as answer:
            assert answer.status == 200, await answer.text()

    def _next(self, device: str) -> int:
        self._seqs[device] += 1
        return self._seqs[device]

    async def is_out(self, number: int, now: datetime) -> None:
        """At home, and then away: each at a minute of their own, so that they are no burst."""
        device, left = f"D{number}", now - timedelta(minutes=2 + number % 50)
        places = [
            (left - timedelta(seconds=50), HOME),
            (left, AWAY),
            (left + timedelta(seconds=30), AWAY),
            (left + timedelta(seconds=60), AWAY),
        ]
        await self._send(device, [_position(self._next(device), at, place) for at, place in places])

    async def strap_is_cut(self, number: int) -> None:
        device = f"D{number}"
        now = datetime.now(UTC)
        event = {"seq": self._next(device), "type": "event", "event": "STRAP_TAMPER", "event_time": _iso(now)}
        await self._send(device, [event])


class Operator:
    """Hands on a keyboard, or on a mouse, which are counted."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.presses = 0

    async def press(self, key: str) -> None:
        self.presses += 1
        await self.page.keyboard.press(key)

    async def tab_to(self, selector: str) -> None:
        """Backwards where that is not found within sixty."""
        for _ in range(120):
            if await self.page.evaluate("s => document.activeElement.matches(s)", selector):
                return
            await self.press("Tab")
        raise AssertionError(f"Tab does not lead to {selector}")

    async def click(self, selector: str) -> None:
        self.presses += 1
        await self.page.click(selector)

    async def timed(self, name: str, work: Callable[[], Awaitable[None]]) -> Step:
        self.presses, began = 0, time.perf_counter()
        await work()
        return Step(name, self.presses, time.perf_counter() - began)


async def seen(operator: Operator, tags: Tags, number: int) -> None:
    await tags.strap_is_cut(number)
    await operator.page.wait_for_selector("#show-new:not([hidden])")


async def opened(operator: Operator) -> None:
    await operator.page.wait_for_url("**/alerts/*")
    await operator.page.wait_for_load_state()


async def done(operator: Operator, where: str) -> None:
    await operator.page.wait_for_url(where)
    await operator.page.wait_for_load_state()


class ByKeyboard(Operator):
    """Letters where the pages have them, and Tab."""

    async def acknowledge(self, _: int) -> None:
        await self.press("n")
        async with self.page.expect_response("**/actions"):
            await self.press("a")

    async def open(self, _: int) -> None:
        await self.press("Enter")
        await opened(self)

    async def call(self, _: int) -> None:
        await self.press("c")
        await self.tab_to("button[value='called']")
        await self.press("Enter")
        await done(self, "**/alerts/*done=called*")

    async def close(self, _: int) -> None:
        await self.press("o")
        await self.press("Space")
        await self.tab_to("#note")
        await self.page.keyboard.type(NOTE)
        await self.tab_to("button[value='closed']")
        await self.press("Enter")
        await self.page.wait_for_selector("#confirmed")
        await self.tab_to("#confirmed")
        await self.press("Space")
        await self.tab_to("button[value='closed']")
        await self.press("Enter")
        await done(self, "**/alerts")


class ByMouse(Operator):
    """Clicks; a note is typed."""

    async def acknowledge(self, number: int) -> None:
        await self.click("#show-new")
        async with self.page.expect_response("**/actions"):
            await self.click(f"[data-alert]:has-text('Person {number} ') .em-row__do button")

    async def open(self, number: int) -> None:
        await self.click(f"[data-alert]:has-text('Person {number} ') a >> nth=0")
        await opened(self)

    async def call(self, _: int) -> None:
        await self.click("summary:has-text('Calls, messages')")
        await self.click("button[value='called']")
        await done(self, "**/alerts/*done=called*")

    async def close(self, _: int) -> None:
        await self.click("input[name='outcome'] >> nth=0")
        await self.page.fill("#note", NOTE)
        await self.click("button[value='closed']")
        await self.page.wait_for_selector("#confirmed")
        await self.click("#confirmed")
        await self.click("button[value='closed']")
        await done(self, "**/alerts")


async def walk(operator: ByKeyboard | ByMouse, tags: Tags, number: int) -> list[Step]:
    await operator.page.goto(operator.page.url.partition("/alerts")[0] + "/alerts")
    await operator.page.wait_for_selector("#live-bar")
    await operator.page.mouse.wheel(0, 2_000)  # somewhere in the list
    return [
        await operator.timed("see", lambda: seen(operator, tags, number)),
        await operator.timed("acknowledge", lambda: operator.acknowledge(number)),
        await operator.timed("open", lambda: operator.open(number)),
        await operator.timed("log a call", lambda: operator.call(number)),
        await operator.timed("close, and confirm that it lasts", lambda: operator.close(number)),
    ]


async def filled(settings: Settings, people: int) -> tuple[dict[str, str], str]:
    """Keys of the tags, and the password of the operator."""
    now = datetime.now(UTC)
    keys = await import_with_keys(settings, read_orders_of(_orders(people, now), "the walk"), who="benchmark")
    async with database(None, settings.data_dir, program="benchmark", exclusive=False) as dsn:
        connection = await connect(dsn)
        try:
            now_ms = time.time_ns() // 1_000_000
            password = await add_user(connection, "Operator", Role.OPERATOR, None, who="benchmark", now_ms=now_ms)
            await let_password_stay(connection, "Operator")
        finally:
            await connection.close()
    return keys, password


async def rounds(settings: Settings, people: int, count: int) -> dict[str, list[list[Step]]]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("No Chromium: `make browser` installs Debian's, CHROMIUM=/path/to/chromium names another.")
    keys, password = await filled(settings, people + 2 * count)
    arguments = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    found: dict[str, list[list[Step]]] = {"keyboard": [], "mouse": []}
    async with aiohttp.ClientSession(settings.base_url) as http, async_playwright() as playwright:
        tags, now = Tags(http, keys), datetime.now(UTC)
        for number in range(1, people + 1):
            await tags.is_out(number, now)
        async with await playwright.chromium.launch(executable_path=chromium, args=arguments) as browser:
            page = await browser.new_page(viewport={"width": 1366, "height": 768})
            await page.goto(f"{settings.base_url}/login?next=/alerts")
            await page.fill("#name", "Operator")
            await page.fill("#password", password)
            await page.click("main button")
            await page.wait_for_load_state()
            if "/shift" in page.url:
                await page.click("main button")
            await page.goto(f"{settings.base_url}/alerts")
            for n in range(count):
                found["keyboard"].append(await walk(ByKeyboard(page), tags, people + 1 + 2 * n))
                found["mouse"].append(await walk(ByMouse(page), tags, people + 2 + 2 * n))
    return found


def report(found: dict[str, list[list[Step]]]) -> list[str]:
    lines = ["| step | keys | seconds | clicks | seconds |", "|---|---|---|---|---|"]
    for steps in zip(*(zip(*walks, strict=True) for walks in found.values()), strict=True):
        cells = [
            f"{max(s.presses for s in each)} | {statistics.median(s.took_s for s in each):.2f}" for each in steps
        ]
        lines.append(f"| {steps[0][0].name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--open", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with served() as settings:
        found = asyncio.run(rounds(settings, options.open, options.rounds))
    print("\n".join(report(found)))


if __name__ == "__main__":
    main()
