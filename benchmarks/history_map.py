"""How long a person waits for the map of a fortnight, and how smoothly it moves.

    python -m benchmarks.history_map [--days 14] [--rounds 5] [--write docs/performance.md]

Starts the service as a program of its own on an embedded database in a temporary folder, and sends it a position a minute of one
invented person, over HTTP. Then headless Chromium without a GPU, at 1366 × 768, opens the history: in each round a browser of its own
with nothing in its cache, logs in and gives a reason before the clock starts. Printed are

    first picture     from the request for the page until all positions are drawn on the map
    a frame           between two pictures while the map is dragged to and fro for some seconds, with the town and with a day in view
    played            the same while it is played back at 600 times: ten positions a second, and a part of the table each 25 seconds
    sent              bytes of all answers together, as they came over the wire
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import re
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import numpy as np
from playwright.async_api import Browser, Page, async_playwright

from benchmarks.serving import served
from emtrack.db.connect import connect, database
from emtrack.emulator.world import build_world
from emtrack.forms.reading import read_orders_of
from emtrack.orders.importing import import_with_keys
from emtrack.people.accounts import add_user, let_password_stay
from emtrack.people.roles import Role
from emtrack.settings import Settings
from geofence import format_instant

BEGIN, END = "<!-- history-map begin -->", "<!-- history-map end -->"
MINUTE_MS = 60_000
DAY_MS = 86_400_000
LARGEST = 500
MOVES = 150
PLAYED_MS = 30_000
STEP_PX = 6
WHO = "benchmark"
# Marks are set in the page: what is asked of a browser from outside comes late.
WATCH = """
new MutationObserver(() => {
    if (!window.__drawn_ms && document.querySelector("#map[data-ready='true']")) window.__drawn_ms = performance.now();
}).observe(document, {subtree: true, childList: true, attributes: true, attributeFilter: ['data-ready']});
"""
FRAMES = """
() => { window.__frames = []; let last = performance.now();
    const next = (now) => { window.__frames.push(now - last); last = now; window.__more = requestAnimationFrame(next); };
    window.__more = requestAnimationFrame(next); }
"""
SENT = "performance.getEntries().reduce((sum, {transferSize = 0}) => sum + transferSize, 0)"


class Round(NamedTuple):
    """What one person saw. Times in ms."""

    first_picture: float
    town: list[float]
    day: list[float]
    played: list[float]
    sent: int


# ---------------------------------------------------------------------------------------------- the record


def fixes(days: int, now_ms: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Orders of a person, and where they were each minute: mostly GPS, a quarter Wi-Fi, some cells."""
    count = days * DAY_MS // MINUTE_MS
    begin_ms = now_ms - count * MINUTE_MS
    world = build_world(1, 7, begin_ms)
    at_ms = begin_ms + np.arange(count, dtype=np.int64) * MINUTE_MS
    wearer = world.wearers[0].wearer_id
    lon, lat = world.position(wearer, at_ms)
    rng = np.random.default_rng(7)
    mechanism = rng.choice(["GPS", "WIFI", "LBS"], count, p=[0.72, 0.25, 0.03])
    radius_m = {"GPS": (4, 30), "WIFI": (15, 60), "LBS": (200, 900)}
    reports = []
    for n in range(count):
        precision_m = round(float(rng.uniform(*radius_m[mechanism[n]])), 1)
        off_m = precision_m / 2 * rng.normal(size=2)
        reports.append(
            {"seq": n + 1, "type": "position", "fix_time": format_instant(int(at_ms[n])), "mechanism": str(mechanism[n]),
             "lat_deg": round(lat[n] + off_m[0] / 111_300, 6), "lon_deg": round(lon[n] + off_m[1] / 67_000, 6),
             "precision_m": precision_m, "speed_kmh": round(float(rng.uniform(0, 40)), 1)}
        )  # fmt: skip
    return world.orders(), reports


async def fill(settings: Settings, days: int) -> str:
    """Enter orders, send the positions, and make an account; its password."""
    form, reports = fixes(days, int(time.time() * 1000) - MINUTE_MS)
    keys = await import_with_keys(settings, read_orders_of(form, "orders"), who=WHO)
    device = form["activations"][0]["device_id"]
    headers = {"Authorization": f"Bearer {keys[device]}"}
    async with aiohttp.ClientSession(settings.base_url, headers=headers) as session:
        for begin in range(0, len(reports), LARGEST):
            await send(session, device, reports[begin : begin + LARGEST])
    async with database(settings.database_url, settings.data_dir, program=WHO, exclusive=False) as dsn:
        connection = await connect(dsn)
        try:
            stored = await connection.fetchval("SELECT count(*) FROM positions")
            assert stored == len(reports), f"{stored} of {len(reports)} are stored"
            password = await add_user(connection, WHO, Role.OFFICER, who=WHO, now_ms=int(time.time() * 1000))
            await let_password_stay(connection, WHO)
            await connection.execute("ANALYZE")
        finally:
            await connection.close()
    return password


async def send(session: aiohttp.ClientSession, device: str, part: Sequence[dict[str, Any]]) -> None:
    """Until it is taken: a device whose key was just made is known a moment later, and a service that is full says so."""
    for _ in range(300):
        async with session.post(f"/v1/devices/{device}/reports", json={"boot": 1, "reports": part}) as response:
            if response.status == 200:
                return
        await asyncio.sleep(0.2)
    raise SystemExit("The service took no reports for a minute.")


# ---------------------------------------------------------------------------------------------- the person at the page


async def looked_at(browser: Browser, address: str, password: str, days: int) -> Round:
    context = await browser.new_context(viewport={"width": 1366, "height": 768})
    page = await context.new_page()
    page.set_default_timeout(60_000)
    try:
        view = await view_of(page, address, password, days)
        return await seen(await fresh(browser, context), f"{address}{view}")
    finally:
        await context.close()


