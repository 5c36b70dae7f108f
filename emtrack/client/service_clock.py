"""The service's clock, read over HTTP and carried on by the local monotonic clock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

log = logging.getLogger(__name__)
SECOND_MS = 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RESYNC_S = 30.0
READ_TIMEOUT_S = 10.0


class ServiceClock:
    """What time the service says it is. `connect` reads it; `sleep_until` reads it again now and then.

    Between readings it runs at the service's own rate. A reading that fails is logged, and the last one carried on.
    """

    def __init__(
        self,
        base_url: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        resync_s: float = RESYNC_S,
    ) -> None:
        self.rate = 1.0
        self.emulated = False
        self._url = f"{base_url.rstrip('/')}/v1/time"
        self._monotonic = monotonic
        self._sleep = sleep
        self._resync_s = resync_s
        self._read_at_s: float | None = None
        self._tried_at_s = 0.0
        self._now_ms = 0.0

    @classmethod
    async def connect(cls, base_url: str, **options: Any) -> ServiceClock:
        """A clock that was read once. Raises aiohttp.ClientError, TimeoutError or ValueError if it cannot be."""
        clock = cls(base_url, **options)
        await clock.refresh()
        return clock

    async def refresh(self) -> None:
        """Read the service's clock. Raises aiohttp.ClientError, TimeoutError or ValueError, and keeps the last reading."""
        self._tried_at_s = self._monotonic()
        timeout = aiohttp.ClientTimeout(total=READ_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self._url) as answer:
            answer.raise_for_status()
            body = await answer.json()
        # As if the service had told it only now: this clock may be late by the way of the answer, and is never early.
        self._take(body, self._monotonic())

    def _take(self, body: Any, read_at_s: float) -> None:
        try:
            now = datetime.fromisoformat(body["now"])
            rate = float(body["rate"])
            emulated = bool(body["emulated"])
        except (KeyError, TypeError) as wrong:
            raise ValueError(f"{self._url} does not tell the time: {body!r}") from wrong
        if now.tzinfo is None or rate <= 0:
            raise ValueError(f"{self._url} does not tell the time: {body!r}")
        self._now_ms, self._read_at_s = float(_ms_of(now)), read_at_s
        self.rate, self.emulated = rate, emulated

    def now_ms(self) -> int:
        """The service's time, in milliseconds of UTC. Raises RuntimeError before the first reading."""
        if self._read_at_s is None:
            raise RuntimeError("the service's clock was never read: call refresh() first")
        return int(self._now_ms + (self._monotonic() - self._read_at_s) * SECOND_MS * self.rate)

    def monotonic_s(self) -> float:
        """The local clock behind this one, in real seconds from anywhere."""
        return self._monotonic()

    async def sleep_s(self, seconds: float) -> None:
        """Sleep real seconds."""
        await self._sleep(seconds)

    async def sleep_until(self, at_ms: int) -> None:
        """Return when the service's clock shows `at_ms`; at once if it has passed."""
        while (left_ms := at_ms - self.now_ms()) > 0:
            stale_s = self._resync_s - (self._monotonic() - self._tried_at_s)
            if stale_s <= 0:
                await self._refresh_or_go_on()
                continue
            await self._sleep(min(left_ms / SECOND_MS / self.rate, stale_s))

    async def _refresh_or_go_on(self) -> None:
        try:
            await self.refresh()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as wrong:
            log.warning(
                "the service's clock could not be read, the last reading is carried on: %s", type(wrong).__name__
            )


def _ms_of(instant: datetime) -> int:
    """Milliseconds since 1970 of an instant with a zone."""
    return (instant - EPOCH) // timedelta(milliseconds=1)
