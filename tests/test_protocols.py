"""Decoders of device protocols: bytes in, reports and answers out."""

from __future__ import annotations

import json
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geofence import EventType, Mechanism, parse_instant
from ingest import EventReport, PositionReport, Refusal, RefusalReason
from ingest.protocols import (
    NEED_DATA,
    PROTOCOLS,
    Conversation,
    Frame,
    Gt06Conversation,
    Login,
    ProtocolError,
    QueclinkConversation,
    Source,
    Spoiled,
    TeltonikaConversation,
    kept_whole,
    named,
    read_datagram,
)
from ingest.protocols.checksums import crc16_ibm, crc16_itu
from ingest.protocols.teltonika import MOST_DATA_BYTES, read_data
from tests.service_world import HOME, ms
from tests.trackers import (
    CELL,
    IMEI,
    Avl,
    avl_data,
    avl_datagram,
    avl_frame,
    avl_login,
    crc16_ibm_bitwise,
    crc16_itu_bitwise,
    framed,
    gt06_login,
    gt06_message,
    gt06_place,
    queclink,
    queclink_place,
)

VECTORS = Path(__file__).parent.parent.parent / "shared" / "data" / "traccar-vectors"
MOST_S = 0.1
MOST_HELD_BYTES = 2_000_000
RECEIVED_MS = ms("12:01")


def vectors(protocol: str) -> list[dict[str, Any]]:
    """Frames of real devices, beside the project and no part of it."""
    file = VECTORS / f"{protocol}ProtocolDecoder.jsonl"
    if not file.exists():
        pytest.skip(f"the frames of real devices are not here ({file})")
    return [json.loads(line) for line in file.read_text().splitlines()]


def said(conversation: Conversation, frame: Any) -> list[PositionReport | EventReport | Refusal]:
    """What becomes of the reports of a frame."""
    assert isinstance(frame, Frame)
    reading = conversation.read(frame)
    assert reading.trouble is None
    return [named(report, Source.UNAUTHENTICATED, RECEIVED_MS).report for report in reading.reports]


def logged_in() -> TeltonikaConversation:
    conversation = TeltonikaConversation()
    conversation.receive_data(avl_login())
    assert conversation.next_event() == Login(IMEI)
    return conversation


def teltonika(*records: Avl, codec: int = 8) -> list[PositionReport | EventReport | Refusal]:
    conversation = logged_in()
    conversation.receive_data(avl_frame(*records, codec=codec))
    return said(conversation, conversation.next_event())


def events(reports: list[PositionReport | EventReport | Refusal]) -> list[str]:
    return [str(report.type) for report in reports if isinstance(report, EventReport)]


# ---------------------------------------------------------------------------------------------- Teltonika


@pytest.mark.parametrize("codec", [0x08, 0x8E])
def test_a_record_is_a_position_with_what_the_receiver_says_of_itself(codec: int) -> None:
    elements = {(182, 2): 9, (69, 1): 1, (66, 2): 12_000}
    [report] = teltonika(Avl("12:00", elements=elements), codec=codec)
    assert isinstance(report, PositionReport)
    assert (report.fix_ms, report.mechanism, report.satellites, report.hdop) == (ms("12:00"), Mechanism.GPS, 9, 0.9)
    assert (report.lat_deg, report.lon_deg) == pytest.approx((HOME[1], HOME[0]), abs=1e-7)
    assert (report.precision_m, report.speed_kmh, report.direction_deg) == (None, 5, 90)


@pytest.mark.parametrize(
    ("dops", "precision_m"), [({(182, 2): 20}, None), ({(182, 2): 55}, 55.0), ({(181, 2): 80}, 80.0)]
)
def test_a_receiver_that_sees_badly_has_a_wider_circle_and_none_a_narrower(
    dops: dict[tuple[int, int], int], precision_m: float | None
) -> None:
    [report] = teltonika(Avl(elements=dops))
    assert isinstance(report, PositionReport)
    assert report.precision_m == precision_m


@pytest.mark.parametrize("record", [Avl(satellites=0), Avl(elements={(69, 1): 2}), Avl(elements={(69, 1): 3})])
def test_a_place_of_another_time_is_no_position(record: Avl) -> None:
    assert events(teltonika(record)) == ["HEARTBEAT"]


