"""The stories of a demonstration stand in its record, to the hour, and contradict nothing."""

from __future__ import annotations

import asyncio
from itertools import groupby, takewhile
from typing import Any

import msgspec
import pytest

from emtrack.client import request_of
from emtrack.db.connect import connect
from emtrack.demo import history
from emtrack.demo.history import Demo, build_history
from emtrack.demo.scenes import STEP_MS, UNHEARD_MS, WRONG_MS, cast, staged
from emtrack.demo.stories import LETTER, LIMITED, POLICE, RECALL_MS, RELEASED
from emtrack.emulator.sending import Upload
from emtrack.forms.iom import RagGrade
from emtrack.iom.breaches import BREACH, Breach
from emtrack.iom.circumstances import CIRCUMSTANCE
from emtrack.iom.entries import Entry, load
from emtrack.iom.memberships import MEMBERSHIP
from emtrack.iom.notes import NOTE, Visibility
from emtrack.iom.offences import OFFENCE
from emtrack.iom.proposals import PROPOSAL
from emtrack.iom.signals import SIGNAL, SignalKind
from emtrack.iom.statuses import STATUS
from emtrack.iom.transitions import TRANSITION
from emtrack.metrics import Metrics
from emtrack.people.limits import limits_in_force
from emtrack.service.keys import DeviceKeys
from emtrack.service.signals import SignalMaker
from emtrack.service.worker import Worker
from geofence import format_instant, parse_instant
from ingest import Inbox, Submission, read_request
from tests.service_world import FakeClock

END_MS = parse_instant("2026-03-06T18:59:20Z")
"""A Friday in winter."""
DEMO = Demo(wearers=120, long=0, hours=16.5, days=1.0, seed=1, end_ms=END_MS)


async def of(connection: Any, reference: str, *nouns: Any) -> list[Entry]:
    number = await connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = $1", reference)
    return await load(connection, [number], nouns)


