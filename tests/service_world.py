"""One deployment for a test: the real worker on a real database, with a clock that stands until the test moves it.

Times without a date are of Monday 2 March 2026, which is winter time in London: "19:00" is 19:00 UTC.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import msgspec

from emtrack.db.connect import connect
from emtrack.forms.lines import finding_lines
from emtrack.forms.reading import read_orders
from emtrack.metrics import Metrics
from emtrack.orders.entry import enter_orders
from emtrack.orders.importing import import_orders
from emtrack.reading.findings import findings_as_lines
from emtrack.record.entering import Entered
from emtrack.record.findings import load_shown
from emtrack.record.plans import load_assignments
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.service.app import Service, running_service
from emtrack.service.costs import USUAL
from emtrack.service.keys import DeviceKeys
from emtrack.service.worker import USUAL_PACE, Pace, Worker
from emtrack.settings import ClockSetting, Settings
from geofence.judgement import as_judged
from geofence.words import format_instant, parse_instant
from ingest.inbox import Inbox, Submission
from ingest.wire import Acknowledgement, read_request

HOME = (-2.1753, 53.0027)
AWAY = (-2.1753, 53.0127)
DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
LONG_S = 1_000_000
"""A report interval after which no test waits for silence."""


def ms(text: str) -> int:
    """ "19:00" (of 2 March), "03T07:00" (of another day of March) or a whole ISO time."""
    if len(text) in (5, 8) and "T" not in text:
        text = f"02T{text}"
    if len(text) < 16:
        text = f"2026-03-{text}"
    return parse_instant(text if text.endswith("Z") else text + "Z")


def iso(text: str) -> str:
    return format_instant(ms(text))


def position(seq: int, at: str, place: tuple[float, float] = HOME, **fields: Any) -> dict[str, Any]:
    return {
        "seq": seq, "type": "position", "fix_time": iso(at), "lat_deg": place[1], "lon_deg": place[0],
        "precision_m": 6, "mechanism": "GPS", **fields,
    }  # fmt: skip


def event(seq: int, at: str, what: str, **fields: Any) -> dict[str, Any]:
    return {"seq": seq, "type": "event", "event": what, "event_time": iso(at), **fields}


def activation(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "activation_id": f"A{number}", "device_id": f"D{number}", "wearer_id": f"W{number}",
        "from": "2026-03-02T08:00:00Z", "report_interval_s": LONG_S, **fields,
    }  # fmt: skip


def curfew(number: int = 1, **fields: Any) -> dict[str, Any]:
    """Every night. Who was out when it began need not have been seen in its last two minutes: the stories are of other things."""
    return {
        "requirement_id": f"C{number}", "wearer_id": f"W{number}", "kind": "CURFEW", "from": "2026-03-01T00:00:00Z",
        "geometry": {"type": "Circle", "centre": list(HOME), "radius_m": 60},
        "timetable": [{"day": day, "start": "19:00", "end": "07:00"} for day in DAYS], "seen_within_s": 900, **fields,
    }  # fmt: skip


def orders(*numbers: int, **fields: Any) -> dict[str, Any]:
    """Each number is a wearer with a device and a curfew every night; `fields` replace what is there."""
    numbers = numbers or (1,)
    return {"activations": [activation(n) for n in numbers], "requirements": [curfew(n) for n in numbers], **fields}


class FakeClock:
    """A clock that moves when it is told to."""

    rate = 1.0
    emulated = True

    def __init__(self, at: str) -> None:
        self.at_ms = ms(at)

    def now_ms(self) -> int:
        return self.at_ms


class Stopwatch:
    """The worker's, in the hands of a test: it runs until it is stopped, and is then where the test puts it."""

    def __init__(self) -> None:
        self.at_s: float | None = None

    def __call__(self) -> float:
        return time.monotonic() if self.at_s is None else self.at_s

    def stop(self) -> None:
        self.at_s = time.monotonic()

    def advance(self, seconds: float) -> None:
        """Of one that was stopped."""
        assert self.at_s is not None
        self.at_s += seconds


QUICK = Pace(max_wait_s=0.001)
"""A turn without reports does not wait for some."""


def with_provisional_ends(lines: Iterable[bytes | str]) -> list[dict[str, Any]]:
    """Lines of `emtrack findings`, as the rules have them."""
    told = [json.loads(line) for line in lines]
    for line in told:
        if since := line.pop("unknown_since", None):
            line["end"] = since
    return told