@pytest.mark.parametrize(
    ("element", "value", "cause", "told"),
    [
        ((113, 1), 9, 0, ["BATTERY_CRITICAL"]), ((113, 1), 20, 0, ["BATTERY_LOW"]), ((113, 1), 80, 113, ["BATTERY_OK"]),
        ((113, 1), 80, 0, []), ((249, 1), 1, 0, ["JAMMING"]), ((318, 1), 2, 0, ["JAMMING"]),
        ((249, 1), 0, 249, ["JAMMING_CLEAR"]), ((249, 1), 0, 0, []), ((252, 1), 1, 252, ["CASE_TAMPER"]),
        ((252, 1), 0, 252, ["CASE_CLEAR"]), ((252, 1), 0, 113, []),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_each_time_and_what_is_well_again_once(
    element: tuple[int, int], value: int, cause: int, told: list[str]
) -> None:
    codec = 0x8E if element[0] > 255 else 8
    reports = teltonika(Avl(cause=cause, elements={element: value}), codec=codec)
    assert events(reports) == told
    assert isinstance(reports[0], PositionReport)


def test_a_time_that_no_calendar_has_refuses_its_own_record_and_no_other() -> None:
    good = Avl().bytes(8)
    data = b"\x08\x02" + good + b"\xff" * 8 + good[8:] + b"\x02"
    first, second = [named(r, Source.UNAUTHENTICATED, RECEIVED_MS).report for r in read_data(data).reports]
    assert isinstance(first, PositionReport)
    assert isinstance(second, Refusal)
    assert second.reason is RefusalReason.BAD_TIME


def test_a_frame_is_acknowledged_by_the_count_of_its_records_however_it_is_cut() -> None:
    conversation = TeltonikaConversation()
    heard = []
    for byte in avl_login() + b"\xff" + avl_frame(Avl("12:00"), Avl("12:01"), Avl("12:02")) + b"\xff":
        conversation.receive_data(bytes([byte]))
        while (event := conversation.next_event()) is not NEED_DATA:
            heard.append(event)
    assert heard[0] == Login(IMEI)
    assert len(heard) == 2
    assert isinstance(heard[1], Frame)
    assert (conversation.accept(), conversation.acknowledge(heard[1])) == (b"\x01", b"\x00\x00\x00\x03")


def test_a_frame_with_a_bad_checksum_is_refused_and_asked_for_again() -> None:
    conversation = logged_in()
    frame = bytearray(avl_frame(Avl()))
    frame[20] ^= 0x10
    conversation.receive_data(bytes(frame) + avl_frame(Avl()))
    spoiled = conversation.next_event()
    assert isinstance(spoiled, Spoiled)
    assert spoiled.answer == bytes(4)
    assert isinstance(conversation.next_event(), Frame)


@given(st.binary(max_size=64))
def test_the_checksum_is_the_one_of_the_standard(data: bytes) -> None:
    assert crc16_ibm(data) == crc16_ibm_bitwise(data)


def test_a_right_frame_that_cannot_be_read_says_why_and_may_be_forgotten_by_its_device() -> None:
    conversation = logged_in()
    conversation.receive_data(framed(b"\x08\x05 nothing of the sort"))
    frame = conversation.next_event()
    assert isinstance(frame, Frame)
    trouble = conversation.read(frame).trouble
    assert trouble == "a record ends before its end"
    assert conversation.acknowledge(frame) == b"\x00\x00\x00\x05"
    kept = kept_whole(frame.data, trouble, Source.UNAUTHENTICATED)
    assert isinstance(kept.report, Refusal)
    assert kept.seq is None


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n", avl_login("35630704244101x"), avl_login() + b"\x01", avl_login() + bytes(8),
     avl_login() + bytes(4) + (MOST_DATA_BYTES + 1).to_bytes(4)],
)  # fmt: skip
def test_what_is_not_of_the_protocol_ends_the_conversation(sent: bytes) -> None:
    conversation = TeltonikaConversation()
    conversation.receive_data(sent + bytes(20))
    with pytest.raises(ProtocolError):
        list(iter(conversation.next_event, NEED_DATA))


def test_a_datagram_is_acknowledged_with_its_numbers_and_the_count_of_its_records() -> None:
    datagram = read_datagram(avl_datagram(Avl("12:00"), Avl("12:01")))
    assert datagram.identifier == IMEI
    assert datagram.acknowledgement() == bytes.fromhex("0005CAFE010502")
    assert len(read_data(datagram.frame.data).reports) == 2


