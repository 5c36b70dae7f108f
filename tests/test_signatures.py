"""Signed reports: the higher grade of evidence, and what a wrong signature is."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from emtrack.cli.devices import signing_revoked
from emtrack.cli.emulation import Emulation, emulate_world
from emtrack.client import new_signing_key, public_half, signature_of
from emtrack.clock import machine_ms
from emtrack.orders.importing import register_signing_key, rotate_signing
from emtrack.people.events import Subject, history_of
from emtrack.record.devices import TooManyKeys
from emtrack.record.signing_keys import UnfitKey, list_signing_keys, read_public_key, signed_among
from geofence import datetime_of
from ingest import WireError, read_request, signed_message
from tests.kept import kept_reports
from tests.office import Office, at_home, away, open_office
from tests.visitor import Visitor

CLASH = "the same boot and seq were used for another content"
WRONG = "the signature is not of a key of this device"


@pytest.fixture
async def key(office: Office) -> Ed25519PrivateKey:
    """D1's, which is registered and known to the service."""
    key = new_signing_key()
    await register_signing_key(office.settings, "D1", public_half(key), who="Ann")
    return key


def body_of(reports: bytes, signature: str | None, boot: int = 1) -> bytes:
    """A request as a device writes it, with the spaces that it likes."""
    said = b"" if signature is None else b', "signature": "%b"' % signature.encode()
    return b'{ "boot": %d , "reports":  %b %b }' % (boot, reports, said)


def signed(key: Ed25519PrivateKey, reports: list[dict[str, Any]], device: str = "D1", boot: int = 1) -> bytes:
    written = json.dumps(reports, indent=2).encode()
    return body_of(written, signature_of(key, device, boot, written), boot)


