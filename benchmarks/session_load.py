"""Tags that send in tens over an ordinary HTTP client, for benchmarks that compare one thing with another under the same load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import aiohttp

from benchmarks.end_to_end import CONNECTIONS, TENS, Walk

FIXES_A_REQUEST = TENS.fixes_a_request


async def send(
    session: aiohttp.ClientSession,
    walks: Sequence[Walk],
    keys: Sequence[str],
    seconds: float,
    fixes_per_s: float | None,
) -> tuple[float, list[float]]:
    """Fixes acknowledged a second, and the latencies (s) of the requests. `fixes_per_s` None: as many as go."""
    latencies: list[float] = []
    started = time.perf_counter()
    pause_s = None if fixes_per_s is None else CONNECTIONS * FIXES_A_REQUEST / fixes_per_s

    async def courier(first: int) -> None:
        number, due = first, started + (0 if pause_s is None else pause_s * first / CONNECTIONS)
        while (now := time.perf_counter()) - started < seconds:
            if pause_s is not None:
                await asyncio.sleep(max(0.0, due - now))
                due += pause_s
            body = walks[number].request(FIXES_A_REQUEST)
            sent = time.perf_counter()
            headers = {"Authorization": f"Bearer {keys[number]}", "Content-Type": "application/json"}
            async with session.post(f"/v1/devices/D{number}/reports", data=body, headers=headers) as response:
                answer = await response.read()
                if response.status != 200:
                    raise RuntimeError(f"{response.status}: {answer.decode()}")
            latencies.append(time.perf_counter() - sent)
            number += CONNECTIONS
            if number >= len(walks):
                number = first

    await asyncio.gather(*(courier(first) for first in range(min(CONNECTIONS, len(walks)))))
    return len(latencies) * FIXES_A_REQUEST / (time.perf_counter() - started), latencies