class World:
    """The worker, turn by turn."""

    def __init__(self, dsn: str, clock: Any, connection: asyncpg.Connection[Any]) -> None:
        self.dsn = dsn
        self.clock = clock
        self.connection = connection
        self.stopwatch = Stopwatch()
        self.budget = USUAL
        self.begin_anew()

    def begin_anew(self) -> None:
        self.inbox, self.keys, self.metrics = Inbox(50_000), DeviceKeys(), Metrics()
        pace = msgspec.structs.replace(QUICK, stopwatch=self.stopwatch, budget=self.budget)
        self.worker = Worker(self.dsn, self.clock, self.inbox, self.keys, self.metrics, pace=pace)

    async def start(self) -> None:
        """A worker that knows nothing loads everything, as after a restart of the program."""
        await self.worker.close()
        self.begin_anew()
        await self.worker._load(self.connection)

    async def enter(self, form: dict[str, Any], who: str = "officer") -> Entered:
        read = read_orders(json.dumps(form), "orders.json")
        async with self.connection.transaction():
            return await enter_orders(self.connection, read, who=who, now_ms=self.clock.now_ms())

    async def device_no(self, device_id: str) -> int:
        return await self.connection.fetchval("SELECT device_no FROM devices WHERE device_id = $1", device_id)

    async def submit(
        self, device_id: str, *reports: Any, boot: int = 1, **fields: Any
    ) -> asyncio.Future[Acknowledgement]:
        """A request waits in the inbox. `fields`: more of the request."""
        body = msgspec.json.encode({"boot": boot, "reports": list(reports), **fields})
        read = read_request(body, "application/json")
        done: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
        self.inbox.put(Submission.of(read, await self.device_no(device_id), done))
        return done

    async def turn(self) -> None:
        await self.worker.turn(self.connection)

    async def settle(self) -> None:
        """Turns, until nobody waits to be judged again."""
        activations = self.worker.activations
        for _ in range(3_000):
            await self.turn()
            waiting = self.worker._to_reload or self.worker._examining or self.worker._units_to_hear
            if not (activations.to_judge_again_count or waiting):
                return
            await asyncio.sleep(0.01)  # another process: there is nothing to wait on but its answer
        raise AssertionError("somebody still waits to be judged again")

    async def send(self, device_id: str, *reports: Any, boot: int = 1, **fields: Any) -> Acknowledgement:
        """A request, and the turn that answers it."""
        done = await self.submit(device_id, *reports, boot=boot, **fields)
        await self.turn()
        return await done

    async def wait_until(self, at: str) -> None:
        """Only the clock moves."""
        self.clock.at_ms = ms(at)
        await self.turn()

    async def send_at(self, at: str, device_id: str, *reports: Any, boot: int = 1, **fields: Any) -> Acknowledgement:
        self.clock.at_ms = ms(at)
        return await self.send(device_id, *reports, boot=boot, **fields)

    async def lines(self) -> list[dict[str, Any]]:
        """Findings that are recorded, as the rules have them: with ends that are provisional."""
        assignments = await load_assignments(self.connection, self.worker._now_ms)
        shown = await load_shown(self.connection, dict.fromkeys(assignments, None))
        pairs = [(assignments[n].plan.activation, as_judged(s.finding)) for n, found in shown.items() for s in found]
        return [json.loads(line) for line in finding_lines(pairs)]

    async def findings(self) -> list[str]:
        return [told(line) for line in await self.lines()]

    async def count(self, table: str) -> int:
        return await self.connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608

    async def versions(self) -> list[str]:
        """Every version of every finding that was ever recorded: kind, change, reason."""
        rows = await self.connection.fetch(
            "SELECT f.kind, v.change, v.reason FROM finding_versions v JOIN findings f USING (finding_no) "
            "ORDER BY v.finding_no, v.version"
        )
        return [" ".join(filter(None, row)) for row in rows]

    async def outages(self) -> list[str]:
        rows = await self.connection.fetch("SELECT lower(during), upper(during), cause FROM outages ORDER BY during")
        return [f"{_wall(row[0])}–{_wall(row[1])} {row[2]}" for row in rows]


