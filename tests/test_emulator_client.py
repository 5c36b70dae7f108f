"""The emulator's client against a server that fails in every way the protocol allows, over real sockets."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from emtrack.emulator import Backoff, SentLog, ServiceClock, Totals, World, build_world, send_world
from emtrack.emulator.schedule import DAY_MS, HOUR_MS, iso_of
from geofence import parse_instant

START_MS = 1_772_409_600_000
QUICK = Backoff(base_s=0.0005, cap_s=0.004)
Key = tuple[str, int, int]
Mood = Callable[[str, list[dict[str, Any]]], str]


class Service:
    """Stores reports in memory. `mood` says what happens to a request: ok, busy, full, cut, lost, half, or a status."""

    def __init__(self, mood: Mood = lambda _device, _reports: "ok") -> None:
        self.mood = mood
        self.stored: dict[Key, bytes] = {}
        self.arrivals: list[tuple[str, int, list[int]]] = []
        self.clashes: list[Key] = []
        self.types: Counter[str] = Counter()
        self.keys: set[str] = set()
        self.sent_at: defaultdict[str, list[str | None]] = defaultdict(list)
        self.moods: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()
        self.most_under_way = 0
        self.most_of_one_device = 0
        self.now_ms: Callable[[], int] = lambda: START_MS
        self.rate, self.emulated = 1.0, False

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 20)
        app.router.add_get("/v1/time", self.time)
        app.router.add_post("/v1/devices/{device}/reports", self.reports)
        return app

    async def time(self, _request: web.Request) -> web.Response:
        told = {"now": iso_of(self.now_ms()), "rate": self.rate, "emulated": self.emulated}
        return web.json_response(told)

    async def reports(self, request: web.Request) -> web.StreamResponse:
        device = request.match_info["device"]
        self.under_way[device] += 1
        self.most_under_way = max(self.most_under_way, sum(self.under_way.values()))
        self.most_of_one_device = max(self.most_of_one_device, self.under_way[device])
        try:
            return await self._reports(device, request)
        finally:
            self.under_way[device] -= 1

    async def _reports(self, device: str, request: web.Request) -> web.StreamResponse:
        packed = request.content_type == "application/msgpack"
        self.types[request.content_type] += 1
        self.keys.add(request.headers["Authorization"])
        decode = msgspec.msgpack.decode if packed else msgspec.json.decode
        body = decode(await request.read())
        assert set(body) - {"sent_at"} == {"boot", "reports"}
        self.sent_at[device].append(body.get("sent_at"))
        reports = body["reports"]
        mood = self.mood(device, reports)
        self.moods[mood] += 1
        if mood in ("busy", "full"):
            return web.Response(status=503 if mood == "busy" else 429, headers={"Retry-After": "0"})
        if mood.isdigit():
            return web.json_response({"error": "see the documentation"}, status=int(mood))
        if mood == "cut":  # nothing is committed, and nothing is answered
            return self._hang_up(request)
        if mood == "half":
            reports = reports[: (len(reports) + 1) // 2]
        ack = [self._store(device, body["boot"], report) for report in reports]
        if mood == "lost":  # everything is committed, and nothing is answered
            return self._hang_up(request)
        refused = [
            {"seq": r["seq"], "reason": "no activation", "action": "enter one"}
            for r in reports
            if r.get("event") == "HEARTBEAT" or r["seq"] % 50 == 0
        ]
        refused += [{"seq": None, "reason": "bad_time", "action": "send a time"}] if mood == "nameless" else []
        answer = {"ack": ack, "refused": refused}
        if packed:
            return web.Response(body=msgspec.msgpack.encode(answer), content_type="application/msgpack")
        return web.json_response(answer)

    def _store(self, device: str, boot: int, report: dict[str, Any]) -> int:
        seq: int = report["seq"]
        content = msgspec.json.encode(report)
        if self.stored.setdefault((device, boot, seq), content) != content:
            self.clashes.append((device, boot, seq))
        self.arrivals.append((device, boot, [seq]))
        return seq

    @staticmethod
    def _hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator[str]:
    server = TestServer(service.app())
    await server.start_server()
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


def keys_of(world: World) -> dict[str, str]:
    return {device: f"key-of-{device}" for device in world.devices()}


def expected(world: World, from_ms: int, to_ms: int) -> dict[Key, bytes]:
    return {
        (u.device_id, u.boot, r["seq"]): msgspec.json.encode(r)
        for u in world.uploads(from_ms, to_ms)
        for r in u.reports
    }


def sums(totals: Totals) -> int:
    return totals.acknowledged + sum(totals.rejected.values()) + totals.unacknowledged


def lines(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


async def send(world: World, url: str, *, to_ms: int | None, **options: Any) -> Totals:
    clock = options.pop("clock", None) or await ServiceClock.connect(url)
    options = {"keys": keys_of(world), "backoff": QUICK, "from_ms": START_MS, "speed": None, **options}
    return await send_world(world, base_url=url, clock=clock, to_ms=to_ms, **options)


def service_in_the_future(mood: Mood = lambda _device, _reports: "ok") -> Service:
    """One whose clock is a month on: everything is past, and goes as fast as it is acknowledged."""
    service = Service(mood)
    service.now_ms = lambda: START_MS + 30 * DAY_MS
    return service


def moody(seed: int) -> Mood:
    rng = random.Random(seed)
    moods = ("ok", "busy", "full", "cut", "lost", "half", "500")
    return lambda _device, _reports: rng.choices(moods, (10, 2, 1, 2, 2, 2, 1))[0]


@pytest.mark.parametrize("encoding", ["json", "msgpack", "mixed"])
async def test_a_server_that_fails_in_every_way_gets_every_report_and_forgets_none(
    tmp_path: Path, encoding: str
) -> None:
    world = build_world(10, 3, START_MS, preset="gaps")
    to_ms = START_MS + 12 * HOUR_MS
    service = service_in_the_future(moody(1))
    with SentLog(tmp_path) as sent:
        async with serving(service) as url:
            totals = await send(world, url, to_ms=to_ms, sent=sent, encoding=encoding)
    wanted = expected(world, START_MS, to_ms)
    assert service.stored == wanted
    assert service.clashes == []
    assert set(service.moods) == {"ok", "busy", "full", "cut", "lost", "half", "500"}
    logged = [(row["device_id"], row["boot"], row["seq"]) for row in lines(tmp_path / "sent.ndjson")]
    assert set(logged) == set(wanted)
    assert len(logged) == totals.acknowledged
    assert totals.unacknowledged == 0
    assert totals.retries == sum(totals.failures.values()) > 0
    assert totals.foreign_acks == 0
    assert len(service.types) == (2 if encoding == "mixed" else 1)
    assert service.keys == {f"Bearer key-of-{device}" for device, _, _ in wanted}


async def test_what_is_logged_is_stored_whenever_the_server_is_asked(tmp_path: Path) -> None:
    world = build_world(4, 3, START_MS, preset="clean")
    service = service_in_the_future(moody(2))
    mood = service.mood
    with SentLog(tmp_path) as sent:

        def looks(device: str, reports: list[dict[str, Any]]) -> str:
            logged = {(row["device_id"], row["boot"], row["seq"]) for row in lines(tmp_path / "sent.ndjson")}
            assert logged <= set(service.stored)
            seqs = {report["seq"] for report in reports}
            again = {seq for dev, _, seq in logged if dev == device} & seqs
            assert not again, "a report went again after its acknowledgement was logged"
            return mood(device, reports)

        service.mood = looks
        async with serving(service) as url:
            await send(world, url, to_ms=START_MS + 4 * HOUR_MS, sent=sent)
    assert service.stored == expected(world, START_MS, START_MS + 4 * HOUR_MS)


async def test_a_refused_report_counts_as_acknowledged_and_its_reason_is_kept(tmp_path: Path) -> None:
    world = build_world(5, 3, START_MS)
    service = service_in_the_future()
    with SentLog(tmp_path) as sent:
        async with serving(service) as url:
            totals = await send(world, url, to_ms=START_MS + 8 * HOUR_MS, sent=sent)
    refused = [row for row in lines(tmp_path / "sent.ndjson") if row["refused"]]
    assert {row["refused"] for row in refused} == {"no activation"}
    assert totals.refused == {"no activation": len(refused)}
    assert len(refused) > 0
    assert sums(totals) == len(lines(tmp_path / "sent.ndjson"))


@pytest.mark.parametrize("preset", ["standard", "standard.2"])
async def test_a_request_of_the_second_edition_says_what_the_devices_clock_shows_when_it_goes(preset: str) -> None:
    world = build_world(60, 1, START_MS, preset=preset)
    service = service_in_the_future(moody(1))
    async with serving(service) as url:
        await send(world, url, to_ms=START_MS + 2 * HOUR_MS)
    said = {device: set(times) for device, times in service.sent_at.items()}
    if preset == "standard":
        assert set().union(*said.values()) == {None}
        return
    assert any(world.skew_ms(device) for device in said)
    for device, times in said.items():
        for at in times:
            ahead_ms = parse_instant(at or "") - world.skew_ms(device) - service.now_ms()
            assert 0 <= ahead_ms < 10 * 60_000, (
                "it goes when the service's clock shows a month on, not when it was written down"
            )


async def test_a_refusal_without_a_number_keeps_no_report_waiting() -> None:
    world = build_world(3, 3, START_MS, preset="clean")
    service = service_in_the_future(lambda _device, _reports: "nameless")
    async with serving(service) as url:
        totals = await send(world, url, to_ms=START_MS + 2 * HOUR_MS)
    assert totals.acknowledged == len(expected(world, START_MS, START_MS + 2 * HOUR_MS)) > 0
    assert (totals.retries, "bad_time" in totals.refused) == (0, False)


async def test_each_device_sends_in_the_order_of_the_schedule_one_request_at_a_time() -> None:
    world = build_world(8, 3, START_MS)
    to_ms = START_MS + 12 * HOUR_MS
    service = service_in_the_future(moody(3))
    async with serving(service) as url:
        await send(world, url, to_ms=to_ms, connections=4)
    assert service.most_of_one_device <= 2  # after an answer was cut off, the old handler may still be unwinding
    assert service.most_under_way <= 4 + service.moods["cut"] + service.moods["lost"]
    firsts: dict[str, list[tuple[int, int]]] = {}
    for device, boot, (seq,) in service.arrivals:
        firsts.setdefault(device, [])
        if (boot, seq) not in firsts[device]:
            firsts[device].append((boot, seq))
    wanted: dict[str, list[tuple[int, int]]] = {}
    for upload in world.uploads(START_MS, to_ms):
        told = wanted.setdefault(upload.device_id, [])
        told += [(upload.boot, r["seq"]) for r in upload.reports if (upload.boot, r["seq"]) not in told]
    assert firsts == wanted


async def test_413_makes_requests_smaller_until_they_fit() -> None:
    world = build_world(3, 3, START_MS, preset="clean")
    service = service_in_the_future(lambda _device, reports: "413" if len(reports) > 3 else "ok")
    async with serving(service) as url:
        totals = await send(world, url, to_ms=START_MS + 6 * HOUR_MS)
    assert service.stored == expected(world, START_MS, START_MS + 6 * HOUR_MS)
    assert service.moods["413"] > 0
    assert not totals.rejected


@pytest.mark.parametrize("status", [400, 401, 404, 413, 415, 422])
async def test_what_is_wrong_for_good_is_recorded_and_not_sent_for_ever(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    world = build_world(3, 3, START_MS, preset="clean")
    to_ms = START_MS + 3 * HOUR_MS
    service = service_in_the_future(lambda device, _reports: str(status) if device == "D0002" else "ok")
    async with serving(service) as url:
        totals = await send(world, url, to_ms=to_ms)
    wanted = expected(world, START_MS, to_ms)
    lost = [key for key in wanted if key[0] == "D0002"]
    assert totals.rejected == {status: len(lost)}
    assert set(service.stored) == set(wanted) - set(lost)
    assert totals.unacknowledged == 0
    assert any(f"HTTP {status}" in record.getMessage() for record in caplog.records)


async def test_a_key_that_is_entered_a_moment_late_costs_nothing() -> None:
    world = build_world(2, 3, START_MS, preset="clean")
    tries: Counter[str] = Counter()

    def late(device: str, _reports: list[dict[str, Any]]) -> str:
        tries[device] += 1
        return "401" if tries[device] <= 2 else "ok"

    service = service_in_the_future(late)
    async with serving(service) as url:
        totals = await send(world, url, to_ms=START_MS + 2 * HOUR_MS)
    assert not totals.rejected
    assert service.stored == expected(world, START_MS, START_MS + 2 * HOUR_MS)


async def test_a_service_that_is_down_at_first_is_waited_for() -> None:
    world = build_world(3, 3, START_MS, preset="clean")
    clock_only, service = service_in_the_future(), service_in_the_future()
    refused = asyncio.Event()

    class Watched(Backoff):
        def delay_s(self, failures: int, rng: random.Random) -> float:
            if failures >= 3:
                refused.set()
            return super().delay_s(failures, rng)

    port = unused_port()
    server = TestServer(service.app(), port=port)
    async with serving(clock_only) as clock_url:
        clock = await ServiceClock.connect(clock_url)
        sending = asyncio.create_task(
            send(
                world,
                f"http://127.0.0.1:{port}",
                to_ms=START_MS + 2 * HOUR_MS,
                clock=clock,
                backoff=Watched(0.0005, 0.004),
            )
        )
        await refused.wait()
        await server.start_server()
        totals = await sending
        await server.close()
    assert service.stored == expected(world, START_MS, START_MS + 2 * HOUR_MS)
    assert totals.failures["ClientConnectorError"] >= 3


async def test_an_answer_that_cannot_be_read_acknowledges_nothing() -> None:
    world = build_world(1, 3, START_MS, preset="clean")
    service = service_in_the_future()
    spoilt = iter([b"", b"<html>", b'{"ack": "all"}', b'{"ack": []}', b'{"ack": [999999]}'])
    honest = service.reports

    async def reports(request: web.Request) -> web.StreamResponse:
        body = next(spoilt, None)
        return await honest(request) if body is None else web.Response(body=body, content_type="application/json")

    service.reports = reports  # type: ignore[method-assign]
    async with serving(service) as url:
        totals = await send(world, url, to_ms=START_MS + 2 * HOUR_MS)
    assert service.stored == expected(world, START_MS, START_MS + 2 * HOUR_MS)
    assert totals.failures == {"unreadable answer": 3, "nothing acknowledged": 2}
    assert totals.foreign_acks == 1


async def test_stop_ends_it_soon_and_what_is_logged_is_stored(tmp_path: Path) -> None:
    world = build_world(10, 3, START_MS)
    stop = asyncio.Event()

    def stops(_device: str, _reports: list[dict[str, Any]]) -> str:
        if len(service.arrivals) > 300:
            stop.set()
        return "ok"

    service = service_in_the_future(stops)
    with SentLog(tmp_path) as sent:
        async with serving(service) as url:
            totals = await send(world, url, to_ms=None, sent=sent, stop=stop)
    logged = {(row["device_id"], row["boot"], row["seq"]) for row in lines(tmp_path / "sent.ndjson")}
    assert logged == set(service.stored)
    assert totals.acknowledged >= 300


async def test_memory_is_bounded_while_the_service_is_busy() -> None:
    world = build_world(10, 3, START_MS)
    stop = asyncio.Event()

    def busy(_device: str, _reports: list[dict[str, Any]]) -> str:
        if service.moods["busy"] > 200:
            stop.set()
        return "busy"

    service = service_in_the_future(busy)
    async with serving(service) as url:
        totals = await send(world, url, to_ms=None, stop=stop, most_waiting=50)
    assert 0 < totals.unacknowledged <= 50 * 120
    assert totals.acknowledged == 0


async def test_a_device_without_a_key_is_said_before_anything_is_sent() -> None:
    world = build_world(3, 3, START_MS)
    async with serving(Service()) as url:
        with pytest.raises(ValueError, match="no key"):
            await send(world, url, to_ms=START_MS + HOUR_MS, keys={"D0001": "k"})


# --- the clock --------------------------------------------------------------------------------------------------------


async def test_with_an_emulated_clock_nothing_goes_before_its_time() -> None:
    world = build_world(5, 3, START_MS, preset="clean")
    service = Service()
    service.rate, service.emulated = 20_000.0, True
    began = time.monotonic()
    service.now_ms = lambda: START_MS + int((time.monotonic() - began) * 1000 * service.rate)

    def punctual(_device: str, reports: list[dict[str, Any]]) -> str:
        newest = max(r.get("fix_time") or r["event_time"] for r in reports)
        return "ok" if newest <= iso_of(service.now_ms()) else "early"

    service.mood = punctual
    async with serving(service) as url:
        await send(world, url, to_ms=START_MS + 4 * HOUR_MS)
        assert service.now_ms() >= START_MS + 3.5 * HOUR_MS
    assert set(service.moods) == {"ok"}
    assert service.stored == expected(world, START_MS, START_MS + 4 * HOUR_MS)


class PretendTime:
    """A monotonic clock that only sleep moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.sleeps: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)