def test_frames_of_real_teltonika_trackers_are_read() -> None:
    read = 0
    for vector in vectors("Teltonika"):
        sent = bytes.fromhex(vector["input"]["data"])
        if sent[:4] != bytes(4):
            continue
        conversation = logged_in()
        conversation.receive_data(sent)
        frame = conversation.next_event()
        if (
            isinstance(frame, Frame) and frame.data[0] in (0x08, 0x8E) and vector["line"] != 161
        ):  # that one is cut off
            reading = conversation.read(frame)
            assert reading.trouble is None, vector["line"]
            assert len({r.get("fix_time", r.get("event_time")) for r in reading.reports}) <= frame.data[1]
            read += 1
    assert read >= 13


# ---------------------------------------------------------------------------------------------- GT06


def gt06(*messages: bytes, login: bytes = b"") -> list[PositionReport | EventReport | Refusal]:
    conversation = Gt06Conversation()
    conversation.receive_data((login or gt06_login()) + b"".join(messages))
    assert conversation.next_event() == Login(IMEI)
    frames = list(iter(conversation.next_event, NEED_DATA))
    return [report for frame in frames for report in said(conversation, frame)]


@pytest.mark.parametrize(("place", "kind"), [(HOME, 0x12), ((151.2, -33.9), 0x22)])
def test_a_position_of_a_gt06_lies_in_its_hemispheres(place: tuple[float, float], kind: int) -> None:
    [report] = gt06(gt06_message(kind, gt06_place("12:00", place)))
    assert isinstance(report, PositionReport)
    assert (report.lat_deg, report.lon_deg) == pytest.approx((place[1], place[0]), abs=1e-6)
    assert (report.fix_ms, report.satellites, report.speed_kmh, report.direction_deg) == (ms("12:00"), 9, 5, 90)


def test_a_gt06_without_a_fix_says_that_it_is_there() -> None:
    assert events(gt06(gt06_message(0x12, gt06_place(flags=0)), gt06_message(0x12, gt06_place(satellites=0)))) == [
        "HEARTBEAT", "HEARTBEAT",
    ]  # fmt: skip


def test_times_of_a_gt06_are_in_the_zone_that_its_login_names() -> None:
    east = gt06_login(more=bytes.fromhex("0102") + (800 << 4).to_bytes(2))
    [report] = gt06(gt06_message(0x12, gt06_place("20:00")), login=east)
    assert isinstance(report, PositionReport)
    assert report.fix_ms == ms("12:00")


@pytest.mark.parametrize(
    ("alarm", "told"),
    [(0x00, []), (0x01, []), (0x0C, ["CASE_TAMPER"]), (0x13, ["CASE_TAMPER"]), (0x0E, ["BATTERY_LOW"])],
)
def test_an_alarm_of_a_gt06_is_its_position_and_what_it_says(alarm: int, told: list[str]) -> None:
    reports = gt06(gt06_message(0x26, gt06_place(more=CELL + bytes([6, 4, 4, alarm, 2]))))
    assert isinstance(reports[0], PositionReport)
    assert events(reports) == told


@pytest.mark.parametrize(
    ("level", "told"),
    [(0, "BATTERY_CRITICAL"), (1, "BATTERY_CRITICAL"), (2, "BATTERY_LOW"), (3, "BATTERY_OK"), (6, "BATTERY_OK")],
)
def test_a_status_of_a_gt06_says_how_full_its_battery_is_at_the_moment_at_which_it_came(
    level: int, told: str
) -> None:
    [report] = gt06(gt06_message(0x13, bytes([6, level, 4, 0, 2])))
    assert report == EventReport(RECEIVED_MS, EventType(told))


def test_a_gt06_is_answered_to_its_login_to_its_status_and_to_alarms_and_to_nothing_else() -> None:
    conversation = Gt06Conversation()
    conversation.receive_data(gt06_login(serial=7))
    assert isinstance(conversation.next_event(), Login)
    assert conversation.accept() == gt06_message(0x01, serial=7)
    for kind, is_answered in ((0x13, True), (0x16, True), (0x26, True), (0x12, False), (0x94, False)):
        conversation.receive_data(gt06_message(kind, gt06_place(), serial=300))
        frame = conversation.next_event()
        assert isinstance(frame, Frame)
        assert conversation.acknowledge(frame) == (gt06_message(kind, serial=300) if is_answered else b"")


