"""The page that stands at the demo's address while its past is being built: what is being done, and how far it is.

It is there within seconds of the start, so that nobody looks at a refused connection; when the service takes the address over, the
same tab shows the service, because the page asks for itself again. No script.
"""

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from emtrack.service.http_server import listening, places_of
from emtrack.settings import Settings

ASKED_AGAIN_S: Final = 2

PAGE: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{again}"><title>emtrack is being prepared</title>
<style>body {{ font: 1.2rem/1.5 Arial, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem; color: #0b0c0c }}
progress {{ width: 100%; height: 1.5rem }}</style></head>
<body><main><h1>emtrack is being prepared</h1>
<p>{what}</p>
<p><label for="how-far">How far it is: {percent}</label><br><progress id="how-far" max="100" value="{value}">{percent}</progress></p>
<p>This page looks again by itself. When everything is ready it shows where to log in; the names and passwords are in the window in
which you started the demonstration.</p>
<p>Everybody in it is invented.</p></main></body></html>
"""


class Waiting:
    """What the page says. `share`: 0 to 1."""

    def __init__(self) -> None:
        self.what = "The database is being started."
        self.share = 0.0

    def page(self) -> str:
        percent = round(self.share * 100)
        return PAGE.format(again=ASKED_AGAIN_S, what=html.escape(self.what), percent=f"{percent} %", value=percent)

    async def show(self, _: Request) -> HTMLResponse:
        headers = {"Cache-Control": "no-store", "Retry-After": str(ASKED_AGAIN_S)}
        return HTMLResponse(self.page(), 503, headers)


@asynccontextmanager
async def shown(waiting: Waiting, settings: Settings) -> AsyncIterator[None]:
    """At the address of the demo, until the block ends. Raises SettingsError if another program has the address."""
    application = Starlette(routes=[Route("/{path:path}", waiting.show)])
    async with listening(application, settings, places_of(settings), asyncio.Event()):
        yield
