"""Credentials have a life: they are made, expire, are rotated and revoked, and each step is on record and soon in force."""

from __future__ import annotations

import asyncio
import os
import pwd
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from emtrack.cli.saying import _who
from emtrack.cli.tokens import make_token, revoked, rotated, set_expiry
from emtrack.cli.users import disable_account, ended
from emtrack.clock import machine_ms
from emtrack.db.connect import connect
from emtrack.orders.importing import expire_keys, make_device_key, revoke_keys, rotate_key
from emtrack.people.accounts import expire_user, set_role
from emtrack.people.events import Subject, history_of
from emtrack.people.expiry import UnfitExpiry, read_expiry
from emtrack.people.roles import Role
from emtrack.people.sessions import LONGEST_S
from emtrack.record.devices import TooManyKeys, list_keys
from emtrack.service.credential_watch import CredentialWatch
from emtrack.service.keys import DeviceKeys
from geofence import datetime_of
from ingest import KeysUnknown
from tests.command_line import emtrack
from tests.db_fixtures import SUPERUSER, with_user
from tests.office import Office, at_home
from tests.visitor import Visitor

WITHIN_S = 1.0
SOON = timedelta(milliseconds=700)


def soon() -> Any:
    return datetime_of(machine_ms()) + SOON


async def report_with(office: Office, key: str, seq: int, device: str = "D1") -> int:
    body = {"boot": 7, "reports": [at_home("19:50", seq)]}
    headers = {"Authorization": f"Bearer {key}"}
    async with office.http.post(f"/v1/devices/{device}/reports", json=body, headers=headers) as response:
        return response.status


async def refused_after(office: Office, key: str, since_s: float) -> float:
    """How long after it a device was refused, in seconds."""
    for seq in range(10_000):
        if await report_with(office, key, seq) == 401:
            return time.monotonic() - since_s
    raise AssertionError("the key stays good")


async def stream_ends(stream: aiohttp.ClientResponse) -> None:
    """Reads what comes until the service ends the stream."""
    async for _ in stream.content.iter_any():
        pass


# ------------------------------------------------------------------------------------------ the device door


async def test_a_revoked_device_key_is_refused_within_a_second(office: Office) -> None:
    assert await report_with(office, office.keys["D1"], 0) == 200
    assert await revoke_keys(office.settings, "D1", who="Ann") == 1
    assert await refused_after(office, office.keys["D1"], time.monotonic()) < WITHIN_S


async def test_a_device_key_that_is_revoked_by_a_statement_is_refused_within_a_second(office: Office) -> None:
    assert await report_with(office, office.keys["D1"], 0) == 200
    await office.connection.execute("UPDATE device_keys SET revoked_at = now()")
    assert await refused_after(office, office.keys["D1"], time.monotonic()) < WITHIN_S


async def test_a_device_changes_its_key_while_both_are_good_and_the_former_ends(office: Office) -> None:
    former = office.keys["D1"]
    fresh = await rotate_key(office.settings, "D1", who="Ann", keep_until=soon())
    assert await report_with(office, former, 0) == 200
    await refused_after(office, former, 0)
    assert await report_with(office, fresh, 1) == 200
    states = [key.state for key in await list_keys(office.connection, "D1")]
    assert states == ["expired", "good"]


async def test_a_device_that_changes_its_key_does_not_begin_to_change_it_again(office: Office) -> None:
    later = datetime_of(machine_ms()) + timedelta(hours=1)
    await rotate_key(office.settings, "D1", who="Ann", keep_until=later)
    with pytest.raises(TooManyKeys, match="changes its key already"):
        await rotate_key(office.settings, "D1", who="Ann", keep_until=later)


async def test_one_key_of_a_device_is_revoked_and_the_other_stays_good(office: Office) -> None:
    other = await make_device_key(office.settings, "D1", who="Ann")
    first = (await list_keys(office.connection, "D1"))[0].key_no
    assert await revoke_keys(office.settings, "D1", who="Ann", key_no=first) == 1
    await refused_after(office, office.keys["D1"], 0)
    assert await report_with(office, other, 1) == 200


async def test_a_device_key_expires_without_anybody_who_says_so(office: Office) -> None:
    await expire_keys(office.settings, "D1", who="Ann", expires_at=soon())
    assert await refused_after(office, office.keys["D1"], time.monotonic()) < SOON.total_seconds() + WITHIN_S


async def test_a_revoked_key_is_in_force_after_the_watching_connection_was_cut(office: Office) -> None:
    superuser = await connect(with_user(office.settings.database_url or "", SUPERUSER))
    await superuser.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'emtrack credentials'"
    )
    await superuser.close()
    await revoke_keys(office.settings, "D1", who="Ann")
    assert await refused_after(office, office.keys["D1"], time.monotonic()) < WITHIN_S


