"""A browser for the tests of the pages: Debian's Chromium, driven by Playwright.

`open_page` gives pages that note all that goes wrong in them; `assert_clean` says that nothing did. A test that asks
for it is skipped where there is no Chromium: `make browser` brings one.
"""

from __future__ import annotations

import collections
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, Page, Request, async_playwright

NO_CHROMIUM = "no Chromium: `make browser` installs Debian's, CHROMIUM=/path/to/chromium names another"
OPTIONS = [
    "--headless",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--disable-background-networking",
    "about:blank",
]
WAIT_AT_MOST_S = 15
WCAG_2_2_AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Blocked loads and blocked styles raise this event wherever they happen in the page; the listener is there first.
NOTE_VIOLATIONS = """
addEventListener('securitypolicyviolation', (event) =>
    window.__policyViolation(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""

OpenPage = Callable[..., Awaitable["WatchedPage"]]


class WatchedPage:
    """A page and what went wrong in it. Use it as Playwright's page: `page.click(...)`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.console: list[str] = []
        self.errors: list[str] = []
        self.failed_requests: list[str] = []
        self.request_urls: list[str] = []
        self.policy_violations: list[str] = []
        page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("requestfailed", self._note_failed)
        page.on("request", lambda request: self.request_urls.append(request.url))

    def _note_failed(self, request: Request) -> None:
        """What follows an alert ends with its page."""
        follows = re.search(r"/v1/alerts/stream|/alerts/\d+/state$", request.url) is not None
        if not (follows and "ERR_ABORTED" in (request.failure or "")):
            self.failed_requests.append(f"{request.url}: {request.failure}")

    async def watch_policy(self) -> None:
        await self.page.expose_function(
            "__policyViolation", lambda violation: self.policy_violations.append(violation)
        )
        await self.page.add_init_script(NOTE_VIOLATIONS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.page, name)

    def requests_beyond(self, origin: str) -> list[str]:
        return [url for url in self.request_urls if not url.startswith((f"{origin}/", "data:"))]

    def assert_clean(self, origin: str) -> None:
        """Nothing in the console, no error, nothing blocked by the policy, no request to anybody else."""
        assert self.console == []
        assert self.errors == []
        assert self.policy_violations == []
        assert self.failed_requests == [], self.failed_requests
        assert self.requests_beyond(origin) == []


@pytest.fixture(scope="session")
def chromium() -> Iterator[str]:
    """Where the browser of the session listens. One browser for all tests: a new one for each would double their time."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None or not Path(program).exists():
        pytest.skip(NO_CHROMIUM)
    with tempfile.TemporaryDirectory(prefix="emtrack-chromium-", ignore_cleanup_errors=True) as profile:
        options = [*OPTIONS, f"--user-data-dir={profile}"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium's sandbox refuses to start as root
        with subprocess.Popen([program, *options], stderr=subprocess.PIPE, text=True) as process:
            try:
                yield _address(process)
            finally:
                process.terminate()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if listening := re.match(r"DevTools listening on (ws://\S+)", line):
            # What it says from here on is thrown away: with nobody to read it, it would stop when the pipe is full.
            Thread(target=collections.deque, args=(process.stderr, 0), daemon=True).start()
            return listening[1]
    raise RuntimeError(f"Chromium ended before it listened. It said:\n{''.join(said)}")


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """The browser, held by this test's own event loop."""
    async with async_playwright() as playwright, await playwright.chromium.connect_over_cdp(chromium) as connected:
        yield connected


@pytest.fixture
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """`page = await open_page(url, width=320)`. Further arguments are Playwright's for a browser context: each page has
    its own cookies and storage, as another person at another desk has."""
    async with AsyncExitStack() as opened:

        async def open_one(url: str, *, width: int = 1280, height: int = 1000, **context: Any) -> WatchedPage:
            desk = await opened.enter_async_context(
                await browser.new_context(
                    viewport={"width": width, "height": height}, reduced_motion="reduce", **context
                )
            )
            desk.set_default_timeout(WAIT_AT_MOST_S * 1000)
            page = WatchedPage(await desk.new_page())
            await page.watch_policy()
            await page.goto(url)
            return page

        yield open_one


async def axe(page: WatchedPage, *, impacts: tuple[str, ...] = ("serious", "critical")) -> list[str]:
    """What axe finds on the page: "rule: what it is [where]", of the given impacts."""
    await page.evaluate(AXE_SCRIPT)
    found = await page.evaluate(
        "tags => axe.run({runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})", WCAG_2_2_AA
    )
    return [
        f"{violation['id']}: {violation['help']} {[node['target'] for node in violation['nodes']]}"
        for violation in found["violations"]
        if violation["impact"] in impacts
    ]
