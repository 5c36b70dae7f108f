"""Logins by an identity provider that runs in a process of its own, and by providers that go wrong."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec
import pytest

from emtrack.cli.users import disable_account
from emtrack.people.events import Subject, history_of
from emtrack.people.roles import Role
from emtrack.settings import Settings, SettingsError
from emtrack.web.pages.provider_login import provider_of
from emtrack.web.provider import Attempt
from tests.office import Office, open_office
from tests.visitor import Visitor


@asynccontextmanager
async def provider(fault: str = "none") -> AsyncIterator[str]:
    """Its address, which is its issuer."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-m", "tests.provider", fault,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def open_with(database_url: str, data_dir: Path, fault: str = "none", **more: Any) -> AsyncIterator[Office]:
    secret = data_dir / "client-secret"
    secret.write_text("only between us\n")
    client = {"oidc_client_id": "emtrack", "oidc_client_secret_file": secret}
    async with (
        provider(fault) as issuer,
        open_office(database_url, data_dir, oidc_issuer=issuer, **client, **more) as office,
    ):
        yield office


async def to_the_provider(visitor: Visitor, following: str = "/wearers") -> str:
    status, address = await visitor.get(f"/login/provider?next={following}")
    assert status == 303, address
    return address


async def agreed(address: str, subject: str) -> str:
    """Where the provider sends a browser back to, after somebody said there who they are."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(address, data={"sub": subject}, allow_redirects=False) as response,
    ):
        assert response.status in (302, 303), await response.text()
        parts = urlsplit(response.headers["Location"])
        return f"{parts.path}?{parts.query}"


async def logged_in_as(visitor: Visitor, subject: str) -> tuple[int, str]:
    return await visitor.get(await agreed(await to_the_provider(visitor), subject))


async def test_a_person_logs_in_by_the_provider_as_the_account_of_that_name(
    database_url: str, data_dir: Path
) -> None:
    async with open_with(database_url, data_dir) as office, visiting(office) as visitor:
        await office.account()
        assert "Log in with your organisation" in (await visitor.get("/login"))[1]
        address = await to_the_provider(visitor)
        asked = parse_qs(urlsplit(address).query)
        assert asked["code_challenge_method"] == ["S256"]
        assert asked["redirect_uri"] == [f"{office.address}/login/provider/done"]
        assert await visitor.get(await agreed(address, "s-1")) == (303, "/wearers")
        assert (await visitor.get("/account"))[0] == 200
        events = [e.what for e in await history_of(office.connection, Subject.ACCOUNT, "Ann")]
        assert "identity bound" in events
        assert "logged in" in events


async def test_a_name_that_the_provider_gives_to_somebody_else_opens_nothing(
    database_url: str, data_dir: Path
) -> None:
    async with open_with(database_url, data_dir) as office, visiting(office) as visitor:
        await office.account()
        assert (await logged_in_as(visitor, "s-1"))[0] == 303
        visitor.http.cookie_jar.clear()
        status, page = await logged_in_as(visitor, "s-2")
        assert status == 401
        assert "There is no account here for you" in page


async def test_nobody_gets_an_account_by_logging_in(database_url: str, data_dir: Path) -> None:
    async with open_with(database_url, data_dir) as office, visiting(office) as visitor:
        status, page = await logged_in_as(visitor, "s-3")
        assert status == 401
        assert "Contact your administrator" in page
        assert await office.connection.fetchval("SELECT count(*) FROM users") == 0


async def test_where_a_setting_says_so_an_account_of_its_role_is_made_that_no_password_opens(
    database_url: str, data_dir: Path
) -> None:
    async with open_with(database_url, data_dir, oidc_new_role="operator") as office, visiting(office) as visitor:
        assert (await logged_in_as(visitor, "s-3"))[0] == 303
        row = await office.connection.fetchrow("SELECT name, role FROM users")
        assert tuple(row) == ("Bob", Role.OPERATOR)
        visitor.http.cookie_jar.clear()
        assert (await visitor.log_in("none: logs in by the identity provider", name="Bob"))[0] == 401


async def test_a_disabled_account_does_not_log_in_by_the_provider(database_url: str, data_dir: Path) -> None:
    async with open_with(database_url, data_dir) as office, visiting(office) as visitor:
        await office.account()
        await logged_in_as(visitor, "s-1")
        await disable_account(office.settings, "Ann", who="Bob")
        visitor.http.cookie_jar.clear()
        status, page = await logged_in_as(visitor, "s-1")
        assert (status, "can no longer log in" in page) == (401, True)


async def test_an_email_address_counts_only_where_it_is_verified(database_url: str, data_dir: Path) -> None:
    async with open_with(database_url, data_dir, oidc_claim="email") as office, visiting(office) as visitor:
        await office.account(name="ann@agency.example")
        await office.account(name="cy@agency.example")
        status, page = await logged_in_as(visitor, "s-1")
        assert (status, "has not verified your email" in page) == (401, True)
        assert (await logged_in_as(visitor, "s-4"))[0] == 303


@pytest.mark.parametrize("fault", ["nonce", "audience", "issuer", "expired", "signature", "unsigned", "keys"])
async def test_an_identity_token_is_refused_for_its(
    fault: str, database_url: str, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_with(database_url, data_dir, fault) as office, visiting(office) as visitor:
        await office.account()
        status, page = await logged_in_as(visitor, "s-1")
        assert status == 401
        assert "This login could not be finished" in page
        assert "the identity token does not hold" in capsys.readouterr().out
        assert await office.connection.fetchval("SELECT count(*) FROM sessions") == 0


async def test_the_answer_counts_in_the_browser_that_asked_and_once(database_url: str, data_dir: Path) -> None:
    async with open_with(database_url, data_dir) as office, visiting(office) as visitor, visiting(office) as other:
        await office.account()
        back = await agreed(await to_the_provider(visitor), "s-1")
        assert (await other.get(back))[0] == 401
        await to_the_provider(other)
        assert (await other.get(back))[0] == 401
        assert (await visitor.get(back))[0] == 303
        assert (await visitor.get(back))[0] == 401


async def test_without_the_verifier_the_provider_gives_no_token(database_url: str, data_dir: Path) -> None:
    async with open_with(database_url, data_dir) as office, visiting(office) as visitor:
        await office.account()
        back = await agreed(await to_the_provider(visitor), "s-1")
        (kept,) = visitor.http.cookie_jar
        attempt = Attempt.read(kept.value)
        assert attempt is not None
        forged = msgspec.structs.replace(attempt, verifier="x" * 64).cookie()
        visitor.http.cookie_jar.clear()
        visitor.http.cookie_jar.update_cookies({"emtrack_login": forged})
        assert (await visitor.get(back))[0] == 401


@pytest.mark.parametrize(
    "query", ["", "state=", "code=x", "error=access_denied", "state=%00&code=%00", "iss=x&state=y"]
)
async def test_an_answer_that_nobody_asked_for_is_refused(query: str, database_url: str, data_dir: Path) -> None:
    async with open_with(database_url, data_dir) as office, visiting(office) as visitor:
        assert (await visitor.get(f"/login/provider/done?{query}"))[0] == 401


async def test_who_says_no_at_the_provider_is_told_so_and_not_in_the_providers_words(
    database_url: str, data_dir: Path
) -> None:
    async with open_with(database_url, data_dir) as office, visiting(office) as visitor:
        state = parse_qs(urlsplit(await to_the_provider(visitor)).query)["state"][0]
        where = f"/login/provider/done?state={state}&error=access_denied&error_description=call+0900"
        status, page = await visitor.get(where)
        assert (status, "did not log you in" in page, "0900" in page) == (401, True, False)


async def test_a_provider_that_is_another_than_it_says_or_is_not_there_leaves_the_password(
    database_url: str, data_dir: Path
) -> None:
    async with open_with(database_url, data_dir, "discovery") as office, visiting(office) as visitor:
        status, page = await visitor.get("/login/provider")
        assert (status, "cannot be reached" in page) == (401, True)
        assert (await visitor.log_in(await office.account()))[0] == 303


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"oidc_issuer": "http://agency.example", "oidc_client_id": "emtrack"}, "not https"),
        ({"oidc_issuer": "https://agency.example"}, "go together"),
        ({"oidc_client_id": "emtrack"}, "go together"),
    ],
)
def test_a_provider_that_cannot_be_trusted_is_refused_at_the_start(fields: dict[str, str], what: str) -> None:
    with pytest.raises(SettingsError, match=what):
        provider_of(Settings(data_dir=Path("/nonexistent"), **fields))


@asynccontextmanager
async def visiting(office: Office) -> AsyncIterator[Visitor]:
    visitor = Visitor(office)
    try:
        yield visitor
    finally:
        await visitor.http.close()