async def test_who_cannot_know_which_keys_are_good_lets_nobody_in() -> None:
    watch = CredentialWatch("postgresql://nobody@127.0.0.1:1/none", DeviceKeys(), asyncio.Condition())
    assert not watch.is_fresh
    with pytest.raises(KeysUnknown):
        await watch.fresh()


# ------------------------------------------------------------------------------------------ tokens


async def test_a_token_is_good_until_it_is_revoked(office: Office) -> None:
    assert (await office.get("/v1/alerts"))[0] == 200
    await revoked(office.settings, "the operator", who="Ann")
    assert (await office.get("/v1/alerts"))[0] == 401


async def test_a_token_expires(office: Office) -> None:
    token = await make_token(
        office.settings, "reader", Role.OFFICER, who="Ann", expires_at=datetime_of(machine_ms() + 60_000)
    )
    office.tokens["reader"] = token
    assert (await office.get("/v1/alerts", "reader"))[0] == 200
    await set_expiry(office.settings, "reader", datetime_of(machine_ms()), who="Ann")
    assert (await office.get("/v1/alerts", "reader"))[0] == 401


async def test_a_rotated_token_and_the_one_before_are_good_side_by_side_for_a_while(office: Office) -> None:
    later = datetime_of(machine_ms() + 60_000)
    office.tokens["new"] = await rotated(
        office.settings, "the operator", who="Ann", keep_until=later, expires_at=later
    )
    assert (await office.get("/v1/alerts", "operator"))[0] == 200
    assert (await office.get("/v1/alerts", "new"))[0] == 200
    office.tokens["newest"] = await rotated(
        office.settings, "the operator", who="Ann", keep_until=datetime_of(machine_ms()), expires_at=later
    )
    statuses = [(await office.get("/v1/alerts", role))[0] for role in ("operator", "new", "newest")]
    assert statuses == [401, 401, 200]


def test_a_token_expires_by_itself_unless_somebody_says_never(data_dir: Path) -> None:
    environment = {"EMTRACK_DATA_DIR": str(data_dir), "EMTRACK_TOKEN_DAYS": "30"}
    assert emtrack("tokens", "add", "reader", "--role", "operator", **environment).returncode == 0
    assert (
        emtrack("tokens", "add", "for ever", "--role", "operator", "--expires", "never", **environment).returncode
        == 0
    )
    listed = emtrack("tokens", "list", **environment).stdout.splitlines()
    ends = datetime_of(machine_ms() + 30 * 86_400_000).strftime("%Y-%m-%d")
    assert ends in next(line for line in listed if line.startswith("reader"))
    assert "never" in next(line for line in listed if line.startswith("for ever"))
    assert emtrack("tokens", "revoke", "reader", **environment).returncode == 0
    told = emtrack("tokens", "history", "reader", **environment).stdout
    assert [line.split()[2] for line in told.splitlines()[1:]] == ["revoked", "added"]


@pytest.mark.parametrize("text", ["soon", "", "90", "-1d", "99999d", "2999-01-01T00:00:00Z", "²d"])
def test_a_time_that_no_credential_can_have_is_refused(text: str) -> None:
    with pytest.raises(UnfitExpiry):
        read_expiry(text, machine_ms())


# ------------------------------------------------------------------------------------------ open streams

Ending = Callable[[Office], Awaitable[Any]]


async def _role_changes(office: Office) -> None:
    async with office.connection.transaction():
        await set_role(office.connection, "Ann", Role.OFFICER, who="Bob")


async def _account_expires(office: Office) -> None:
    async with office.connection.transaction():
        await expire_user(office.connection, "Ann", soon(), who="Bob")


OF_A_PERSON: dict[str, Ending] = {
    "the account is disabled": lambda office: disable_account(office.settings, "Ann", who="Bob"),
    "the sessions are ended": lambda office: ended(office.settings, "Ann", None, who="Bob"),
    "the role changes": _role_changes,
    "the account expires": _account_expires,
    "the session is gone": lambda office: office.connection.execute("DELETE FROM sessions"),
}
OF_A_PROGRAM: dict[str, Ending] = {
    "the token is revoked": lambda office: revoked(office.settings, "the operator", who="Bob"),
    "the token expires": lambda office: set_expiry(office.settings, "the operator", soon(), who="Bob"),
}


def within_s(what: str) -> float:
    """What expires does so a little later than it is said."""
    return WITHIN_S + (SOON.total_seconds() if "expires" in what else 0)


