"""What a gateway puts into a message, and when it gives up, without a stream."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from emtrack.metrics import Metrics
from emtrack.record.routing import Routing
from emtrack.service import credential_watch
from emtrack.service.credential_watch import FRESH_FOR_S, CredentialWatch
from emtrack.service.gateway import GatewayWatch
from emtrack.service.keys import DeviceKeys
from emtrack.stream import publishing
from emtrack.stream.messages import SentRequest, size_of
from emtrack.stream.publishing import Publisher, _Queue, _Waiting
from ingest import Inbox


def publisher() -> Publisher:
    stream: Any = None  # nothing is sent
    return Publisher(stream, Inbox(10), Routing(1), Metrics(), 10)


def test_each_request_is_measured_once_however_many_go_in_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    made, queue, measured = publisher(), _Queue(), []
    waiting: Any = None  # asked for only by number
    for number in range(500):
        queue.requests.append(SentRequest(number, 1, 0, body=b"x" * 100))
        made._waiting[number] = waiting
    monkeypatch.setattr(publishing, "size_of", lambda one: measured.append(one) or size_of(one))
    assert len(made._next_of(queue)) == 500
    assert len(measured) == 500


def test_a_message_ends_with_the_request_that_fills_it_and_leaves_out_those_nobody_waits_for() -> None:
    made, queue = publisher(), _Queue()
    waiting: Any = None
    for number in range(4):
        queue.requests.append(SentRequest(number, 1, 0, body=b"x" * (publishing.MOST_BYTES // 2)))
    made._waiting = dict.fromkeys((1, 2, 3), waiting)
    assert [one.number for one in made._next_of(queue)] == [1, 2]
    assert [one.number for one in made._next_of(queue)] == [3]


def test_a_clock_that_is_set_back_does_not_keep_a_request_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    made, failed = publisher(), []
    submission: Any = "the one"
    made._waiting[1] = _Waiting(submission, {}, set(), received_ms=2**50, is_whole=True)
    monkeypatch.setattr(publishing, "_fail", lambda one, _: failed.append(one))
    made._give_up_late()
    assert not failed
    monkeypatch.setattr(publishing, "ANSWERED_WITHIN_S", -1.0)
    made._give_up_late()
    assert failed == ["the one"]


def gateway_watch(*, is_connected: bool = True) -> tuple[GatewayWatch, CredentialWatch]:
    """At a second in which the keys are not of now, by a stopwatch that stands still."""
    stream: Any = SimpleNamespace(client=SimpleNamespace(is_connected=is_connected))  # nothing is sent
    credentials = CredentialWatch("", DeviceKeys(), asyncio.Condition(), lambda: 100.0)
    return GatewayWatch(Publisher(stream, Inbox(10), Routing(1), Metrics(), 10), credentials), credentials


async def test_a_sign_waits_for_keys_of_now_as_a_device_does_and_is_given_when_devices_are_heard() -> None:
    """The database takes most of a second to answer: keys are of now for a moment only, and seldom when a sign is due."""
    watch, credentials = gateway_watch()
    hears = asyncio.create_task(watch.hears())
    for _ in range(5):
        await asyncio.sleep(0)
        assert not hears.done()
    await credentials._tell_fresh(100.0 - 0.9 * FRESH_FOR_S)
    assert await hears


async def test_who_waits_for_keys_in_vain_or_has_no_stream_hears_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential_watch, "WAIT_FOR_FRESH_S", 0.01)
    watch, credentials = gateway_watch()
    await credentials._tell_fresh(100.0 - 1.1 * FRESH_FOR_S)
    assert not await watch.hears()
    watch, credentials = gateway_watch(is_connected=False)
    await credentials._tell_fresh(100.0)
    assert not await watch.hears()