async def fresh(browser: Browser, context: Any) -> Page:
    """The same login in a browser that has nothing in its cache."""
    clean = await browser.new_context(
        viewport={"width": 1366, "height": 768}, storage_state=await context.storage_state()
    )
    page = await clean.new_page()
    page.set_default_timeout(60_000)
    await page.add_init_script(WATCH)
    return page


async def view_of(page: Page, address: str, password: str, days: int) -> str:
    """Log in, and give a reason; the address of the history. What it takes the first time (processes begin) is over then."""
    await page.goto(f"{address}/login?next=/wearers/1/history")
    await page.fill("#name", WHO)
    await page.fill("#password", password)
    await page.click("main button")
    await page.wait_for_load_state()
    if "/shift" in page.url:
        await page.check("#purpose")
        await page.click("main button")
    await page.goto(f"{address}/wearers/1/history")
    begin = time.strftime("%Y-%m-%dT%H:%M", time.localtime(time.time() - days * 86_400 + 120))
    await page.fill("[name=begin]", begin)
    await page.get_by_label("To review how the person keeps to the order").check()
    await page.get_by_role("button", name="Record and show").click()
    await page.wait_for_selector("#map[data-ready='true']")
    view = "/views/" + page.url.rpartition("/")[2]
    await page.goto("about:blank")
    return view


async def seen(page: Page, address: str) -> Round:
    await page.goto(address)
    await page.wait_for_selector("#map[data-ready='true']")
    first = float(await page.evaluate("window.__drawn_ms"))
    sent = int(await page.evaluate(SENT))
    town = await dragged(page)
    for _ in range(3):
        await page.click("#map [data-does=zoom-in]")
    await page.wait_for_timeout(1500)
    day = await dragged(page)
    played = await played_back(page)
    await page.context.close()
    return Round(first, town, day, played, sent)


async def played_back(page: Page) -> list[float]:
    """The times between frames while the history goes by at 600 times."""
    await page.select_option("#map [data-does=speed]", "600")
    await page.uncheck("#map [data-does=stops]", force=True)
    await page.click("#map [data-does=play]")
    await page.evaluate(FRAMES)
    await page.wait_for_timeout(PLAYED_MS)
    await page.evaluate("cancelAnimationFrame(window.__more)")
    went = await page.locator("#map [data-shows=known]").inner_text()
    assert await page.locator("#map [data-does=play]").inner_text() == "Pause", f"it still goes on: {went}"
    frames: list[float] = await page.evaluate("window.__frames")
    return frames[1:]


async def dragged(page: Page) -> list[float]:
    """The times between frames while the map is dragged to and fro."""
    box = await page.locator("#map canvas").first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + min(box["height"], 300) / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.evaluate(FRAMES)
    for n in range(MOVES):
        far = STEP_PX * (n % 50 if n // 50 % 2 == 0 else 50 - n % 50)
        await page.mouse.move(x - far, y - far / 3)
    await page.evaluate("cancelAnimationFrame(window.__more)")
    await page.mouse.up()
    frames: list[float] = await page.evaluate("window.__frames")
    return frames[1:]


# ---------------------------------------------------------------------------------------------- what is printed


async def rounds(settings: Settings, days: int, count: int) -> list[Round]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("No Chromium: `make browser` installs Debian's, CHROMIUM=/path/to/chromium names another.")
    password = await fill(settings, days)
    arguments = ["--disable-gpu", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    found = []
    async with async_playwright() as playwright:
        for _ in range(count):
            async with await playwright.chromium.launch(executable_path=chromium, args=arguments) as browser:
                found.append(await looked_at(browser, settings.base_url, password, days))
    return found


def report(found: list[Round], days: int) -> list[str]:
    def quantile(values: list[float], share: float) -> float:
        return sorted(values)[min(len(values) - 1, int(share * len(values)))]

    first = [one.first_picture for one in found]
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores, no GPU, Chromium at 1366 × 768, {days * 1440:,} positions of {days} days, "
        f"{len(found)} rounds, each with an empty cache; load of the machine (5 minutes): {os.getloadavg()[1]:.1f}.",
        "",
        "| | median | slowest round |",
        "|---|---:|---:|",
        f"| first picture, ms | {statistics.median(first):.0f} | {max(first):.0f} |",
    ]
    shown = {
        "town in view": [one.town for one in found],
        "day in view": [one.day for one in found],
        "played at 600 times": [one.played for one in found],
    }
    for name, frames in shown.items():
        for share in (0.5, 0.95):
            each = [quantile(times, share) for times in frames]
            lines.append(
                f"| a frame, {name}, p{share * 100:.0f}, ms | {statistics.median(each):.1f} | {max(each):.1f} |"
            )
    sent = [one.sent / 1024 for one in found]
    return [*lines, f"| sent, KiB | {statistics.median(sent):.0f} | {max(sent):.0f} |"]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.history_map", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--basemap", default="", help="a file of tiles, as EMTRACK_BASEMAP names it")
    parser.add_argument("--write", type=Path, help="a page whose part between the markers is written anew")
    options = parser.parse_args()
    more = {"EMTRACK_BASEMAP": options.basemap} if options.basemap else {}
    with served(**more) as settings:
        found = asyncio.run(rounds(settings, options.days, options.rounds))
    out = "\n".join(report(found, options.days))
    print(out)
    if options.write:
        part = f"{BEGIN}\n{out}\n{END}"
        options.write.write_text(
            re.sub(f"{BEGIN}.*{END}", lambda _: part, options.write.read_text(), flags=re.DOTALL)
        )


if __name__ == "__main__":
    main()