def pretend_clock(service: Service, pretend: PretendTime, now_ms: int) -> Callable[[str], Awaitable[ServiceClock]]:
    service.now_ms = lambda: now_ms + int((pretend.now_s - 1_000.0) * 1000 * service.rate)
    return lambda url: ServiceClock.connect(url, monotonic=pretend.monotonic, sleep=pretend.sleep)


async def test_with_a_speed_it_catches_up_and_then_keeps_to_the_present() -> None:
    world = build_world(4, 3, START_MS, preset="clean")
    service, pretend = Service(), PretendTime()
    connect = pretend_clock(service, pretend, START_MS + HOUR_MS)
    async with serving(service) as url:
        await send(world, url, to_ms=START_MS + 2 * HOUR_MS, clock=await connect(url), speed=60.0)
    last_ms = max(upload.send_ms for upload in world.uploads(START_MS, START_MS + 2 * HOUR_MS))
    elapsed_s = pretend.now_s - 1_000.0
    assert elapsed_s == pytest.approx((last_ms - START_MS - HOUR_MS) / 1000, abs=1)
    fast_s = sum(s for s in pretend.sleeps if s < 20) / 60  # 60 times faster: no sleep of the first hour is long
    assert fast_s < 60
    assert service.stored == expected(world, START_MS, START_MS + 2 * HOUR_MS)