def _wall(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone(UTC).strftime("%H:%M:%S").removesuffix(":00")


def _hour(text: str | None) -> str:
    if text is None:
        return "…"
    moment = datetime.fromisoformat(text)
    day = "" if moment.date() == datetime(2026, 3, 2, tzinfo=UTC).date() else moment.strftime("%dT")
    return day + _wall(moment)


def told(line: dict[str, Any]) -> str:
    """A finding in one line: "19:00–19:42 CURFEW RETURNED_LATE"; an end that is open is "…"."""
    return " ".join(filter(None, [f"{_hour(line['begin'])}–{_hour(line['end'])}", line["kind"], line["reason"]]))


@asynccontextmanager
async def deployed(dsn: str, form: dict[str, Any] | None = None, *, at: str = "12:00") -> AsyncIterator[World]:
    """A deployment that was first ready at `at`, with orders in it that were entered then."""
    connection = await connect(dsn)
    try:
        world = World(dsn, FakeClock(at), connection)
        if form is not None:
            await world.enter(form)
        await world.start()
        yield world
        await world.worker.close()
    finally:
        await connection.close(timeout=5)


async def as_judged_again(world: World) -> list[dict[str, Any]]:
    """The findings of what is stored, judged at once."""
    now_ms = world.clock.now_ms()
    return [
        json.loads(line)
        for line in await findings_as_lines(world.connection, now_ms, None, now_ms, None, ZoneSetCache())
    ]


async def as_shown(world: World) -> list[dict[str, Any]]:
    """The findings that are recorded, as the rules have them."""
    lines = await findings_as_lines(world.connection, world.clock.now_ms(), None, None, None, ZoneSetCache())
    return with_provisional_ends(lines)


# ---------------------------------------------------------------------------------------------- conservation

CONSERVED = """
SELECT d.device_id, c.received, c.stored, c.duplicates, c.refused,
       (SELECT count(*) FROM positions p WHERE p.device_no = c.device_no)
       + (SELECT count(*) FROM future_positions p WHERE p.device_no = c.device_no)
       + (SELECT count(*) FROM device_events e WHERE e.device_no = c.device_no AND e.sent_by IS NULL)
       + (SELECT count(DISTINCT e.fact_id) FROM device_events e WHERE e.sent_by = d.device_id) AS facts,
       (SELECT count(*) FROM quarantine q WHERE q.device_no = c.device_no) AS quarantined,
       (SELECT count(*) FROM quarantine_releases r JOIN quarantine q USING (fact_id) WHERE q.device_no = c.device_no)
           AS released
FROM device_counts c JOIN devices d USING (device_no)
"""


async def assert_conserved(connection: asyncpg.Connection[Any]) -> dict[str, int]:
    """received = stored + duplicates + refused, and the counts are what stands in the tables; received by sender. A report of a home
    unit counts once, however many tags it is a fact of."""
    received = {}
    for row in await connection.fetch(CONSERVED):
        assert row["received"] == row["stored"] + row["duplicates"] + row["refused"]
        assert row["stored"] == row["facts"], row
        assert row["refused"] == row["quarantined"] - row["released"], row
        received[row["device_id"]] = row["received"]
    return received


# ---------------------------------------------------------------------------------------------- over sockets


class Door:
    """A client of the running service, with the keys of its devices."""

    def __init__(self, service: Service, session: aiohttp.ClientSession, keys: dict[str, str]) -> None:
        self.service = service
        self.session = session
        self.keys = keys

    async def post(
        self, body: Any, *, device: str = "D1", key: str | None = None, content_type: str = "application/json"
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        """Status, decoded answer, response. Anything but bytes is sent as the content type says."""
        if not isinstance(body, bytes) and not hasattr(body, "__aiter__"):
            body = msgspec.json.encode(body) if content_type == "application/json" else msgspec.msgpack.encode(body)
        headers = {"Authorization": f"Bearer {key or self.keys[device]}", "Content-Type": content_type}
        async with self.session.post(f"/v1/devices/{device}/reports", data=body, headers=headers) as response:
            answer = await response.read()
            decode = msgspec.msgpack.decode if "msgpack" in response.content_type else msgspec.json.decode
            return response.status, decode(answer) if answer else None, response

    async def reports(self, *reports: Any, device: str = "D1", boot: int = 1) -> tuple[int, Any]:
        status, answer, _ = await self.post({"boot": boot, "reports": list(reports)}, device=device)
        return status, answer

    async def metrics(self) -> str:
        async with self.session.get("/metrics") as response:
            return await response.text()


def settings_for(dsn: str, **fields: Any) -> Settings:
    clock = ClockSetting(ms("12:00"), 1.0)
    return Settings(**{
        "data_dir": Path("/nonexistent"), "database_url": dsn, "listen": "127.0.0.1:0", "clock": clock, **fields,
    })  # fmt: skip


@asynccontextmanager
async def serving(
    dsn: str,
    form: dict[str, Any] | None = None,
    *,
    wait_s: float = 0.05,
    pace: Pace = USUAL_PACE,
    **fields: Any,
) -> AsyncIterator[Door]:
    """The service over real sockets, on an emulated clock that starts at 12:00. `wait_s`: how long a turn waits for reports;
    less than in earnest, so that orders are taken in and the service ends at once. `pace`: the worker's in all else."""
    with tempfile.TemporaryDirectory(prefix="emtrack-test-") as folder:
        async with _serving(settings_for(dsn, **{"data_dir": Path(folder), **fields}), form, wait_s, pace) as door:
            yield door


@asynccontextmanager
async def _serving(settings: Settings, form: dict[str, Any] | None, wait_s: float, pace: Pace) -> AsyncIterator[Door]:
    entered = await import_orders(
        settings, read_orders(json.dumps(form or orders(1, 2)), "orders"), who="test", dry_run=False
    )
    pace = msgspec.structs.replace(pace, max_wait_s=wait_s)
    async with (
        running_service(settings, asyncio.Event(), pace) as service,
        aiohttp.ClientSession(service.address) as session,
    ):
        yield Door(service, session, entered.keys)


def minutes_after(at: str, minutes: float) -> str:
    moment = datetime.fromisoformat(iso(at)) + timedelta(minutes=minutes)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