def test_a_message_of_a_gt06_with_a_bad_checksum_is_refused_and_the_next_is_read() -> None:
    conversation = Gt06Conversation()
    spoiled = bytearray(gt06_message(0x12, gt06_place()))
    spoiled[10] ^= 4
    conversation.receive_data(gt06_login() + bytes(spoiled) + gt06_message(0x12, gt06_place()))
    heard = [type(event) for event in iter(conversation.next_event, NEED_DATA)]
    assert heard == [Login, Spoiled, Frame]


@given(st.binary(max_size=64))
def test_the_checksum_of_a_gt06_is_the_one_of_the_standard(data: bytes) -> None:
    assert crc16_itu(data) == crc16_itu_bitwise(data)


def test_messages_of_real_gt06_trackers_are_read() -> None:
    places = {}
    for vector in vectors("Gt06"):
        conversation = Gt06Conversation()
        conversation.receive_data(gt06_login() + bytes.fromhex(vector["input"]["data"]))
        with suppress(ProtocolError):
            for event in iter(conversation.next_event, NEED_DATA):
                if isinstance(event, Frame):
                    for report in said(conversation, event):
                        if isinstance(report, PositionReport):
                            places[vector["line"]] = report
    assert len(places) >= 12
    known = places[489]
    assert (known.lat_deg, known.lon_deg) == pytest.approx((54.94535, 24.01762), abs=1e-5)
    assert known.fix_ms == parse_instant("2015-10-20T14:21:11Z")


# ---------------------------------------------------------------------------------------------- Queclink


def spoken(*messages: bytes) -> list[PositionReport | EventReport | Refusal]:
    conversation = QueclinkConversation()
    conversation.receive_data(b"".join(messages))
    assert conversation.next_event() == Login(IMEI)
    return [report for frame in iter(conversation.next_event, NEED_DATA) for report in said(conversation, frame)]


def test_a_report_of_a_queclink_has_all_its_positions_and_those_without_a_fix_are_none() -> None:
    places = [queclink_place("11:58"), queclink_place("11:59", accuracy="0"), queclink_place("12:00", accuracy="4")]
    first, last = spoken(queclink("GTFRI", "0", "0", "3", *places, "0460", "0000", "18d8", "6141", "00", "99"))
    assert isinstance(first, PositionReport)
    assert isinstance(last, PositionReport)
    assert (first.fix_ms, first.hdop, first.precision_m, first.speed_kmh) == (ms("11:58"), 1.0, None, 4.3)
    assert (last.lat_deg, last.lon_deg) == pytest.approx((HOME[1], HOME[0]))
    assert (last.fix_ms, last.precision_m) == (ms("12:00"), 40.0)


@pytest.mark.parametrize(
    ("message", "told"),
    [(queclink("GTBPL", "3.53"), "BATTERY_LOW"), (queclink("GTSTC", ""), "BATTERY_OK"), (queclink("GTJDR"), "JAMMING"),
     (queclink("GTJDS", "2"), "JAMMING"), (queclink("GTJDS", "1"), "JAMMING_CLEAR"), (queclink("GTINF", "41"), "HEARTBEAT"),
     (queclink("GTHBD", head="ACK"), "HEARTBEAT")],
)  # fmt: skip
def test_a_queclink_tells_of_its_battery_of_jamming_and_that_it_is_there(message: bytes, told: str) -> None:
    assert spoken(message) == [EventReport(ms("12:00"), EventType(told))]


def test_a_queclink_is_acknowledged_by_its_count_and_what_it_kept_is_the_same_report() -> None:
    conversation = QueclinkConversation()
    live, kept = queclink("GTFRI", queclink_place()), queclink("GTFRI", queclink_place(), head="BUFF", count="11F9")
    conversation.receive_data(live + b"\0\r\n" + kept + queclink("GTHBD", head="ACK", count="12AB"))
    login, first, second, beat = iter(conversation.next_event, NEED_DATA)
    assert login == Login(IMEI)
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert isinstance(beat, Frame)
    answers = [conversation.acknowledge(frame) for frame in (first, second, beat)]
    assert answers == [b"+SACK:11F0$", b"+SACK:11F9$", b"+SACK:GTHBD,020102,12AB$"]
    assert conversation.read(first) == conversation.read(second)


