"""Cookies keep to TLS where the deployment says that people come by it, and nobody reaches the service without it from elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import msgspec
import pytest

from emtrack.service.app import refuse_without_tls, running_service
from emtrack.settings import Settings, SettingsError, read_settings
from emtrack.web.browsers import _without_port
from tests.office import Office, open_office
from tests.service_world import settings_for


def listens_on(listen: str, **settings: str) -> Settings:
    return read_settings({"EMTRACK_LISTEN": listen, **settings})


@pytest.mark.parametrize("listen", ["0.0.0.0:8040", "[::]:8040", "192.0.2.1:8040", "emtrack.example:8040"])
def test_others_are_not_served_without_tls(listen: str) -> None:
    with pytest.raises(SettingsError, match="EMTRACK_TLS=proxy"):
        refuse_without_tls(listens_on(listen))
    refuse_without_tls(listens_on(listen, EMTRACK_TLS="proxy"))


@pytest.mark.parametrize("listen", ["127.0.0.1:8040", "[::1]:8040", "localhost:8040"])
def test_this_machine_is_served_without_tls(listen: str) -> None:
    refuse_without_tls(listens_on(listen))


def test_an_address_of_tls_without_the_setting_is_refused_so_that_no_cookie_goes_without() -> None:
    with pytest.raises(SettingsError, match="EMTRACK_TLS=proxy"):
        refuse_without_tls(listens_on("127.0.0.1:8040", EMTRACK_URL="https://emtrack.example"))


@pytest.mark.parametrize(
    "host", ["evil.test", "evil.test:80", "127.0.0.1.evil.test", "localhost@evil.test", "", "[::2]"]
)
async def test_a_request_for_another_host_is_answered_with_400_and_sent_nowhere(office: Office, host: str) -> None:
    for path in ("/", "/login", "/alerts/", "/v1/devices/D1/reports"):
        async with office.http.get(path, headers={"Host": host}, allow_redirects=False) as response:
            assert response.status == 400
            assert "Location" not in response.headers
            assert "evil.test" not in await response.text()
            assert "Content-Security-Policy" in response.headers


@pytest.mark.parametrize(
    ("host", "name"),
    [("a:1", "a"), ("A.Example", "a.example"), ("[::1]:80", "::1"), ("[::1]", "::1"), ("a:b", "a:b"), ("", "")],
)
def test_a_host_is_compared_without_its_port(host: str, name: str) -> None:
    assert _without_port(host) == name


async def test_without_tls_there_is_no_strict_transport_security(office: Office) -> None:
    async with office.http.get("/login") as response:
        assert "Strict-Transport-Security" not in response.headers


async def test_behind_tls_the_cookie_is_of_this_host_only_and_the_plain_one_counts_for_nothing(
    database_url: str, data_dir: Path
) -> None:
    async with open_office(database_url, data_dir, tls="proxy", hosts=("emtrack.example",)) as office:
        fields = {"name": "Ann", "password": await office.account()}
        forwarded = {"Host": "emtrack.example", "X-Forwarded-For": "198.51.100.7"}
        async with office.http.post("/login", data=fields, headers=forwarded, allow_redirects=False) as response:
            assert response.status == 303
            assert "max-age=31536000" in response.headers["Strict-Transport-Security"]
            cookie = response.headers["Set-Cookie"]
        name, _, value = cookie.partition(";")[0].partition("=")
        assert name == "__Host-emtrack_session"
        assert {"Secure", "HttpOnly", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert "domain" not in cookie.lower()
        statuses = []
        for sent in (name, "emtrack_session"):
            async with office.http.get(
                "/account", headers={"Cookie": f"{sent}={value}"}, allow_redirects=False
            ) as got:
                statuses.append(got.status)
        assert statuses == [200, 303]
        assert await office.connection.fetchval("SELECT begun_from FROM sessions") == "198.51.100.7"


async def test_without_a_proxy_nobody_says_for_another_where_a_login_comes_from(office: Office) -> None:
    fields = {"name": "Ann", "password": await office.account()}
    await office.http.post("/login", data=fields, headers={"X-Forwarded-For": "198.51.100.7"})
    assert await office.connection.fetchval("SELECT begun_from FROM sessions") == "127.0.0.1"


async def test_a_service_without_tls_for_others_does_not_start(database_url: str) -> None:
    settings = msgspec.structs.replace(settings_for(database_url), listen="0.0.0.0:0", clock=None)
    with pytest.raises(SettingsError):
        async with running_service(settings, asyncio.Event()):
            pass


async def test_devices_are_asked_for_by_a_known_host_too(office: Office) -> None:
    async with aiohttp.ClientSession(office.address) as http:
        headers = {"Authorization": f"Bearer {office.keys['D1']}"}
        body = {"boot": 1, "reports": []}
        async with http.post("/v1/devices/D1/reports", json=body, headers=headers) as response:
            assert response.status == 200