@pytest.mark.parametrize("what", OF_A_PERSON)
async def test_an_open_stream_of_a_person_ends_within_a_second_when(
    what: str, office: Office, visitor: Visitor
) -> None:
    await visitor.log_in(await office.account())
    async with visitor.http.get("/v1/alerts/stream") as stream:
        assert stream.status == 200
        await stream.content.readline()
        ending = {**OF_A_PERSON, **OF_A_PROGRAM}[what](office)
        await ending
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + within_s(what)):
            await stream_ends(stream)


@pytest.mark.parametrize("what", OF_A_PROGRAM)
async def test_an_open_stream_of_a_program_ends_within_a_second_when(what: str, office: Office) -> None:
    async with office.http.get("/v1/alerts/stream", headers=office.bearer("operator")) as stream:
        assert stream.status == 200
        await stream.content.readline()
        ending = {**OF_A_PERSON, **OF_A_PROGRAM}[what](office)
        await ending
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + within_s(what)):
            await stream_ends(stream)


async def test_an_open_stream_ends_with_the_shift(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    began = datetime_of(machine_ms()) - timedelta(seconds=LONGEST_S) + SOON
    await office.connection.execute("UPDATE sessions SET began_at = $1", began)
    async with visitor.http.get("/v1/alerts/stream") as stream:
        assert stream.status == 200
        async with asyncio.timeout(SOON.total_seconds() + WITHIN_S):
            await stream_ends(stream)


async def test_a_stream_whose_credential_holds_goes_on_when_others_end(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account())
    async with office.http.get("/v1/alerts/stream", headers=office.bearer("operator")) as stream:
        await stream.content.readline()
        await disable_account(office.settings, "Ann", who="Bob")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(WITHIN_S):
                await stream_ends(stream)


# ------------------------------------------------------------------------------------------ who did it


def test_who_calls_is_the_account_of_the_operating_system() -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    assert _who(os.getuid(), "") == me
    assert _who(4_000_000_000, "") == "user 4000000000"


def test_root_is_believed_for_whom_it_works_and_nobody_else_is() -> None:
    nobody = pwd.getpwnam("nobody")
    assert _who(0, str(nobody.pw_uid)) == "root for nobody"
    assert _who(nobody.pw_uid, "0") == "nobody"
    assert _who(nobody.pw_uid, "1") == "nobody"
    assert {_who(0, text) for text in ("", "0", "-1", "²", "x", "9" * 40)} == {"root"}


def test_the_environment_does_not_say_who_did_it(data_dir: Path) -> None:
    forged = dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME"), "somebody else")
    environment = {"EMTRACK_DATA_DIR": str(data_dir), "SUDO_UID": "", **forged}
    assert emtrack("users", "add", "Ann", "--role", "operator", **environment).returncode == 0
    told = emtrack("users", "history", **environment).stdout
    assert "somebody else" not in told
    assert f"{pwd.getpwuid(os.getuid()).pw_name} (command line)" in told


async def test_each_step_of_a_credential_is_on_record_with_who_did_it(office: Office) -> None:
    later = datetime_of(machine_ms() + 60_000)
    await make_device_key(office.settings, "D1", who="Ann")
    await expire_keys(office.settings, "D1", who="Bob", expires_at=later)
    await revoke_keys(office.settings, "D1", who="Cy")
    await rotate_key(office.settings, "D1", who="Di", keep_until=later)
    steps = [(e.what, e.done_by) for e in await history_of(office.connection, Subject.DEVICE, "D1")]
    assert steps[:4] == [("key rotated", "Di"), ("keys revoked", "Cy"), ("expiry set", "Bob"), ("key added", "Ann")]


class _Undone(Exception):
    pass


async def _set_role_and_undo(office: Office) -> None:
    async with office.connection.transaction():
        await set_role(office.connection, "Ann", Role.OFFICER, who="Bob")
        raise _Undone


async def test_a_step_that_is_rolled_back_is_not_on_record(office: Office) -> None:
    await office.account(Role.OPERATOR)
    with pytest.raises(_Undone):
        await _set_role_and_undo(office)
    assert [e.what for e in await history_of(office.connection, Subject.ACCOUNT, "Ann")] == ["added"]


async def test_each_step_is_in_the_log_of_events_without_a_name(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    await office.fresh_account(name="Hyacinth")
    await disable_account(office.settings, "Hyacinth", who="Bob")
    told = ""
    async with asyncio.timeout(WITHIN_S):
        while "what=disabled" not in told:
            await office.get("/v1/time")
            told += capsys.readouterr().out
    assert "subject=account what=added" in told
    assert "Hyacinth" not in told
