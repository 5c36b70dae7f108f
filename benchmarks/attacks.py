"""What somebody does who wants to stop the service: each attack goes on until it is cancelled.

They are run by `benchmarks.hostile` in a process of their own, so that what they cost the attacker does not slow down those who
measure. The tests of `tests/hostile` say what must come of each.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp

from geofence import format_instant

DAY_MS = 86_400_000


class Target(NamedTuple):
    """`token`: of an officer. `device_id`, `key`: of a tag that was stolen, whose activation began in 2000. `wearer`: somebody
    on orders. `of_a_century`: somebody whose orders begin in 1926."""

    address: str
    token: str
    device_id: str
    key: str
    wearer: str
    of_a_century: str
    now_ms: int


Attack = Callable[[Target, aiohttp.ClientSession], Awaitable[None]]


async def _again(count: int, once: Callable[[int], Awaitable[None]]) -> None:
    """So many at a time, for ever."""

    async def one(number: int) -> None:
        while True:
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                await once(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(one(number) for number in range(count)))


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def _read(answer: Any) -> None:
    async with answer as response:
        await response.read()


async def findings_of_a_century(target: Target, http: aiohttp.ClientSession) -> None:
    untils = [format_instant(target.now_ms), "2060-01-01T00:00:00Z"]

    async def ask(number: int) -> None:
        query = {"wearer": target.of_a_century, "until": untils[number % 2]}
        await _read(http.get("/v1/findings", params=query, headers=_bearer(target.token)))

    await _again(8, ask)


async def logins(target: Target, http: aiohttp.ClientSession) -> None:
    del target
    tried = iter(range(10**9))

    async def log_in(_: int) -> None:
        number = next(tried)
        source = {"X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
        await _read(http.post("/login", data={"name": f"name {number}", "password": "x" * 100}, headers=source))

    await _again(24, log_in)


async def heads_without_end(target: Target, http: aiohttp.ClientSession) -> None:
    del http

    async def send(_: int) -> None:
        reader, writer = await _connection(target)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        try:
            for _chunk in range(1_000):
                writer.write(b"x" * 65_536)
                await writer.drain()
        finally:
            writer.close()
        del reader

    await _again(16, send)


async def half_requests(target: Target, http: aiohttp.ClientSession) -> None:
    del http
    held: list[asyncio.StreamWriter] = []

    async def send(_: int) -> None:
        _reader, writer = await _connection(target)
        writer.write(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\nname=")
        held.append(writer)
        if len(held) >= 4_000:
            held.pop(0).close()
        await asyncio.sleep(0.01)

    await _again(16, send)


async def bodies_that_never_come(target: Target, http: aiohttp.ClientSession) -> None:
    del http
    head = (
        f"POST /v1/devices/{target.device_id}/reports HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {target.key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1048576\r\n\r\n"
    ).encode()

    async def send(_: int) -> None:
        reader, writer = await _connection(target)
        writer.write(head)
        try:
            await reader.readline()
        finally:
            writer.close()

    await _again(8, send)


async def new_days(target: Target, http: aiohttp.ClientSession) -> None:
    first_ms = 1_000_000_000_000

    async def bring(number: int) -> None:
        reports = [
            {"seq": n, "type": "position", "fix_time": format_instant(first_ms + (number * 1_000 + n) * DAY_MS),
             "lat_deg": 53.0, "lon_deg": -2.1, "precision_m": 6, "mechanism": "GPS"}
            for n in range(1_000)
        ]  # fmt: skip
        await _report(target, http, json.dumps({"boot": number, "reports": reports}).encode())

    await _again(8, bring)


async def bodies_in_bodies(target: Target, http: aiohttp.ClientSession) -> None:
    async def send(_: int) -> None:
        await _report(target, http, b'{"boot": 1, "reports": ' + b"[" * 500_000 + b"]" * 500_000 + b"}")

    await _again(4, send)


async def zones_of_many_corners(target: Target, http: aiohttp.ClientSession) -> None:
    async def put(number: int) -> None:
        corners = 80_000 if number == 0 else 9_990
        form = {"requirement_id": "X9", "wearer_id": target.wearer, "kind": "EXCLUSION", "from": "2026-03-01T00:00:00Z",
                "timetable": None, "geometry": {"type": "Polygon", "coordinates": [_star(corners)]}}  # fmt: skip
        await _read(http.put("/v1/requirements/X9", json=form, headers=_bearer(target.token)))

    await _again(2, put)


def _star(corners: int) -> list[list[float]]:
    turn = 2 * math.pi / corners
    ring = [
        [
            -2.17 + 0.01 * (1 + n % 2) * round(math.cos(turn * n), 5),
            53.0 + 0.01 * (1 + n % 2) * round(math.sin(turn * n), 5),
        ]
        for n in range(corners)
    ]
    return [*ring, ring[0]]


async def streams_and_reports_of_browsers(target: Target, http: aiohttp.ClientSession) -> None:
    async def open_one(number: int) -> None:
        if number % 2:
            await _read(http.post("/csp-reports", data=b"x" * 16_000))
            return
        async with http.get("/v1/alerts/stream", headers=_bearer(target.token)) as response:
            await response.content.readline()
            if response.status == 200:
                await asyncio.sleep(60)

    await _again(60, open_one)


async def _report(target: Target, http: aiohttp.ClientSession, body: bytes) -> None:
    headers = _bearer(target.key) | {"Content-Type": "application/json"}
    await _read(http.post(f"/v1/devices/{target.device_id}/reports", data=body, headers=headers))


async def _connection(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(target.address)
    return await asyncio.open_connection(address.hostname, address.port)


ATTACKS: dict[str, Attack] = {
    "findings of a century, and up to 2060": findings_of_a_century,
    "24 logins at a time, each from another address": logins,
    "16 heads without end": heads_without_end,
    "4,000 half requests": half_requests,
    "8 bodies of 1 MiB that never come": bodies_that_never_come,
    "8,000 new days": new_days,
    "bodies in bodies, 1 MB each": bodies_in_bodies,
    "zones of 80,000 and 9,990 corners": zones_of_many_corners,
    "30 streams, and reports of browsers": streams_and_reports_of_browsers,
}