@pytest.mark.parametrize(
    "message", [b"GET / HTTP/1.1$", b"+RESP:GTFRI$", queclink("GTFRI", imei="x"), b"+RESP:" + b"x" * 5_000]
)
def test_what_is_no_message_of_a_queclink_ends_the_conversation(message: bytes) -> None:
    conversation = QueclinkConversation()
    conversation.receive_data(message)
    with pytest.raises(ProtocolError):
        conversation.next_event()


def test_a_queclink_does_not_speak_for_another() -> None:
    conversation = QueclinkConversation()
    conversation.receive_data(queclink("GTFRI") + queclink("GTFRI", imei="356307042441021"))
    assert isinstance(conversation.next_event(), Login)
    assert isinstance(conversation.next_event(), Frame)
    with pytest.raises(ProtocolError):
        conversation.next_event()


def test_messages_of_real_queclink_trackers_are_read() -> None:
    count = 0
    for vector in vectors("Gl200Text"):
        conversation = QueclinkConversation()
        conversation.receive_data(vector["input"]["data"].encode())
        with suppress(ProtocolError):
            for event in iter(conversation.next_event, NEED_DATA):
                count += isinstance(event, Frame) and isinstance(said(conversation, event)[0], PositionReport)
    assert count >= 36


# ---------------------------------------------------------------------------------------------- names of reports


def test_the_same_record_is_the_same_report_and_another_is_another() -> None:
    once, again, other = (
        [named(r, Source.UNAUTHENTICATED, RECEIVED_MS) for r in read_data(data).reports]
        for data in (avl_data(Avl("12:00"), Avl("12:01")), avl_data(Avl("12:01")), avl_data(Avl("12:01", cause=7)))
    )
    assert again == once[1:]
    assert other[0].seq != again[0].seq
    assert {report.boot for report in once} == {Source.UNAUTHENTICATED}
    assert all(0 <= (report.seq or 0) < 2**63 for report in once)


def test_what_says_no_time_is_of_the_moment_at_which_it_came() -> None:
    report = named({"type": "event", "event": "HEARTBEAT"}, Source.PRIVATE_NETWORK, RECEIVED_MS).report
    assert report == EventReport(RECEIVED_MS, EventType.HEARTBEAT)


# ---------------------------------------------------------------------------------------------- whatever comes


def pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    place = 0
    for size in sizes:
        yield data[place : place + size]
        place += size
    yield data[place:]


def converse(conversation: Conversation, parts: Iterator[bytes]) -> None:
    """As a listener does it. Raises what is no ProtocolError."""
    with suppress(ProtocolError):
        for part in parts:
            conversation.receive_data(part)
            while (event := conversation.next_event()) is not NEED_DATA:
                if isinstance(event, Frame):
                    for report in conversation.read(event).reports:
                        named(report, Source.UNAUTHENTICATED, RECEIVED_MS)
                    conversation.acknowledge(event)
                elif isinstance(event, Login):
                    conversation.accept()


PAGE = (Path(__file__).parent.parent / "docs" / "protocols.md").read_text()
NEWCOMER: dict[str, Any] = {}
exec(
    re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0], NEWCOMER
)  # the example of the documentation, as it stands there
BEACON_LINE = b"B-1;2026-03-02T12:00:00Z;53.0027;-2.1753\n"

CONVERSATIONS: dict[str, tuple[Callable[[], Conversation], list[bytes]]] = {
    "teltonika": (
        TeltonikaConversation,
        [avl_login(), avl_frame(Avl(elements={(249, 1): 1})), avl_frame(Avl(), Avl(), codec=0x8E)],
    ),
    "gt06": (
        Gt06Conversation,
        [
            gt06_login(),
            gt06_message(0x12, gt06_place()),
            gt06_message(0x26, gt06_place(more=CELL + bytes(5))),
            gt06_message(0x13, bytes(5)),
        ],
    ),
    "beacon": (NEWCOMER["BeaconConversation"], [BEACON_LINE, b"B-1;yesterday;1;2\n"]),
    "queclink": (
        QueclinkConversation,
        [
            queclink("GTFRI", queclink_place(), queclink_place(accuracy="")),
            queclink("GTJDS", "2"),
            queclink("GTHBD", head="ACK"),
        ],
    ),
}
"""How a conversation begins, and what may come in it."""


