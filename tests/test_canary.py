"""The canary: an alert of nobody that must arrive each minute, that nobody sees, and whose silence somebody is told of."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from emtrack.canary.entering import NAME, NameTaken, enter_canary
from emtrack.canary.listening import Heard, listening
from emtrack.canary.singing import Alarm, Beat, Canary
from emtrack.files.export import export
from emtrack.service.examination import examine
from emtrack.settings import Settings
from geofence import parse_instant
from tests.office import BEGINS, Office
from tests.visitor import Visitor

NOBODY_TOLD = Alarm(None, None, ())


def settings_of(office: Office) -> Settings:
    return msgspec.structs.replace(office.settings, url=office.address)


def canary_of(office: Office, alarm: Alarm = NOBODY_TOLD, within_s: float = 15.0) -> Canary:
    return Canary(settings_of(office), alarm, "test", every_s=0.1, within_s=within_s)


async def sung(canary: Canary, beats: int) -> list[Beat]:
    stop, heard = asyncio.Event(), []

    def on_beat(beat: Beat) -> None:
        heard.append(beat)
        if len(heard) == beats:
            stop.set()

    async with asyncio.timeout(90):
        await canary.run(stop, on_beat)
    return heard


async def test_an_alert_goes_from_the_device_door_to_a_delivery_and_nobody_sees_it(
    office: Office, visitor: Visitor, tmp_path: Path
) -> None:
    password = await office.account()
    await visitor.log_in(password)
    before = await office.get("/v1/alerts")
    beats = await sung(canary_of(office), 2)
    assert [beat.trouble for beat in beats] == [None, None]
    raised = await office.connection.fetch(
        "SELECT closed_at FROM alerts WHERE wearer_no IN (SELECT canary_wearers())"
    )
    assert len(raised) == 2, "each beat is an alert of its own"
    assert await office.get("/v1/alerts") == before
    closed = await office.get("/v1/alerts?state=closed")
    assert closed[1]["alerts"] == []
    for path in ("/alerts", "/alerts?state=closed", "/wearers", "/alerts/handover", "/looks"):
        _, page = await visitor.get(path)
        assert NAME not in page, path
    number = await office.connection.fetchval("SELECT max(alert_no) FROM alerts")
    assert (await visitor.get(f"/alerts/{number}"))[0] == 404
    async with office.connection.transaction(readonly=True):
        await export(office.connection, tmp_path, parse_instant(BEGINS) + 60_000)
    assert NAME not in (tmp_path / "orders.json").read_text() + (tmp_path / "events.csv").read_text()
    async with office.http.get("/v1/findings", headers=office.bearer("operator")) as answer:
        assert answer.status == 200
        assert NAME not in await answer.text()
    _, page = await visitor.get("/deliveries")
    assert "Alerts arrive" in page


async def test_when_nothing_arrives_somebody_is_told_once_and_again_when_it_does(
    office: Office, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    alarm = Alarm(None, None, (sys.executable, "-c", f"import sys; open({str(told)!r}, 'a').write(sys.stdin.read())"))
    canary = canary_of(office, alarm, within_s=1.5)
    mute = "UPDATE channels SET ended_at = now() WHERE is_canary AND ended_at IS NULL"
    listener = Heard()
    async with listening(listener) as address:
        first = await canary.beat(listener, address)
        await canary._judge(first)
        await office.connection.execute(mute)
        for _ in range(2):
            await canary._judge(await canary.beat(listener, address))
        canary._perch = None
        last = await canary.beat(listener, address)
        await canary._judge(last)
    lines = told.read_text().splitlines()
    assert first.trouble is None
    assert last.trouble is None
    assert [line.split(" since ")[0] for line in lines] == [
        "ALERTS DO NOT ARRIVE",
        "Alerts arrive again. They did not",
    ]
    assert "no alert arrived within 1.5 s" in lines[0]


async def test_a_service_that_is_gone_is_a_trouble_like_any_other(office: Office) -> None:
    gone = msgspec.structs.replace(office.settings, url="http://127.0.0.1:1")
    (beat,) = await sung(Canary(gone, NOBODY_TOLD, "test", every_s=0.1, within_s=2.0), 1)
    assert beat.trouble is not None
    assert "ClientConnector" in beat.trouble


async def test_a_delivery_that_is_not_ours_wakes_nobody() -> None:
    heard = Heard()
    heard.secret = "whsec_" + "A" * 43 + "="
    body = b'{"data": {"messages": [{"kind": "TAMPER"}]}}'
    async with listening(heard) as address, aiohttp.ClientSession() as http:
        for headers in ({}, {"webhook-timestamp": "1"}, {"webhook-timestamp": "²"}, forged()):
            async with http.post(address, data=body, headers=headers) as answer:
                assert answer.status in (400, 401)
    assert not await heard.wait(0.01)


def forged() -> dict[str, str]:
    import time

    return {"webhook-timestamp": str(int(time.time())), "webhook-id": "x", "webhook-signature": "v1,AAAA"}


async def test_somebody_real_is_never_taken_for_the_canary(office: Office) -> None:
    await office.connection.execute("INSERT INTO wearers (wearer_id) VALUES ($1)", NAME)
    with pytest.raises(NameTaken):
        await enter_canary(settings_of(office), "http://127.0.0.1:9/", "test")


async def test_the_canary_tells_no_one_elses_channel(office: Office) -> None:
    """And is told of no one else."""
    from alerts import NewChannel, add_channel
    from alerts.channels import ChannelKind

    duty: Any = NewChannel("duty", ChannelKind.EMAIL, "duty@centre.example", severity_from=4, is_fallback=True)
    await add_channel(office.connection, duty, "test", parse_instant(BEGINS))
    await sung(canary_of(office), 1)
    names = await office.connection.fetch("SELECT DISTINCT c.name FROM messages m JOIN channels c USING (channel_no)")
    assert [row["name"] for row in names] == ["canary"]


async def test_the_doctor_says_whether_alerts_arrive(office: Office) -> None:
    async def said() -> str:
        return next(str(look.health) for look in await examine(settings_of(office)) if look.what == "canary")

    assert await said() == "note"
    await sung(canary_of(office), 1)
    assert await said() == "good"
    await office.connection.execute("UPDATE canary_beats SET sent_at = sent_at - interval '6 minutes'")
    assert await said() == "bad"
