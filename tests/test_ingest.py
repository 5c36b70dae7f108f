"""Duplicates, refusals and quarantine: what is stored, what is counted, what an activation releases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.inbox import Inbox, InboxClosed, InboxFull, Submission
from ingest.reports import PositionReport, Refusal, read_report
from ingest.wire import packed_body, read_request
from tests.kept import kept_reports
from tests.service_world import (
    AWAY,
    World,
    activation,
    curfew,
    event,
    iso,
    ms,
    position,
)  # fmt: skip


async def counts(world: World, device_id: str = "D1") -> tuple[int, ...]:
    """received, stored, duplicates, refused"""
    row = await world.connection.fetchrow(
        "SELECT received, stored, duplicates, refused FROM device_counts JOIN devices USING (device_no) "
        "WHERE device_id = $1",
        device_id,
    )
    return tuple(row) if row else ()


# ---------------------------------------------------------------------------------------------- duplicates


async def test_the_same_report_again_changes_nothing(world: World) -> None:
    for _ in range(3):
        answer = await world.send("D1", position(1, "11:59"), event(2, "11:59", "STRAP_TAMPER"))
        assert (answer.ack, answer.refused) == ([1, 2], [])
    assert await counts(world) == (6, 2, 4, 0)
    assert (len(await kept_reports(world.connection)), await world.count("integrity_events")) == (2, 0)
    assert await world.versions() == ["TAMPER new STRAP_TAMPER"]


async def test_the_same_content_under_another_number_is_kept_raw_and_stored_once_with_its_first_receipt(
    world: World,
) -> None:
    await world.send("D1", position(1, "11:59"), event(2, "11:59", "JAMMING", hmu_id="U"))
    await world.send_at("12:01", "D1", position(3, "11:59"), event(4, "11:59", "JAMMING", hmu_id="U"))
    assert await counts(world) == (4, 2, 2, 0)
    assert len(await kept_reports(world.connection)) == 4
    first = min(report.received_at for report in await kept_reports(world.connection))
    assert await world.connection.fetchval("SELECT received_at FROM positions") == first


async def test_within_one_request_repeats_are_duplicates_too(world: World) -> None:
    same = position(1, "11:59")
    answer = await world.send("D1", same, same, position(2, "11:59"), event(3, "11:59", "HEARTBEAT"))
    assert answer.ack == [1, 1, 2, 3]
    assert await counts(world) == (4, 2, 2, 0)
    assert await world.count("integrity_events") == 0


async def test_within_one_turn_repeats_of_two_requests_are_duplicates_too(world: World) -> None:
    one, two = await world.submit("D1", position(1, "11:59")), await world.submit("D1", position(1, "11:59"))
    await world.turn()
    assert (one.result().ack, two.result().ack) == ([1], [1])
    assert await counts(world) == (2, 1, 1, 0)


@pytest.mark.parametrize("together", [True, False], ids=["in one request", "in two"])
async def test_the_same_number_with_other_content_is_stored_and_is_an_integrity_event(
    world: World, together: bool
) -> None:
    one, other = position(1, "11:58"), position(1, "11:59", AWAY)
    if together:
        answer = await world.send("D1", one, other)
    else:
        await world.send("D1", one)
        answer = await world.send("D1", other)
    assert answer.refused == []
    assert await counts(world) == (2, 2, 0, 0)
    assert await world.connection.fetchval("SELECT what FROM integrity_events") is not None
    assert await world.count("integrity_events") == 1
    await world.send("D1", position(1, "11:57"), boot=2)
    assert await world.count("integrity_events") == 1, "another boot counts anew"


async def test_a_conflict_at_one_instant_is_kept_and_an_unknown_precision_is_a_content(world: World) -> None:
    await world.send("D1", position(1, "11:59"), position(2, "11:59", AWAY), position(3, "11:59", precision_m=None))
    await world.send("D1", position(4, "11:59", precision_m=None), position(5, "11:59", precision_m=6.0))
    assert await counts(world) == (5, 3, 2, 0)


async def test_a_position_once_too_far_ahead_stays_implausible_when_its_time_has_come(world: World) -> None:
    await world.send("D1", position(1, "12:05"), position(2, "12:05:01"))
    assert (await world.count("positions"), await world.count("future_positions")) == (1, 1)
    await world.send_at("12:10", "D1", position(3, "12:05:01"), position(4, "12:05"))
    assert (await world.count("positions"), await world.count("future_positions")) == (1, 1)
    assert await counts(world) == (4, 2, 2, 0)


async def test_devices_share_no_numbers(world: World) -> None:
    await world.send("D1", position(1, "11:59"))
    await world.send("D2", position(1, "11:59", AWAY))
    assert (await counts(world), await counts(world, "D2")) == ((1, 1, 0, 0), (1, 1, 0, 0))
    assert await world.count("integrity_events") == 0


# ---------------------------------------------------------------------------------------------- quarantine

NIGHT = [position(i, f"19:{i:02d}", AWAY) for i in range(1, 10)]


async def test_an_activation_entered_later_releases_what_was_refused_with_its_first_receipt(world: World) -> None:
    await world.enter({"activations": [activation(3, to="2026-03-02T09:00:00Z")], "requirements": [curfew(3)]})
    answer = await world.send_at("19:10", "D3", *NIGHT, event(20, "19:05", "STRAP_TAMPER"))
    assert answer.ack == [*range(1, 10), 20]
    assert {refused.reason for refused in answer.refused} == {"no_activation"}
    assert await counts(world, "D3") == (10, 0, 0, 10)
    again = await world.send("D3", event(20, "19:05", "STRAP_TAMPER"))
    assert [(refused.seq, refused.reason) for refused in again.refused] == [(20, "no_activation")]
    assert await counts(world, "D3") == (11, 0, 1, 10)
    world.clock.at_ms = ms("19:20")
    await world.enter({"activations": [activation(3)]})
    await world.turn()
    assert await counts(world, "D3") == (11, 10, 1, 0)
    assert (await world.count("quarantine"), await world.count("quarantine_releases")) == (10, 10)
    receipts = await world.connection.fetch("SELECT DISTINCT received_at FROM positions")
    assert [row["received_at"].isoformat() for row in receipts] == ["2026-03-02T19:10:00+00:00"]
    late = [line for line in await world.findings()]

    await world.enter({"activations": [activation(4)], "requirements": [curfew(4)]})
    await world.turn()
    again = [{**report, "seq": report["seq"] + 100} for report in NIGHT]
    await world.send("D4", *again, event(200, "19:05", "STRAP_TAMPER"))
    ordinary = [line for line in await world.lines() if line["wearer_id"] == "W4"]
    early = [line for line in await world.lines() if line["wearer_id"] == "W3"]
    strip = ("wearer_id", "activation_id", "requirement_id")
    assert [{k: v for k, v in line.items() if k not in strip} for line in early] == [
        {k: v for k, v in line.items() if k not in strip} for line in ordinary
    ]
    assert "19:05–… TAMPER STRAP_TAMPER" in late


async def test_what_is_sent_again_while_its_activation_is_entered_keeps_its_first_receipt(world: World) -> None:
    """The duplicate comes in the very turn that takes in the activation."""
    await world.enter({"activations": [activation(3, to="2026-03-02T09:00:00Z")]})
    await world.send_at("12:10", "D3", position(1, "12:05"))
    world.clock.at_ms = ms("12:30")
    await world.enter({"activations": [activation(3)]})
    await world.send("D3", position(2, "12:05"))
    assert await counts(world, "D3") == (2, 1, 1, 0)
    received = await world.connection.fetchval("SELECT received_at FROM positions")
    assert received.isoformat() == "2026-03-02T12:10:00+00:00"


async def test_what_is_refused_for_another_reason_stays_refused(world: World) -> None:
    await world.send("D1", position(1, "07:00"), position(2, "07:00", lat_deg=95))
    await world.enter({"activations": [activation(1, **{"from": "2026-03-02T06:00:00Z"})]})
    await world.turn()
    assert await counts(world) == (2, 1, 0, 1)


async def test_refused_twice_under_two_numbers_it_is_stored_once_when_released(world: World) -> None:
    await world.send("D1", position(1, "07:00"))
    await world.send_at("12:01", "D1", position(2, "07:00"), position(1, "07:00"))
    assert await counts(world) == (3, 0, 1, 2)
    await world.enter({"activations": [activation(1, **{"from": "2026-03-02T06:00:00Z"})]})
    await world.turn()
    assert await counts(world) == (3, 1, 2, 0)
    received = await world.connection.fetchval("SELECT received_at FROM positions")
    assert received.isoformat() == "2026-03-02T12:00:00+00:00"


async def test_a_shortened_activation_gives_up_its_facts_and_an_extended_one_takes_them_back(world: World) -> None:
    await world.send_at("19:10", "D1", *NIGHT)
    before = await world.findings()
    assert before == ["19:01–… CURFEW SEEN_OUT"]
    await world.enter({"activations": [activation(1, to="2026-03-02T19:00:00Z")]})
    await world.turn()
    assert await world.findings() == []
    await world.send("D1", position(50, "19:09:30", AWAY))
    assert await counts(world) == (10, 9, 0, 1)
    world.clock.at_ms = ms("19:11")
    await world.enter({"activations": [activation(1)]})
    await world.turn()
    assert await world.findings() == before
    assert await counts(world) == (10, 10, 0, 0)
    assert await world.versions() == ["CURFEW new SEEN_OUT", "CURFEW withdrawn SEEN_OUT", "CURFEW new SEEN_OUT"]


async def test_a_released_report_is_released_after_a_restart_too(world: World) -> None:
    await world.send("D1", position(1, "07:00"))
    await world.enter({"activations": [activation(1, **{"from": "2026-03-02T06:00:00Z"})]})
    await world.start()
    await world.turn()
    assert await counts(world) == (1, 1, 0, 0)


async def test_days_in_the_first_and_the_last_year_have_room(world: World) -> None:
    await world.enter({"activations": [activation(1, **{"from": "0001-02-01T00:00:00Z"})]})
    await world.send("D1", position(1, "0001-02-01T00:00:00Z"), position(2, "9999-12-28T00:00:00Z"))
    assert (await world.count("positions"), await world.count("future_positions")) == (1, 1)


async def test_positions_are_evidence_of_whoever_wore_the_device_at_the_time(world: World) -> None:
    await world.enter(
        {"activations": [
            activation(1, to="2026-03-02T19:30:00Z"),
            activation(2, activation_id="A9", device_id="D1", **{"from": "2026-03-02T19:30:00Z"}),
        ]}
    )  # fmt: skip
    await world.send_at("19:40", "D1", *(position(i, f"19:{i:02d}", AWAY) for i in range(20, 40, 2)))
    assert [
        (line["wearer_id"], line["begin"], line["end"]) for line in await world.lines() if line["kind"] == "CURFEW"
    ] == [
        ("W1", iso("19:20"), iso("19:30")),
        ("W2", iso("19:30"), None),
    ]


# ---------------------------------------------------------------------------------------------- reading

values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers(0, 3)), inner, max_size=3),
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(["speed_kmh", "satellites", "precision_m", "note", "lat_deg", "fix_time"]), values
    )
)
def test_a_report_that_is_kept_reads_the_same_when_it_is_examined_again(change: dict[str, object]) -> None:
    import msgspec

    raw = {**position(1, "11:59"), **change}
    kept = read_report(msgspec.msgpack.decode(packed_body(raw)))
    first = read_report(raw)
    if isinstance(first, Refusal):
        assert isinstance(kept, Refusal)
        assert kept.reason == first.reason
    else:
        assert kept == first


def test_a_number_too_large_for_messagepack_in_an_optional_field_costs_nothing_else() -> None:
    body = b'{"boot": 1, "reports": [{"seq": 1, "type": "position", "fix_time": "2026-03-02T11:59:00Z", '
    body += b'"lat_deg": 53, "lon_deg": -2, "mechanism": "GPS", "satellites": 99999999999999999999999}]}'
    (received,) = read_request(body, "application/json").reports
    assert isinstance(received.report, PositionReport)


# ---------------------------------------------------------------------------------------------- the inbox


async def test_the_inbox_is_bounded_by_reports_and_takes_one_that_is_larger_alone() -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    (one,) = read_request(b'{"boot": 1, "reports": [{}]}', "application/json").reports

    def of(size: int) -> Submission:
        return Submission(1, [one] * size, loop.create_future())

    inbox = Inbox(5)
    inbox.put(of(7))
    with pytest.raises(InboxFull):
        inbox.put(of(1))
    assert [s.size for s in await inbox.gather(3, 0.001)] == [7]
    assert inbox.filled == 0
    for size in (2, 2, 1):
        inbox.put(of(size))
    gone = of(0)
    assert gone.size == 1
    assert [s.size for s in await inbox.gather(3, 0.001)] == [2]
    waiting = of(1)
    inbox.put(waiting)
    inbox.close()
    assert isinstance(waiting.done.exception(), InboxClosed)
    with pytest.raises(InboxClosed):
        inbox.put(of(1))
    assert inbox.filled == 0