async def test_without_a_speed_the_past_takes_no_time() -> None:
    world = build_world(4, 3, START_MS, preset="clean")
    service, pretend = Service(), PretendTime()
    connect = pretend_clock(service, pretend, START_MS + DAY_MS)
    async with serving(service) as url:
        await send(world, url, to_ms=START_MS + 6 * HOUR_MS, clock=await connect(url))
    assert pretend.sleeps == []


async def test_the_clock_is_read_again_and_follows_the_service() -> None:
    service, pretend = Service(), PretendTime()
    service.rate, service.emulated = 60.0, True
    connect = pretend_clock(service, pretend, START_MS)
    async with serving(service) as url:
        clock = await connect(url)
        assert (clock.rate, clock.emulated, clock.now_ms()) == (60.0, True, START_MS)
        service.rate = 30.0  # the service changes its mind; half as fast from the beginning
        await clock.sleep_until(START_MS + 2 * HOUR_MS)
        assert clock.rate == 30.0
        assert service.now_ms() >= START_MS + 2 * HOUR_MS - 1_000
    assert max(pretend.sleeps) <= 30.0


async def test_a_clock_that_cannot_be_read_again_is_carried_on() -> None:
    service, pretend = Service(), PretendTime()
    connect = pretend_clock(service, pretend, START_MS)
    async with serving(service) as url:
        clock = await connect(url)
    await clock.sleep_until(START_MS + 100_000)
    assert clock.now_ms() == pytest.approx(START_MS + 100_000, abs=5)