async def send(office: Office, body: bytes, device: str = "D1", kind: str = "application/json") -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {office.keys[device]}", "Content-Type": kind}
    async with office.http.post(f"/v1/devices/{device}/reports", data=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        answer = await response.read()
        return msgspec.msgpack.decode(answer) if "msgpack" in kind else json.loads(answer)


async def graded(office: Office, boot: int, seq: int) -> list[bool]:
    """Of each stored report of this number, in the order of arrival: whether it is signed."""
    kept = await kept_reports(office.connection)
    numbers = [report.fact_id for report in kept if (report.boot, report.seq) == (boot, seq)]
    right = await signed_among(office.connection, numbers)
    return [number in right for number in numbers]


async def integrity(office: Office) -> list[str]:
    rows = await office.connection.fetch("SELECT what FROM integrity_events ORDER BY fact_id, what")
    return [row["what"] for row in rows]


# ------------------------------------------------------------------------------------------ the grade


async def test_what_a_device_signed_is_signed_evidence_that_anybody_can_check_again(
    office: Office, key: Ed25519PrivateKey
) -> None:
    answer = await send(office, signed(key, [at_home("19:50", 1), at_home("19:51", 2)]))
    assert answer == {"ack": [1, 2], "refused": []}
    assert await graded(office, 1, 1) + await graded(office, 1, 2) == [True, True]
    kept = await office.connection.fetchrow(
        "SELECT q.boot, q.signature, q.reports, k.public_key FROM signed_requests q JOIN signing_keys k USING (key_no) "
        "WHERE q.boot = 1"
    )
    public = Ed25519PublicKey.from_public_bytes(kept["public_key"])
    public.verify(kept["signature"], signed_message("D1", kept["boot"], kept["reports"]))
    assert [report["seq"] for report in json.loads(kept["reports"])] == [1, 2]


@pytest.mark.usefixtures("key")
async def test_what_is_not_signed_is_stored_without_the_grade(office: Office) -> None:
    await send(office, body_of(json.dumps([at_home("19:50", 1)]).encode(), None))
    assert await graded(office, 1, 1) == [False]
    assert await integrity(office) == []


async def test_messagepack_is_signed_over_its_own_bytes_and_the_signature_may_be_bytes(
    office: Office, key: Ed25519PrivateKey
) -> None:
    reports = msgspec.msgpack.encode([at_home("19:50", 1)])
    signature = base64.b64decode(signature_of(key, "D1", 1, reports))
    body = msgspec.msgpack.encode({"signature": signature, "reports": msgspec.Raw(reports), "boot": 1})
    assert (await send(office, body, kind="application/msgpack"))["ack"] == [1]
    assert await graded(office, 1, 1) == [True]


class Forger(NamedTuple):
    """Who has a key of D1 and the bytes of its reports, and gets one thing wrong."""

    key: Ed25519PrivateKey
    reports: bytes

    def signed(self, reports: bytes, device: str = "D1", boot: int = 1) -> str:
        return signature_of(self.key, device, boot, reports)


WRONGS: dict[str, Callable[[Forger], str]] = {
    "another key": lambda f: signature_of(new_signing_key(), "D1", 1, f.reports),
    "another device": lambda f: f.signed(f.reports, device="D2"),
    "another boot": lambda f: f.signed(f.reports, boot=2),
    "other bytes of the same content": lambda f: f.signed(f.reports.replace(b" ", b"")),
    "other content": lambda f: f.signed(f.reports.replace(b"53.", b"54.")),
    "half of it": lambda f: f.signed(f.reports)[:44],
    "nothing": lambda _: "",
    "no base64": lambda _: "not a signature",
    "zeros": lambda _: base64.b64encode(bytes(64)).decode(),
}


@pytest.mark.parametrize("wrong", WRONGS)
async def test_a_signature_is_wrong_that_is_of(wrong: str, office: Office, key: Ed25519PrivateKey) -> None:
    reports = json.dumps([at_home("19:50", 1), at_home("19:51", 2)]).encode()
    body = body_of(reports, WRONGS[wrong](Forger(key, reports)))
    for _ in range(2):
        assert (await send(office, body))["ack"] == [1, 2], "it is stored, and acknowledged each time"
    assert await graded(office, 1, 1) + await graded(office, 1, 2) == [False, False]
    assert await integrity(office) == [WRONG, WRONG], "each report once"


async def test_a_signature_of_a_device_that_never_had_a_key_is_as_if_it_were_left_out(office: Office) -> None:
    await send(office, signed(new_signing_key(), [at_home("19:50", 1)]))
    assert await graded(office, 1, 1) == [False]
    assert await integrity(office) == []


async def test_the_same_signed_content_again_is_acknowledged_again_and_changes_nothing(
    office: Office, key: Ed25519PrivateKey
) -> None:
    body = signed(key, [at_home("19:50", 1)])
    before = None
    for _ in range(3):
        assert (await send(office, body))["ack"] == [1]
        stored = await office.connection.fetch("SELECT * FROM signed_requests WHERE boot = 1")
        assert before in (None, stored)
        before = stored
    assert await integrity(office) == []


async def test_what_came_without_a_signature_is_of_the_higher_grade_once_it_comes_with_one(
    office: Office, key: Ed25519PrivateKey
) -> None:
    await send(office, body_of(json.dumps([at_home("19:50", 1)]).encode(), None))
    await send(office, signed(key, [at_home("19:50", 1)]))
    assert await graded(office, 1, 1) == [True]


@pytest.mark.parametrize("order", ["signed first", "signed last"])
async def test_a_known_number_with_other_content_is_an_integrity_event_whichever_came_first(
    order: str, office: Office, key: Ed25519PrivateKey
) -> None:
    bodies = [signed(key, [at_home("19:50", 1)]), body_of(json.dumps([away("19:50", 1)]).encode(), None)]
    for body in bodies if order == "signed first" else reversed(bodies):
        assert (await send(office, body))["ack"] == [1]
    assert await integrity(office) == [CLASH]
    assert sorted(await graded(office, 1, 1)) == [False, True]


async def test_two_signed_contents_of_one_number_are_both_signed_and_an_integrity_event(
    office: Office, key: Ed25519PrivateKey
) -> None:
    for report in (at_home("19:50", 1), away("19:50", 1)):
        await send(office, signed(key, [report]))
    assert await graded(office, 1, 1) == [True, True]
    assert await integrity(office) == [CLASH]


async def test_a_request_is_signed_whole_where_its_reports_are_known_in_part(
    office: Office, key: Ed25519PrivateKey
) -> None:
    plain = json.dumps([at_home("19:50", 1), at_home("19:52", 3)]).encode()
    await send(office, body_of(plain, None))
    await send(office, signed(key, [at_home("19:49", 0), *(at_home(f"19:5{n}", n + 1) for n in range(4))]))
    grades = [await graded(office, 1, seq) for seq in range(5)]
    assert grades == [[True]] * 5


async def test_what_comes_after_a_signed_request_is_not_signed_by_it(office: Office, key: Ed25519PrivateKey) -> None:
    await send(office, signed(key, [at_home("19:50", 1), at_home("19:51", 2)]))
    await send(office, body_of(json.dumps([at_home("19:52", 3), at_home("19:53", 4)]).encode(), None))
    assert [await graded(office, 1, seq) for seq in (1, 2, 3, 4)] == [[True], [True], [False], [False]]


# ------------------------------------------------------------------------------------------ keys


async def test_a_key_is_rotated_while_both_are_good(office: Office, key: Ed25519PrivateKey) -> None:
    later, fresh = datetime_of(machine_ms() + 60_000), new_signing_key()
    await rotate_signing(office.settings, "D1", public_half(fresh), who="Ann", keep_until=later)
    await send(office, signed(key, [at_home("19:50", 1)]))
    await send(office, signed(fresh, [at_home("19:51", 2)]))
    assert await graded(office, 1, 1) + await graded(office, 1, 2) == [True, True]
    with pytest.raises(TooManyKeys):
        await register_signing_key(office.settings, "D1", public_half(new_signing_key()), who="Ann")


async def test_a_revoked_key_signs_no_more_and_what_it_signed_stays_signed(
    office: Office, key: Ed25519PrivateKey
) -> None:
    await send(office, signed(key, [at_home("19:50", 1)]))
    number = (await list_signing_keys(office.connection, "D1"))[0].key_no
    await signing_revoked(office.settings, "D1", number, who="Ann")
    for seq in range(2, 10_000):
        await send(office, signed(key, [at_home("19:51", seq)]))
        if await graded(office, 1, seq) == [False]:
            break
    assert await graded(office, 1, 1) == [True]
    assert WRONG in await integrity(office)
    steps = [e.what for e in await history_of(office.connection, Subject.DEVICE, "D1")]
    assert steps[:2] == ["signing key revoked", "signing key added"]


@pytest.mark.parametrize("text", ["", "x", "AAAA", base64.b64encode(bytes(33)).decode()])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(UnfitKey):
        read_public_key(text)


async def test_a_key_is_of_one_device(office: Office, key: Ed25519PrivateKey) -> None:
    with pytest.raises(UnfitKey, match="registered already"):
        await register_signing_key(office.settings, "D2", public_half(key), who="Ann")


# ------------------------------------------------------------------------------------------ where it is shown


async def test_an_alert_says_beside_the_evidence_what_came_signed(office: Office, key: Ed25519PrivateKey) -> None:
    await send(office, signed(key, [away("19:50", 1), away("19:52", 2)]))
    await send(office, body_of(json.dumps([away("19:54", 3)]).encode(), None))
    number = await office.connection.fetchval("SELECT alert_no FROM alerts WHERE kind = 'CURFEW'")
    visitor = Visitor(office)
    try:
        await visitor.log_in(await office.account())
        _, page = await visitor.get(f"/alerts/{number}")
    finally:
        await visitor.http.close()
    rows = [row for row in page.split("<tr") if "GPS" in row or "Satellite" in row]
    told = ["Signed by the device" in row for row in rows]
    assert told.count(True) >= 2
    assert told[-1] is False


# ------------------------------------------------------------------------------------------ the emulator


async def test_the_emulator_signs_with_keys_of_its_own(database_url: str, data_dir: Path) -> None:
    async with open_office(database_url, data_dir) as office:
        chosen = msgspec.structs.replace(office.settings, url=office.address)
        wish = Emulation(wearers=2, seed=1, hours=0.5, back_hours=1, sign=1)
        await emulate_world(chosen, wish, stop=asyncio.Event(), say=lambda _: None)
        kept = await kept_reports(office.connection)
        right = await signed_among(office.connection, [report.fact_id for report in kept])
        signs = {report.device_no for report in kept if report.fact_id in right}
        assert len(signs) == 1
        assert {report.device_no for report in kept if report.fact_id not in right}.isdisjoint(signs)


# ------------------------------------------------------------------------------------------ what is read


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text() | st.binary(), st.lists, max_leaves=5))
def test_whatever_stands_as_a_signature_costs_no_report(signature: Any) -> None:
    body = msgspec.msgpack.encode({"boot": 1, "reports": [at_home("19:50", 1)], "signature": _small(signature)})
    try:
        read = read_request(body, "application/msgpack")
    except WireError:
        raise AssertionError("a signature is never a reason to refuse") from None
    assert [received.seq for received in read.reports] == [1]
    assert read.signature is None or len(read.signature.signature) in (0, 64)


def _small(value: Any) -> Any:
    if isinstance(value, list):
        return [_small(one) for one in value]
    return value % 2**63 if isinstance(value, int) and not isinstance(value, bool) else value


def test_the_bytes_of_the_reports_are_those_of_the_request() -> None:
    written = b'[ {"seq" : 1,"type":"event","event":"HEARTBEAT","event_time":"2026-03-02T19:00:00Z" } ]'
    read = read_request(body_of(written, "AA=="), "application/json")
    assert read.signature is not None
    assert read.signature.reports == written
