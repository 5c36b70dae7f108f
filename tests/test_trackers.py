"""Trackers that speak protocols of their own, over real sockets: from the first byte to the commit, and the answer after it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from alerts import AlertFilter, Severity, open_alerts
from emtrack.db.connect import connect
from emtrack.files.identifiers import read_identifiers
from emtrack.forms.errors import FormError
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import (
    end_device_identifier,
    import_with_keys,
    set_device_identifier,
    set_device_identifiers,
)
from emtrack.record.device_identifiers import (
    IdentifierTaken,
    UnfitIdentifier,
    list_identifiers,
    unauthenticated_among,
)
from emtrack.record.devices import NoDevice
from emtrack.settings import Settings, SettingsError, TrackerListener, read_settings
from ingest import Submission
from ingest.protocols import PROTOCOLS, Source, named
from tests.office import away, open_office
from tests.service_world import (
    AWAY,
    HOME,
    Door,
    World,
    activation,
    assert_conserved,
    iso,
    ms,
    orders,
    position,
    serving,
    settings_for,
)
from tests.test_protocols import BEACON_LINE, NEWCOMER
from tests.trackers import (
    CELL,
    IMEI,
    Avl,
    avl_datagram,
    avl_frame,
    avl_login,
    framed,
    gt06_login,
    gt06_message,
    gt06_place,
    queclink,
    queclink_place,
)
from tests.visitor import Visitor

OTHER_IMEI = "356307042441021"
HEARD = (TrackerListener("teltonika", False, "127.0.0.1", 0), TrackerListener("teltonika", True, "127.0.0.1", 0))
OTHERS = (TrackerListener("gt06", False, "127.0.0.1", 0), TrackerListener("queclink", False, "127.0.0.1", 0))


def port_of(heard: Sequence[str], protocol: str, how: str = "TCP") -> int:
    told = next(one for one in heard if one.startswith(protocol) and how in one)
    return int(re.search(r":(\d+) ", told)[1])  # type: ignore[index]


class Tracked:
    """The service with its trackers' doors, and what stands in its database."""

    def __init__(self, door: Door, connection: asyncpg.Connection, settings: Settings) -> None:
        self.door = door
        self.connection = connection
        self.settings = settings

    def port(self, protocol: str, how: str = "TCP") -> int:
        return port_of(self.door.service.heard, protocol, how)

    async def dialled(self, protocol: str = "teltonika") -> Dialled:
        return Dialled(*await asyncio.open_connection("127.0.0.1", self.port(protocol)))

    async def stored(self) -> list[str]:
        """What stands in the record, in the order in which it came."""
        rows = await self.connection.fetch(
            "SELECT fact_id, fix_time AS at, 'position' AS what FROM positions UNION ALL "
            "SELECT fact_id, event_time, type FROM device_events ORDER BY fact_id"
        )
        return [f"{row['at']:%H:%M} {row['what']}" for row in rows]

    async def counted(self, protocol: str, outcome: str) -> int:
        name = f'emtrack_protocol_messages_total{{outcome="{outcome}",protocol="{protocol}"}} '
        found = [line for line in (await self.door.metrics()).splitlines() if line.startswith(name)]
        return int(float(found[0].rpartition(" ")[2])) if found else 0


