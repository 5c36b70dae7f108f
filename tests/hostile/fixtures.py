"""The running service under attack, and a device that reports meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar

import msgspec

from tests.office import ORDERS, Office, at_home
from tests.service_world import activation, curfew

Came = TypeVar("Came")
JSON = {"Content-Type": "application/json"}
LEAST_REPORTS = 2
"""Answers a second to the device that reports meanwhile; on two slow cores it is twenty and more."""
SINCE_1926 = "1926-03-02T00:00:00Z"


def orders_of_a_century() -> dict[str, Any]:
    """Of W2 the judgement takes seconds: a night each day since 1926."""
    old = [activation(2, **{"from": SINCE_1926})]
    nights = [curfew(2, **{"from": SINCE_1926})]
    return ORDERS | {
        "activations": [one for one in ORDERS["activations"] if one["device_id"] != "D2"] + old,
        "requirements": [one for one in ORDERS["requirements"] if one["requirement_id"] != "C2"] + nights,
    }


class Meanwhile:
    """The first device reports again and again, each time after the answer."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self.answered = 0

    async def run(self) -> None:
        headers = JSON | {"Authorization": f"Bearer {self._office.keys['D1']}"}
        for seq in range(1_000_000, 2_000_000):
            body = msgspec.json.encode({"boot": 1, "reports": [at_home("19:50", seq)]})
            async with self._office.http.post("/v1/devices/D1/reports", data=body, headers=headers) as response:
                if response.status == 200:
                    self.answered += 1


async def beside(office: Office, attack: Awaitable[Came], *, at_least_s: float = 1.0) -> Came:
    """What comes of an attack, beside which a device is heard all the time: the count is compared with how long it took."""
    meanwhile = Meanwhile(office)
    reports = asyncio.create_task(meanwhile.run())
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    came = await attack
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(reports), max(0.01, begun_s + at_least_s - loop.time()))
    took_s = loop.time() - begun_s
    reports.cancel()
    with suppress(asyncio.CancelledError):
        await reports
    assert meanwhile.answered >= LEAST_REPORTS * took_s, f"{meanwhile.answered} in {took_s:.1f} s"
    return came