@st.composite
def streams(draw: st.DrawFn, known: list[bytes]) -> bytes:
    """Right frames, changed here and there, cut, repeated, with anything between them."""
    parts = [known[0]] if draw(st.integers(0, 9)) else []
    for _ in range(draw(st.integers(0, 4))):
        part = bytearray(draw(st.sampled_from(known)) if draw(st.integers(0, 3)) else draw(st.binary(max_size=60)))
        for _ in range(draw(st.integers(0, 3))):
            if part:
                part[draw(st.integers(0, len(part) - 1))] = draw(st.integers(0, 255))
        parts.append(bytes(part[: draw(st.integers(len(part) // 2, len(part)))]))
    return b"".join(parts)


def checked(protocol: str, data: st.DataObject) -> None:
    make, known = CONVERSATIONS[protocol]
    stream = data.draw(streams(known))
    sizes = data.draw(st.lists(st.integers(1, 40), max_size=4))
    began_s = time.process_time()
    converse(make(), pieces(stream, sizes))
    assert time.process_time() - began_s < MOST_S


@pytest.mark.parametrize("protocol", CONVERSATIONS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_nothing_that_comes_raises_or_holds_a_decoder_up(protocol: str, data: st.DataObject) -> None:
    checked(protocol, data)


@pytest.mark.long
@pytest.mark.parametrize("protocol", CONVERSATIONS)
def test_nothing_that_comes_in_a_minute_raises_or_holds_a_decoder_up(protocol: str) -> None:
    @settings(max_examples=2_000, deadline=None, database=None)
    @given(data=st.data())
    def attempt(data: st.DataObject) -> None:
        checked(protocol, data)

    began_s = time.monotonic()
    while time.monotonic() < began_s + 60:
        attempt()


@given(st.binary(max_size=200) | st.binary(max_size=20).map(lambda tail: avl_datagram(Avl()) + tail))
@example(avl_datagram(Avl())[:40])
def test_no_datagram_raises_anything_but_its_own_error(sent: bytes) -> None:
    with suppress(ProtocolError):
        read_data(read_datagram(sent).frame.data)


@pytest.mark.parametrize("protocol", CONVERSATIONS)
def test_a_decoder_holds_one_frame_and_no_more_and_the_longest_is_read_in_time(protocol: str) -> None:
    make, known = CONVERSATIONS[protocol]
    tracemalloc.start()
    try:
        for filling in (b"\x00", b"\xff", b"x", b",", b"\x01\x02"):
            conversation = make()
            flood = known[0] + filling * 16_384
            began_s = time.process_time()
            converse(conversation, iter([flood] * 20))
            assert time.process_time() - began_s < 20 * MOST_S
        assert tracemalloc.get_traced_memory()[0] < MOST_HELD_BYTES
    finally:
        tracemalloc.stop()


def test_a_frame_of_the_greatest_length_is_read_in_time() -> None:
    began_s = time.process_time()
    many = teltonika(*[Avl(elements={(113, 1): 5, (249, 1): 1})] * 255)
    assert time.process_time() - began_s < MOST_S
    assert len(many) == 3 * 255


# ---------------------------------------------------------------------------------------------- all of them


def test_every_protocol_is_fuzzed_and_stands_on_its_page() -> None:
    assert {name for name, known in PROTOCOLS.items() if known.converse is not None} <= CONVERSATIONS.keys()
    assert [name for name in PROTOCOLS if f"`{name}`" not in PAGE.partition("## To add")[0]] == []


def test_the_newcomers_example_reads_and_refuses_as_the_page_says() -> None:
    conversation = NEWCOMER["BeaconConversation"]()
    conversation.receive_data(BEACON_LINE + b"B-1;2026-03-02T12:00:00Z;1.2.3;4\nB-1;nowhere\n")
    assert conversation.next_event() == Login("B-1")
    place, bad, unreadable = iter(conversation.next_event, NEED_DATA)
    [report] = said(conversation, place)
    assert isinstance(report, PositionReport)
    assert (report.fix_ms, report.lat_deg, report.lon_deg) == (ms("12:00"), HOME[1], HOME[0])
    [refused] = said(conversation, bad)
    assert isinstance(refused, Refusal)
    assert refused.reason is RefusalReason.BAD_COORDINATE
    assert "expected NAME;TIME" in conversation.read(unreadable).trouble
