"""Listens for the canary's alerts: a webhook on this machine, like those of others."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web

from emtrack.delivery.webhook import signature_of

LARGEST = 1 << 20
TIMELY_S = 300


class Heard:
    """What was delivered. `secret` is set when it is known."""

    def __init__(self) -> None:
        self.secret = ""
        self._sung = asyncio.Event()

    async def receive(self, request: web.Request) -> web.Response:
        """A delivery; what is not signed by our service, or is old, is refused."""
        body = await request.read()
        delivery_id, stamp = request.headers.get("webhook-id", ""), request.headers.get("webhook-timestamp", "")
        if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12 or abs(time.time() - int(stamp)) > TIMELY_S:
            return web.Response(status=400)
        expected = signature_of(self.secret, delivery_id, int(stamp), body)
        if not self.secret or not hmac.compare_digest(
            expected.encode(), request.headers.get("webhook-signature", "").encode()
        ):
            return web.Response(status=401)
        messages = msgspec.json.decode(body)["data"]["messages"]
        if any(message.get("kind") == "TAMPER" for message in messages):
            self._sung.set()
        return web.Response(status=204)

    def forget(self) -> None:
        self._sung.clear()

    async def wait(self, seconds: float) -> bool:
        """Whether an alert came within so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._sung.wait()
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def listening(heard: Heard) -> AsyncIterator[str]:
    """The address at which it is reached, on this machine only."""
    application = web.Application(client_max_size=LARGEST)
    application.router.add_post("/", heard.receive)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
