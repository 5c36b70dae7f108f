"""A recording is sent as its devices would send it: in their order, none early, until it is answered or refused."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from emtrack.client import Backoff, Persistence
from emtrack.emulator.schedule import iso_of
from emtrack.files import replay
from emtrack.files.replay import RecordedReport, ReplayError, ReplayTotals, send_recording
from tests.test_emulator_client import START_MS, Service, service_in_the_future, serving

KEYS = {"D1": "first", "D2": "second"}


def recording(devices: int = 2, each: int = 25) -> Iterator[RecordedReport]:
    """A report a minute of each device; the third is recorded before the second."""
    for i in range(each):
        minute = {1: 2, 2: 1}.get(i, i)
        for device in range(1, devices + 1):
            fix_ms = START_MS + minute * 60_000
            yield RecordedReport(f"D{device}", fix_ms, {"type": "position", "fix_time": iso_of(fix_ms), "number": i})


async def replayed(url: str, said: list[str] | None = None) -> ReplayTotals:
    return await send_recording(recording(), base_url=url, keys=KEYS, say=[].append if said is None else said.append)


async def test_every_device_sends_in_its_own_order_and_every_report_is_counted() -> None:
    service = service_in_the_future()
    said: list[str] = []
    async with serving(service) as url:
        sent = await replayed(url, said)
    assert (sent.reports, sent.acknowledged, sent.refused) == (50, 50, {"no activation": 2})
    assert said == ["50 of 50 reports acknowledged"]
    assert service.keys == {"Bearer first", "Bearer second"}
    for device in KEYS:
        assert [seq for name, _, (seq,) in service.arrivals if name == device] == list(range(25))


async def test_nothing_is_sent_before_its_own_time_on_the_clock_of_the_service() -> None:
    service = Service()
    service.rate, service.emulated = 1_000.0, True
    began_s = time.monotonic()

    def punctual(_device: str, reports: list[dict[str, Any]]) -> str:
        return "ok" if max(r["fix_time"] for r in reports) <= iso_of(service.now_ms()) else "early"

    service.now_ms = lambda: START_MS + int((time.monotonic() - began_s) * 1000 * service.rate)
    service.mood = punctual
    async with serving(service) as url:
        await replayed(url)
    assert set(service.moods) == {"ok"}


async def test_a_busy_service_is_asked_again_and_a_cut_answer_is_no_acknowledgement() -> None:
    moods = iter(["busy", "full", "cut", "lost"])
    service = service_in_the_future(lambda _device, _reports: next(moods, "ok"))
    async with serving(service) as url:
        sent = await replayed(url)
    assert sent.acknowledged == len(service.stored) == 50
    assert service.clashes == []


@pytest.mark.parametrize("status", [400, 401, 413, 500])
async def test_what_the_service_does_not_take_ends_the_replay_with_its_answer(status: int) -> None:
    service = service_in_the_future(lambda _device, _reports: str(status))
    async with serving(service) as url:
        with pytest.raises(ExceptionGroup) as raised:
            await replayed(url)
    refused = raised.value.exceptions[0]
    assert isinstance(refused, ReplayError)
    assert str(refused).startswith(f'the service answered {status}: {{"error":')


async def test_patience_with_a_busy_service_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    soon = Persistence(Backoff(0.001, 0.001), lambda status: status == 503, key_attempts=1, patience_s=0.05)
    monkeypatch.setattr(replay, "PERSISTENCE", soon)
    async with serving(service_in_the_future(lambda _device, _reports: "busy")) as url:
        with pytest.raises(ExceptionGroup) as raised:
            await replayed(url)
    assert isinstance(raised.value.exceptions[0], TimeoutError)
    assert "the last attempt: 503" in str(raised.value.exceptions[0])
