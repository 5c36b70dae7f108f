"""A monitoring centre for a test: the running service, people on orders, tokens and accounts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import aiohttp
import asyncpg
from argon2 import PasswordHasher
from starlette.routing import BaseRoute

from emtrack.clock import clock_of
from emtrack.db.connect import connect
from emtrack.forms.reading import read_orders
from emtrack.orders.entry import enter_with_keys
from emtrack.people.accounts import add_user, let_password_stay
from emtrack.people.roles import Role
from emtrack.people.tokens import add_token
from emtrack.service.app import running_service
from emtrack.service.worker import Pace
from emtrack.settings import ClockSetting, Settings
from geofence.words import parse_instant
from tests.service_world import AWAY, HOME, activation, curfew, iso

ZONE = [[-2.18, 53.01], [-2.17, 53.01], [-2.17, 53.016], [-2.18, 53.016], [-2.18, 53.01]]
"""AWAY lies in it."""
EXCLUSION = {
    "requirement_id": "X1", "wearer_id": "W1", "kind": "EXCLUSION", "from": "2026-03-01T00:00:00Z", "buffer_m": 100,
    "geometry": {"type": "Polygon", "coordinates": [ZONE]}, "timetable": [{"day": "TUE", "start": "00:00", "end": "00:00"}],
}  # fmt: skip
IOM = {
    "rag": "GREEN", "mappa_category": 1, "mappa_level": 1, "cohort": "FIXED", "pathways": ["HEALTH"],
    "agencies": ["Police", "Probation Service"], "lead_officer": "B. Ash", "lead_agency": "Police",
    "pnc": "DEMO/0000001P", "crn": "DEMO-X000001", "nomis": "DEMO-A00001ZZ", "ecins": "DEMO-E000001",
}  # fmt: skip
ORDERS = {
    "activations": [activation(1), activation(2)],
    "requirements": [curfew(1), curfew(2), EXCLUSION],
    "wearers": [
        {"wearer_id": "W1", "name": "Ann Other", "iom": IOM},
        {"wearer_id": "W2", "iom": {"rag": "RED", "mappa_level": 3}},
    ],
}
QUICK_HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
"""The parameters of a password are kept with it, so who logs in need not know them."""
BEGINS = "2026-03-02T20:00:00Z"
ALIVE = "SELECT alive_at FROM liveness"


class Office(NamedTuple):
    """A running service, two people on orders, and a token for each role."""

    address: str
    http: aiohttp.ClientSession
    tokens: dict[str, str]
    keys: dict[str, str]
    connection: asyncpg.Connection
    routes: Sequence[BaseRoute]
    settings: Settings
    heard: Sequence[str] = ()

    async def get(self, path: str, role: str = "operator", **headers: str) -> tuple[int, Any]:
        async with self.http.get(path, headers=self.bearer(role) | headers) as response:
            return response.status, await response.json()

    async def post(self, path: str, body: Any, role: str = "operator") -> tuple[int, Any]:
        async with self.http.post(path, json=body, headers=self.bearer(role)) as response:
            return response.status, await response.json()

    def bearer(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.get(role, 'nobody')}"}

    async def report(self, device: str, *reports: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {self.keys[device]}"}
        body = {"boot": 1, "reports": list(reports)}
        async with self.http.post(f"/v1/devices/{device}/reports", json=body, headers=headers) as response:
            assert response.status == 200, await response.text()

    async def tried(self, body: Any, headers: dict[str, str]) -> Any:
        """A trial of what if, begun by a program and followed to its end."""
        async with self.http.post("/v1/what-if", json=body, headers=headers) as response:
            told = await response.json()
            assert response.status == 202, told
        for _ in range(400):
            async with self.http.get(f"/v1/what-if/{told['run_no']}", headers=headers) as response:
                told = await response.json()
            if told["state"] != "running":
                return told
            await asyncio.sleep(0.02)
        raise AssertionError("not within 8 s")

    async def account(self, role: Role = Role.OPERATOR, name: str = "Ann", agency: str | None = None) -> str:
        """A new account; its password, which may stay."""
        password = await self.fresh_account(role, name, agency)
        await let_password_stay(self.connection, name)
        return password

    async def fresh_account(self, role: Role = Role.OPERATOR, name: str = "Ann", agency: str | None = None) -> str:
        """A new account; its password, which must be changed at the first login."""
        return await add_user(self.connection, name, role, agency, who="test", now_ms=parse_instant(BEGINS))

    async def token_of(self, role: Role, agency: str) -> str:
        """A key to `bearer`: a token of an agency."""
        key = f"{role} of {agency}"
        now_ms = parse_instant(BEGINS)
        self.tokens[key] = await add_token(self.connection, key, role, agency, who="test", now_ms=now_ms)
        return key

    async def two_are_out(self) -> None:
        await self.report("D1", away("19:50", 1), away("19:52", 2))
        await self.report("D2", away("19:51", 1), away("19:53", 2))

    async def falls_silent_with(self, network: str) -> None:
        """All alerts there are belong to a platform incident of a network, which is alert 900."""
        await self.connection.execute(
            "INSERT INTO alerts (alert_no, kind, severity, raised_at, known_at, network) "
            "VALUES (900, 'PLATFORM_INCIDENT', 1, now(), now(), $1)",
            network,
        )
        await self.connection.execute("UPDATE alerts SET incident_no = 900 WHERE network IS NULL")
        await self.connection.execute(
            "INSERT INTO network_silences (finding_no, network, activation_no, begin_at, incident_no) "
            "SELECT o.finding_no, $1, a.activation_no, a.known_at, 900 "
            "FROM alerts a JOIN alert_occurrences o USING (alert_no) WHERE a.network IS NULL",
            network,
        )


def away(at: str, seq: int, place: tuple[float, float] = AWAY) -> dict[str, Any]:
    return {"seq": seq, "type": "position", "fix_time": iso(at), "lat_deg": place[1], "lon_deg": place[0], "precision_m": 6,
            "mechanism": "GPS"}  # fmt: skip


def at_home(at: str, seq: int) -> dict[str, Any]:
    return away(at, seq, HOME)


def strap(at: str, seq: int) -> dict[str, Any]:
    return {"seq": seq, "type": "event", "event": "STRAP_TAMPER", "event_time": iso(at)}


@asynccontextmanager
async def open_office(
    database_url: str, data_dir: Path, form: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[Office]:
    """From 20:00 on the emulated clock, which runs as time does. `more`: other settings."""
    clock = ClockSetting(parse_instant(BEGINS), 1.0)
    settings = Settings(data_dir=data_dir, database_url=database_url, listen="127.0.0.1:0", clock=clock, **more)
    # A turn without reports waits less, so that orders are taken in and the service ends at once.
    pace = Pace(max_wait_s=0.05)
    with mock.patch("emtrack.people.hashing._hasher", QUICK_HASHER):
        connection = await connect(database_url)
        try:
            keys, tokens = await _entered(connection, clock, form or ORDERS)
            async with (
                running_service(settings, asyncio.Event(), pace) as service,
                aiohttp.ClientSession(service.address) as http,
            ):
                await _first_turn(connection)
                yield Office(service.address, http, tokens, keys, connection, service.routes, settings, service.heard)
        finally:
            await connection.close()


async def _first_turn(connection: asyncpg.Connection) -> None:
    """Everybody is judged up to when it began."""
    before = await connection.fetchval(ALIVE)
    while await connection.fetchval(ALIVE) == before:  # noqa: ASYNC110  the service, which says it there
        await asyncio.sleep(0.01)


async def _entered(
    connection: asyncpg.Connection, clock: ClockSetting, form: dict[str, Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """Before the service begins, which then need not take it in: the keys of devices, and a token for each role."""
    await clock_of(connection, clock, adopt=False)
    now_ms = parse_instant(BEGINS)
    tokens = {str(role): f"token of the {role}" for role in Role}
    async with connection.transaction():
        keys = await enter_with_keys(connection, read_orders(json.dumps(form), "orders"), who="test", now_ms=now_ms)
        for role in Role:
            await add_token(connection, f"the {role}", role, who="test", now_ms=now_ms, token=tokens[role])
    return keys, tokens
