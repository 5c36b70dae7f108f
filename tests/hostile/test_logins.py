"""Who has no account stops nobody, and locks nobody out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
from argon2 import PasswordHasher

from emtrack.people import hashing
from emtrack.people.accounts import NO_ACCOUNT
from emtrack.people.guesses import (
    OF_A_NAME,
    OF_A_SOURCE,
    OF_ALL,
    WITHIN_S,
    Guesses,
    TooManyGuesses,
    source_of_address,
)
from emtrack.people.hashing import AT_ONCE, MOST_WAITING, TooManyHashes, is_password
from tests.hostile.fixtures import beside
from tests.office import QUICK_HASHER, Office, open_office

PASSWORD_AS_NAME = "my secret password 1"


@pytest.fixture
async def office(database_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, tmp_path, tls="proxy") as office:
        yield office


class Client:
    """Somebody at an address, behind the proxy of this machine."""

    def __init__(self, office: Office, address: str) -> None:
        self._office = office
        self._address = address

    async def log_in(self, name: str | bytes, password: str) -> tuple[int, str, str | None]:
        """Status, text, `Retry-After`."""
        form = urlencode({"name": name, "password": password})
        headers = {"X-Forwarded-For": self._address, "Content-Type": "application/x-www-form-urlencoded"}
        jar = aiohttp.DummyCookieJar()
        async with (
            aiohttp.ClientSession(self._office.address, cookie_jar=jar) as http,
            http.post("/login", data=form, headers=headers, allow_redirects=False) as response,
        ):
            return response.status, await response.text(), response.headers.get("Retry-After")


async def guess(client: Client, name: str, times: int) -> Counter[int]:
    answers = await asyncio.gather(*(client.log_in(name, f"wrong {n}") for n in range(times)))
    return Counter(status for status, _, _ in answers)


async def test_logins_without_an_account_side_by_side_are_few_and_devices_are_heard(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With passwords that cost what they cost in earnest."""
    monkeypatch.setattr(hashing, "_hasher", PasswordHasher(parallelism=1))
    clients = [Client(office, f"192.0.2.{n}") for n in range(2)]

    async def all_at_once() -> Counter[int]:
        counts = await asyncio.gather(*(guess(client, f"name {n}", 24) for n, client in enumerate(clients)))
        return sum(counts, Counter())

    statuses = await beside(office, all_at_once())
    assert statuses == {401: 2 * OF_A_NAME, 429: 2 * (24 - OF_A_NAME)}


async def test_guesses_side_by_side_are_counted_like_guesses_one_after_the_other(office: Office) -> None:
    await office.account()
    assert await guess(Client(office, "192.0.2.1"), "Ann", 30) == {401: OF_A_NAME, 429: 30 - OF_A_NAME}


async def test_nobody_locks_out_a_name_for_others(office: Office) -> None:
    password = await office.account()
    guesser, ann = Client(office, "192.0.2.1"), Client(office, "198.51.100.7")
    await guess(guesser, "Ann", 10)
    status, text, retry_after = await guesser.log_in("Ann", password)
    assert (status, "Wait 15 minutes" in text) == (429, True)
    assert retry_after is not None
    assert 0 < int(retry_after) <= WITHIN_S + 1
    assert (await ann.log_in("Ann", password))[0] == 303


async def test_from_one_source_so_many_names_are_tried_and_no_more(office: Office) -> None:
    client = Client(office, "192.0.2.1")
    answers = [await client.log_in(f"name {n}", "wrong") for n in range(OF_A_SOURCE + 3)]
    assert Counter(status for status, _, _ in answers) == {401: OF_A_SOURCE, 429: 3}


async def test_what_is_typed_as_a_name_and_is_none_is_not_kept_and_the_source_is(office: Office) -> None:
    await office.account()
    client = Client(office, "192.0.2.1")
    await client.log_in(PASSWORD_AS_NAME, "Ann")
    await client.log_in("Ann", "wrong")
    rows = await office.connection.fetch(
        "SELECT name, source FROM account_events WHERE what = 'failed' ORDER BY name"
    )
    assert [tuple(row) for row in rows] == [(NO_ACCOUNT, "192.0.2.1"), ("Ann", "192.0.2.1")]


@pytest.mark.parametrize("name", ["\0", "Ann\0", "\ud800", "x" * 5_000, "\x1b]0;x\x07"])
async def test_a_name_that_no_account_can_have_is_a_plain_wrong_name(office: Office, name: str) -> None:
    status, text, _ = await Client(office, "192.0.2.1").log_in(name.encode("utf-8", "surrogatepass"), "password")
    assert (status, "Enter a correct username and password" in text) == (401, True)


# ---------------------------------------------------------------------------------------------- budgets


class Stopwatch:
    at_s = 0.0

    def __call__(self) -> float:
        return self.at_s


def test_all_sources_together_guess_so_often_and_who_is_known_logs_in_all_the_same() -> None:
    clock = Stopwatch()
    guesses = Guesses(clock)
    for n in range(OF_ALL):
        guesses.charge(f"source {n}", "x", is_known=False)
    with pytest.raises(TooManyGuesses):
        guesses.charge("another", "x", is_known=False)
    guesses.charge("source 1", "Ann", is_known=True)
    clock.at_s = WITHIN_S
    guesses.charge("another", "x", is_known=False)
    assert len(guesses._of) == 2, "what is spent no longer is forgotten"


def test_a_guess_that_was_right_costs_nothing() -> None:
    guesses = Guesses(Stopwatch())
    for _ in range(3 * OF_ALL):
        guesses.charge("here", "Ann", is_known=False).give_back()
    assert not guesses._all.spent


def test_a_network_of_64_bits_is_one_source() -> None:
    assert source_of_address("2001:db8::1") == source_of_address("2001:db8::ffff:1") == "2001:db8::/64"
    assert source_of_address("::ffff:192.0.2.1") == source_of_address("192.0.2.1") == "192.0.2.1"
    assert source_of_address("not an address") == "unknown"


async def test_no_more_passwords_wait_to_be_hashed_than_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_hasher", QUICK_HASHER)
    waiting = [asyncio.create_task(is_password(None, "x")) for _ in range(AT_ONCE + MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyHashes):
        await is_password(None, "x")
    assert not any(await asyncio.gather(*waiting))