async def live_on(connection: Any, demo: Demo, maker: SignalMaker, clock: FakeClock, until_ms: int) -> None:
    """What the tags send from where the clock stands, taken as the service takes it, and the signals of it."""
    numbers = {row["device_id"]: row["device_no"] for row in await connection.fetch(history.DEVICES)}
    (world,) = demo.worlds()
    uploads = takewhile(lambda u: u.send_ms < until_ms, staged(world, cast([world], demo.end_ms), clock.now_ms()))
    worker = Worker("", clock, Inbox(1), DeviceKeys(), Metrics())
    for now_ms, sent in groupby(uploads, key=lambda u: (u.send_ms // STEP_MS + 1) * STEP_MS):
        batch = [submitted(numbers[u.device_id], u) for u in sent]
        clock.at_ms = now_ms
        await worker.step(connection, batch, now_ms)
    while await maker.pass_once(connection):
        pass


def submitted(device_no: int, upload: Upload) -> Submission:
    body = msgspec.msgpack.encode(request_of(upload.boot, upload.reports, upload.sent_at_ms(upload.send_ms)))
    sent = read_request(body, "application/msgpack")
    return Submission(device_no, sent.reports, asyncio.get_running_loop().create_future(), sent_ms=sent.sent_ms)


async def test_every_story_stands_in_the_record_to_the_hour(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "STEP_MS", 6 * history.MINUTE_MS)  # a stride, so that a day is there in seconds
    connection = await connect(database_url)
    await build_history(connection, DEMO, DEMO.worlds(), tell=lambda _: None, stop=asyncio.Event())

    # Friday: released, the tag late, no bed at five.
    (release,) = await of(connection, RELEASED, TRANSITION)
    assert (release.state, format_instant(release.occurred_ms or 0)) == ("DONE", "2026-03-06T09:30:00Z")
    spans = [(e.valid.begin_ms, e.valid.end_ms) for e in await of(connection, RELEASED, STATUS) if e.valid]
    assert spans[0][1] == spans[1][0] == release.occurred_ms, "in prison until the gate, and free from it on"
    at_five = [e for e in await of(connection, RELEASED, NOTE) if "No bed" in getattr(e.content, "text", "")]
    assert [format_instant(e.occurred_ms or 0) for e in at_five] == ["2026-03-06T17:00:00Z"]
    begin_ms = spans[0][0]
    assert all((e.occurred_ms or 0) < begin_ms for e in await of(connection, RELEASED, OFFENCE)), (
        "nobody offends in prison"
    )
    assert await of(connection, RELEASED, CIRCUMSTANCE) == [], "who has no bed has no housing on record"

    # The letter: a year and a half without an offence, a panel, gone.
    offences = [e.occurred_ms or 0 for e in await of(connection, LETTER, OFFENCE)]
    assert END_MS - max(offences) > 18 * 30 * 86_400_000
    (membership,) = await of(connection, LETTER, MEMBERSHIP)
    assert (membership.state, getattr(membership.content, "end_reason", None)) == ("ENDED", "RISK_REDUCED")

    # Ten past nine: red on three signals; the note that police cannot open; the burglary that was not theirs.
    given = await connection.fetch(
        "SELECT wearer_no FROM rag_grades WHERE grade = 'RED' AND since = '2026-03-06T09:10:00Z'"
    )
    assert len(given) == 1
    number = given[0]["wearer_no"]
    signals = [
        e
        for e in await load(connection, [number], [SIGNAL])
        if e.state == "LIVE" and (e.occurred_ms or 0) <= parse_instant("2026-03-06T09:10:00Z")
    ]
    assert len(signals) >= 3
    notes = {getattr(e.content, "kind", None): e for e in await load(connection, [number], [NOTE])}
    assert "elsewhere for certain (question" in getattr(notes["crime"].content, "text", "")
    assert await connection.fetchval("SELECT (counts ->> 'ELSEWHERE')::bigint FROM near_runs") >= 1
    assert (notes["safeguarding"].visibility, POLICE in notes["safeguarding"].named) == (Visibility.NAMED, False)
    assert notes["crime"].visibility is Visibility.ALL

    # Restricted: to one account.
    assert [(one.wearer_id, one.accounts) for one in await limits_in_force(connection)] == [
        (LIMITED, ["Mair Coldbrook"])
    ]

    # Five hours twenty, from a finding that stands to the recall.
    (breach,) = [
        e
        for e in await load(
            connection, [r["wearer_no"] for r in await connection.fetch("SELECT wearer_no FROM wearers")], [BREACH]
        )
    ]
    content = msgspec.convert(msgspec.to_builtins(breach.content), Breach)
    version = await connection.fetchrow(
        "SELECT epoch_ms(begin_at) AS begin_ms, change FROM newest_version($1)", content.findings[0]
    )
    assert version["change"] != "withdrawn"
    assert content.steps["RECALLED"] - version["begin_ms"] == RECALL_MS
    recorded = await connection.fetchval("SELECT max(recorded_at) FROM iom_entries")
    assert recorded.timestamp() * 1000 <= END_MS + 1000, "nothing is recorded in a time to come"
    assert (
        await connection.fetchval("SELECT count(*) FROM iom_now WHERE noun = 'grade' AND occurred_at > recorded_at")
        == 0
    )

    await is_wronged_and_cleared(connection)
    await connection.close()


STANDING = """
SELECT v.change FROM findings f CROSS JOIN LATERAL newest_version(f.finding_no) v
JOIN activation_versions n ON n.activation_no = f.activation_no AND upper_inf(n.recorded)
WHERE f.kind = 'EXCLUSION' AND n.device_no = (SELECT device_no FROM devices WHERE device_id = $1)
      AND EXISTS (SELECT FROM alert_occurrences o WHERE o.finding_no = f.finding_no)
"""


async def is_wronged_and_cleared(connection: Any) -> None:
    """A false exclusion: finding, signal and proposal are withdrawn by the service while somebody looks on, and nothing by hand."""
    scenes = cast(DEMO.worlds(), END_MS)
    person = await connection.fetchval(
        "SELECT wearer_no FROM iom_versions JOIN wearers USING (wearer_no) WHERE name = $1", scenes.wronged_name
    )
    clock = FakeClock("2026-03-06T18:59:20")
    maker = SignalMaker("", clock, Metrics())
    await maker.load(connection)

    async def stands() -> tuple[list[str], list[str], list[str]]:
        found = [row["change"] for row in await connection.fetch(STANDING, scenes.wronged)]
        signals = [
            e.state for e in await load(connection, [person], [SIGNAL]) if e.content.kind is SignalKind.EXCLUSION
        ]
        proposals = [e.state for e in await load(connection, [person], [PROPOSAL]) if e.content.grade is RagGrade.RED]
        return found, signals, proposals

    assert await stands() == ([], [], [])
    await live_on(connection, DEMO, maker, clock, END_MS + WRONG_MS[1] + 60_000)
    assert await stands() == (["new"], ["LIVE"], ["OPEN"])
    await live_on(connection, DEMO, maker, clock, END_MS + UNHEARD_MS[1] + 60_000)
    assert await stands() == (["withdrawn"], ["WITHDRAWN"], ["WITHDRAWN"])