class Dialled:
    """A tracker's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def says(self, sent: bytes, expected: int) -> bytes:
        """What it is answered, of so many bytes; less where the other end closes."""
        self.writer.write(sent)
        try:
            async with asyncio.timeout(10):
                return await self.reader.readexactly(expected)
        except asyncio.IncompleteReadError as error:
            return error.partial

    async def is_closed(self) -> bool:
        async with asyncio.timeout(10):
            return await self.reader.read() == b""

    def leaves(self) -> None:
        self.writer.close()


@asynccontextmanager
async def tracked(dsn: str, **fields: object) -> AsyncIterator[Tracked]:
    """D1 speaks Teltonika."""
    async with serving(dsn, **{"trackers": HEARD, **fields}) as door:  # type: ignore[arg-type]
        settings = settings_for(dsn)
        await set_device_identifier(settings, "D1", "teltonika", IMEI, who="Ann")
        connection = await connect(dsn)
        try:
            yield Tracked(door, connection, settings)
        finally:
            await connection.close()


async def test_a_teltonika_tracker_is_answered_after_the_commit_and_what_it_sends_again_changes_nothing(
    database_url: str,
) -> None:
    async with tracked(database_url) as world:
        tracker = await world.dialled()
        assert await tracker.says(avl_login(), 1) == b"\x01"
        records = [Avl("11:58"), Avl("11:59", satellites=0), Avl("12:00", elements={(249, 1): 1})]
        assert await tracker.says(avl_frame(*records), 4) == b"\x00\x00\x00\x03"
        there = ["11:58 position", "11:59 HEARTBEAT", "12:00 position", "12:00 JAMMING"]
        assert await world.stored() == there

        again = await world.dialled()
        assert await again.says(avl_login(), 1) == b"\x01"
        assert (
            await again.says(avl_frame(*records[1:]) + avl_frame(Avl("12:01")), 8)
            == b"\x00\x00\x00\x02\x00\x00\x00\x01"
        )
        assert await world.stored() == [*there, "12:01 position"]

        spoiled = bytearray(avl_frame(Avl("12:02")))
        spoiled[15] ^= 1
        assert await again.says(bytes(spoiled), 4) == bytes(4)
        assert await again.says(framed(b"\x08\x07 what nobody can read"), 4) == b"\x00\x00\x00\x07"
        assert await again.says(avl_frame(Avl("12:02", AWAY)), 4) == b"\x00\x00\x00\x01"
        counted = {
            outcome: await world.counted("teltonika", outcome)
            for outcome in ("committed", "bad checksum", "unreadable")
        }
        assert counted == {"committed": 4, "bad checksum": 1, "unreadable": 1}
        assert (await assert_conserved(world.connection))["D1"] == 10
        reason = await world.connection.fetchval("SELECT reason || ': ' || action FROM quarantine")
        assert reason.startswith("unreadable: a record ends before its end")

        twice = avl_frame(Avl("12:03"), Avl("12:04"), Avl("12:03"))
        many = [await world.dialled() for _ in range(4)]
        logins = [await one.says(avl_login(), 1) for one in many]
        answers = await asyncio.gather(*(one.says(twice, 4) for one in many))
        assert (logins, answers) == ([b"\x01"] * 4, [b"\x00\x00\x00\x03"] * 4)
        assert (await world.stored())[-2:] == ["12:03 position", "12:04 position"]
        assert (await assert_conserved(world.connection))["D1"] == 10 + 4 * 3
        assert await world.connection.fetchval("SELECT count(*) FROM integrity_events") == 0
        tracker.leaves()
        again.leaves()


async def test_a_gt06_and_a_queclink_are_answered_in_their_own_words_after_the_commit(database_url: str) -> None:
    async with tracked(database_url, trackers=OTHERS) as world:
        await set_device_identifier(world.settings, "D1", "gt06", IMEI, who="Ann")
        await set_device_identifier(world.settings, "D2", "queclink", IMEI, who="Ann")

        gt06 = await world.dialled("gt06")
        assert await gt06.says(gt06_login(serial=3), 10) == gt06_message(0x01, serial=3)
        alarm = gt06_message(0x26, gt06_place("12:00", more=CELL + bytes([6, 4, 4, 0x13, 2])), serial=5)
        assert await gt06.says(gt06_message(0x12, gt06_place("11:59"), serial=4) + alarm, 10) == gt06_message(
            0x26, serial=5
        )
        assert await world.stored() == ["11:59 position", "12:00 position", "12:00 CASE_TAMPER"]

        queclink_tracker = await world.dialled("queclink")
        said = queclink("GTFRI", "0", "0", "1", queclink_place("12:01"), "99") + queclink(
            "GTHBD", head="ACK", at="12:02"
        )
        answers = b"+SACK:11F0$+SACK:GTHBD,020102,11F0$"
        assert await queclink_tracker.says(said, len(answers)) == answers
        assert (await world.stored())[3:] == ["12:01 position", "12:02 HEARTBEAT"]
        assert await assert_conserved(world.connection) == {"D1": 3, "D2": 2}
        gt06.leaves()
        queclink_tracker.leaves()


async def test_the_newcomers_protocol_of_the_documentation_speaks_with_the_service(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROTOCOLS, "beacon", NEWCOMER["BEACON"])
    async with tracked(database_url, trackers=(TrackerListener("beacon", False, "127.0.0.1", 0),)) as world:
        await set_device_identifier(world.settings, "D1", "beacon", "B-1", who="Ann")
        beacon = await world.dialled("beacon")
        assert await beacon.says(BEACON_LINE + BEACON_LINE, 6) == b"OK\nOK\n"
        assert await world.stored() == ["12:00 position"]
        beacon.leaves()


async def test_over_udp_a_datagram_is_answered_after_the_commit(database_url: str) -> None:
    async with tracked(database_url) as world:
        answers: asyncio.Queue[bytes] = asyncio.Queue()

        class Tracker(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, _: object) -> None:  # type: ignore[override]
                answers.put_nowait(data)

        loop = asyncio.get_running_loop()
        to = ("127.0.0.1", world.port("teltonika", "UDP"))
        transport, _ = await loop.create_datagram_endpoint(Tracker, remote_addr=to)
        for sent in (b"", b"GET / HTTP/1.1", avl_datagram(Avl("11:59"), imei=OTHER_IMEI), avl_datagram(Avl("12:00"))):
            transport.sendto(sent)
        async with asyncio.timeout(10):
            assert await answers.get() == bytes.fromhex("0005CAFE010501")
        assert await world.stored() == ["12:00 position"]
        assert answers.empty(), "who is not known hears nothing"
        assert await world.counted("teltonika", "unknown device") == 1
        transport.close()


async def test_a_device_that_is_not_known_or_no_longer_hears_nothing_and_is_counted(database_url: str) -> None:
    async with tracked(database_url) as world:
        stranger = await world.dialled()
        assert await stranger.says(avl_login(OTHER_IMEI), 1) == b""
        scan = await world.dialled()
        assert await scan.says(b"GET / HTTP/1.1\r\n\r\n", 1) == b""
        assert await world.counted("teltonika", "unknown device") == 1
        assert await world.counted("teltonika", "not of the protocol") == 1

        known = await world.dialled()
        assert await known.says(avl_login() + avl_frame(Avl("11:59")), 5) == b"\x01\x00\x00\x00\x01"
        await end_device_identifier(world.settings, "D1", "teltonika", who="Ann")
        assert await known.says(avl_frame(Avl("12:00")), 4) == b"", "a connection that is open ends too"
        assert await world.counted("teltonika", "unknown device") == 2
        assert await world.stored() == ["11:59 position"]


async def test_what_only_an_identifier_stands_behind_is_marked_and_what_a_private_network_vouches_for_is_not(
    database_url: str,
) -> None:
    async def grades(world: Tracked) -> list[bool]:
        tracker = await world.dialled()
        assert await tracker.says(avl_login(), 1) == b"\x01"
        at = "12:00" if not await world.stored() else "12:01"
        assert await tracker.says(avl_frame(Avl(at)), 4) == b"\x00\x00\x00\x01"
        tracker.leaves()
        facts = [row[0] for row in await world.connection.fetch("SELECT fact_id FROM positions ORDER BY fix_time")]
        marked = await unauthenticated_among(world.connection, facts)
        return [fact in marked for fact in facts]

    async with tracked(database_url) as world:
        assert await grades(world) == [True]
        assert all(one.endswith("as reports that are not authenticated") for one in world.door.service.heard)
    async with tracked(database_url, private_networks=("127.0.0.0/8",)) as world:
        assert await grades(world) == [True, False]
        assert all(one.endswith("in a private network") for one in world.door.service.heard)


async def test_a_source_has_so_many_connections_and_half_messages_give_way(database_url: str) -> None:
    async with tracked(database_url, connections=12, connections_of_one=10, proxies=()) as world:
        held = [await world.dialled() for _ in range(14)]
        for one in held:
            one.writer.write(b"\x00\x0f3563")
        closed = await asyncio.gather(*map(_ends_at_once, held))
        assert closed.count(True) == 4
        for one in held:
            one.leaves()
        tracker = await world.dialled()
        assert await tracker.says(avl_login(), 1) == b"\x01"
        tracker.leaves()


async def _ends_at_once(one: Dialled) -> bool:
    try:
        async with asyncio.timeout(0.2):
            return await one.reader.read(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


async def test_pages_say_beside_the_evidence_what_is_not_authenticated(database_url: str, data_dir: Path) -> None:
    async with open_office(database_url, data_dir, trackers=HEARD[:1]) as office:
        await set_device_identifier(office.settings, "D1", "teltonika", IMEI, who="Ann")
        tracker = Dialled(*await asyncio.open_connection("127.0.0.1", port_of(office.heard, "teltonika")))
        assert await tracker.says(avl_login(), 1) == b"\x01"
        assert await tracker.says(avl_frame(Avl("19:50", AWAY), Avl("19:52", AWAY)), 4) == b"\x00\x00\x00\x02"
        tracker.leaves()
        await office.report("D1", away("19:54", 3))
        number = await office.connection.fetchval("SELECT alert_no FROM alerts WHERE kind = 'CURFEW'")
        day = {"begin": "2026-03-02T19:00", "end": "2026-03-02T21:00", "purpose": "COMPLIANCE", "note": "monthly"}
        visitor = Visitor(office)
        try:
            await visitor.log_in(await office.account())
            _, alert_page = await visitor.get(f"/alerts/{number}")
            _, view = await visitor.post("/wearers/1/history", form_key=await visitor.form_key(), **day)
            _, history = await visitor.get(view)
        finally:
            await visitor.http.close()
        assert "2 of these are not authenticated" in alert_page
        for page in (alert_page, history):
            told = ["Not authenticated" in row for row in page.split("<tr") if "GPS" in row or "Satellite" in row]
            assert told[-3:] == [True, True, False]


async def test_evidence_that_nobody_vouches_for_leaves_a_possible_entry_as_grave_as_it_is(world: World) -> None:
    zone = {"type": "Circle", "centre": list(HOME), "radius_m": 200}
    keep_out = {
        "requirement_id": "X1",
        "wearer_id": "W1",
        "kind": "EXCLUSION",
        "from": iso("08:00"),
        "geometry": zone,
    }
    await world.enter({"activations": [activation(1)], "requirements": [keep_out]})

    async def severity_after(minute: int, place: tuple[float, float], source: Source) -> Severity:
        at = f"12:{minute:02}"
        world.clock.at_ms = ms(at)
        report = {key: value for key, value in position(0, at, place).items() if key != "seq"}
        done = asyncio.get_running_loop().create_future()
        received = named(report, source, world.clock.at_ms)
        world.inbox.put(Submission(await world.device_no("D1"), [received], done))
        await world.turn()
        return (await open_alerts(world.connection, AlertFilter(), None, 10))[0].severity

    assert await severity_after(3, HOME, Source.UNAUTHENTICATED) is Severity.CRITICAL
    assert await severity_after(4, AWAY, Source.UNAUTHENTICATED) is Severity.CRITICAL
    assert await severity_after(6, HOME, Source.PRIVATE_NETWORK) is Severity.CRITICAL
    assert await severity_after(7, AWAY, Source.PRIVATE_NETWORK) is Severity.WARNING


# ---------------------------------------------------------------------------------------------- entering them


async def test_an_identifier_is_of_one_device_and_every_change_is_on_record(database_url: str) -> None:
    async with tracked(database_url) as world:
        with pytest.raises(IdentifierTaken, match="is the teltonika identifier of D1"):
            await set_device_identifier(world.settings, "D2", "teltonika", IMEI, who="Ann")
        for protocol, identifier, expected in (("morse", "x", "no protocol"), ("teltonika", "12", "an IMEI")):
            with pytest.raises(UnfitIdentifier, match=expected):
                await set_device_identifier(world.settings, "D2", protocol, identifier, who="Ann")
        with pytest.raises(NoDevice):
            await end_device_identifier(world.settings, "D2", "teltonika", who="Ann")
        await set_device_identifier(world.settings, "D1", "teltonika", OTHER_IMEI, who="Bob")
        await set_device_identifier(world.settings, "D2", "teltonika", IMEI, who="Bob")
        listed = [(one.identifier, bool(one.ended)) for one in await list_identifiers(world.connection, "D1")]
        assert listed == [(IMEI, True), (OTHER_IMEI, False)]
        done = await world.connection.fetch(
            "SELECT name, done_by, detail FROM credential_events WHERE what = 'identifier set' ORDER BY event_no"
        )
        assert [tuple(row) for row in done] == [
            ("D1", "Ann", f"teltonika {IMEI}"), ("D1", "Bob", f"teltonika {OTHER_IMEI}"), ("D2", "Bob", f"teltonika {IMEI}"),
        ]  # fmt: skip


async def test_orders_enter_what_their_devices_speak_and_leave_alone_what_they_do_not_name(world: World) -> None:
    async def spoken(*speaks: dict[str, str]) -> list[str]:
        devices = [{"device_id": f"D{n}", "speaks": said} for n, said in enumerate(speaks, 1)]
        entered = await world.enter({"devices": devices})
        found = [one for n in (1, 2) for one in await list_identifiers(world.connection, f"D{n}") if not one.ended]
        return [f"{one.protocol} {one.identifier}" for one in found] + [change.what for change in entered.changes]

    await world.enter(orders(1, 2))
    changed = "device identifier entered"
    assert await spoken({"gt06": IMEI}, {"gt06": OTHER_IMEI}) == [
        f"gt06 {IMEI}",
        f"gt06 {OTHER_IMEI}",
        changed,
        changed,
    ]
    assert await spoken({"gt06": IMEI}) == [f"gt06 {IMEI}", f"gt06 {OTHER_IMEI}"], (
        "what is entered already is left alone"
    )
    assert await spoken({"queclink": IMEI}) == [f"gt06 {IMEI}", f"queclink {IMEI}", f"gt06 {OTHER_IMEI}", changed]
    with pytest.raises(IdentifierTaken, match="gt06 identifier of D2"):
        async with world.connection.transaction():
            await spoken({"gt06": OTHER_IMEI})
    for devices, expected in (
        ([{"device_id": "D1", "speaks": {"morse": "x"}}], "'morse' is no protocol"),
        (
            [{"device_id": "D1", "speaks": {"gt06": IMEI}}, {"device_id": "D2", "speaks": {"gt06": IMEI}}],
            "of 'D1', too",
        ),
        ([{"device_id": "D1", "speaks": {"gt06": IMEI}}] * 2, "stands twice"),
    ):
        with pytest.raises(FormError, match=expected):
            read_orders(json.dumps({"devices": devices}), "orders")


async def test_a_file_enters_what_many_devices_speak_or_nothing(database_url: str, tmp_path: Path) -> None:
    form = await import_with_keys(
        settings_for(database_url), read_orders(json.dumps(orders(1, 2)), "orders"), who="Ann"
    )
    assert sorted(form) == ["D1", "D2"]
    settings, file = settings_for(database_url), tmp_path / "trackers.csv"

    async def entered(text: str) -> list[str]:
        file.write_text(text)
        await set_device_identifiers(settings, [row[1:] for row in read_identifiers(file)], who="Ann")
        connection = await connect(database_url)
        try:
            found = [one for device in form for one in await list_identifiers(connection, device)]
        finally:
            await connection.close()
        return [f"{one.protocol} {one.identifier}" for one in found]

    head = "device_id,protocol,identifier\n"
    for text, expected in (
        ("device,protocol\n", "no column device_id, identifier"),
        (f"{head}D1,gt06,{IMEI}\nD2,gt06,12\n", "line 3: '12' is no identifier of gt06"),
        (f"{head}D1,gt06,{IMEI}\nD2,gt06,{IMEI}\n", "line 3: '356307042441013' stands in line 2 already"),
    ):
        with pytest.raises(UnfitIdentifier, match=expected):
            await entered(text)
    with pytest.raises(NoDevice):
        await entered(f"{head}D1,gt06,{IMEI}\nD9,gt06,{OTHER_IMEI}\n")
    assert await entered(f"{head}D1,gt06,{IMEI}\nD2,queclink,{IMEI}\n") == [f"gt06 {IMEI}", f"queclink {IMEI}"]


# ---------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize("text", ["teltonika", "teltonika=5027", "=127.0.0.1:1", "teltonika/sctp=127.0.0.1:1"])
def test_a_listener_that_cannot_be_read_says_what_was_expected(text: str) -> None:
    with pytest.raises(SettingsError, match="PROTOCOL=ADDRESS:PORT"):
        read_settings({"EMTRACK_TRACKERS": text})


def test_listeners_are_read_with_their_transport() -> None:
    read = read_settings({"EMTRACK_TRACKERS": "teltonika=[::1]:5027, gt06/udp=10.0.0.1:5023"})
    assert read.trackers == (
        TrackerListener("teltonika", False, "::1", 5027), TrackerListener("gt06", True, "10.0.0.1", 5023),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("listener", "expected"),
    [(TrackerListener("morse", False, "127.0.0.1", 0), "expected one of"),
     (TrackerListener("teltonika", False, "192.0.2.1", 0), "the clock is emulated")],
)  # fmt: skip
async def test_the_service_does_not_start_with_a_listener_that_it_cannot_or_may_not_open(
    database_url: str, listener: TrackerListener, expected: str
) -> None:
    with pytest.raises(SettingsError, match=expected):
        async with serving(database_url, trackers=(listener,)):
            pass


def test_the_folder_of_protocols_names_no_socket() -> None:
    folder = Path(__file__).parent.parent / "ingest" / "protocols"
    assert [path.name for path in folder.glob("*.py") if "import socket" in path.read_text()] == []