async def test_something_else_than_a_time_is_refused() -> None:
    service = Service()

    async def wrong(_request: web.Request) -> web.Response:
        return web.json_response({"now": "2026-03-02T00:00:00", "rate": 1, "emulated": False})

    service.time = wrong  # type: ignore[method-assign]
    async with serving(service) as url:
        with pytest.raises(ValueError, match="does not tell the time"):
            await ServiceClock.connect(url)
    with pytest.raises(RuntimeError, match="never read"):
        ServiceClock("http://127.0.0.1:1").now_ms()


# --- the files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wearers", "seed", "days"), [(20, 23, 1), pytest.param(40, 9, 2, marks=pytest.mark.long)])
async def test_the_truth_file_has_the_intervals_of_the_whole_run_in_one_piece_each(
    tmp_path: Path, wearers: int, seed: int, days: int
) -> None:
    world = build_world(wearers, seed, START_MS)
    to_ms = START_MS + days * DAY_MS
    with SentLog(tmp_path) as sent:
        async with serving(service_in_the_future()) as url:
            await send(world, url, to_ms=to_ms, sent=sent)
    rows = lines(tmp_path / "truth.ndjson")
    wanted = [row for wearer in world.wearers for row in world.truth(wearer.wearer_id, START_MS, to_ms)]
    assert sorted(map(str, rows)) == sorted(map(str, wanted))
    assert len(rows) > 3


def test_latencies_are_told_within_five_percent() -> None:
    totals = Totals()
    assert totals.p50_ms is None
    for tenth_ms in range(1, 1001):
        totals.timed(tenth_ms / 10_000)
    assert totals.p50_ms == pytest.approx(50, rel=0.06)
    assert totals.p99_ms == pytest.approx(99, rel=0.06)


def test_the_backoff_grows_to_its_cap_and_is_spread() -> None:
    rng = random.Random(1)
    delays = [Backoff(0.2, 30.0).delay_s(n, rng) for n in range(1, 40)]
    assert 0.1 <= delays[0] <= 0.2
    assert all(15.0 <= delay <= 30.0 for delay in delays[10:])
