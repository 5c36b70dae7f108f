"""Answers are compressed, files of the pages are kept for good, and neither gives away what it should not."""

from __future__ import annotations

import gzip
import re

import aiohttp
import pytest

from emtrack.people.roles import Role
from emtrack.web.assets import FOLDER, assets
from emtrack.web.form_keys import is_key, masked
from tests.office import Office
from tests.visitor import FORM_KEY, Visitor

PACKED = {"Accept-Encoding": "gzip, deflate, br"}


async def raw(office: Office, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
    """As it came over the wire."""
    async with (
        aiohttp.ClientSession(office.address, auto_decompress=False) as session,
        session.get(path, headers=headers) as response,
    ):
        return response, await response.read()


async def test_files_of_the_pages_are_sent_compressed_and_kept_for_good(office: Office) -> None:
    _, login = await raw(office, "/login", **{"Accept-Encoding": "identity"})
    addresses = re.findall(rb'(?:href|src)="(/static/[^"]+)"', login)
    assert len(addresses) > 3
    for address in [*(one.decode() for one in addresses), f"{assets().root}/vendor/ol.js"]:
        response, body = await raw(office, address, **PACKED)
        assert response.status == 200, address
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        content = gzip.decompress(body) if response.headers.get("Content-Encoding") == "gzip" else body
        assert content == (FOLDER / address.split("/", 3)[3]).read_bytes()
    assert len(body) < 0.35 * len(content)


async def test_a_file_without_its_version_or_with_another_is_asked_for_again(office: Office) -> None:
    response, body = await raw(office, "/static/map.js", **{"Accept-Encoding": "identity"})
    assert (response.headers["Cache-Control"], body) == ("no-cache", (FOLDER / "map.js").read_bytes())
    etag = response.headers["ETag"]
    response, body = await raw(office, "/static/map.js", **{"If-None-Match": etag})
    assert (response.status, body) == (304, b"")
    assert (await raw(office, "/static/0123456789abcdef/map.js"))[0].status == 404


@pytest.mark.parametrize(
    "path",
    [
        "../pages/site.py",
        "%2e%2e/assets.py",
        "map",
        "",
        "/etc/passwd",
        "map.js/",
        "map.js%00",
        "{}/../x",
        "{}/{}/map.js",
        "{}",
    ],
)
async def test_nothing_but_these_files_is_at_such_an_address(office: Office, path: str) -> None:
    response, _ = await raw(office, "/static/" + path.replace("{}", assets().version))
    assert response.status in (404, 405)


async def test_a_page_is_compressed_and_a_stream_of_events_is_not(office: Office, visitor: Visitor) -> None:
    await office.two_are_out()
    await visitor.log_in(await office.account(Role.OPERATOR))
    async with visitor.http.get("/alerts", headers=PACKED) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert "<h1" in await response.text()
    async with visitor.http.get("/v1/alerts/stream", headers=PACKED) as response:
        assert "Content-Encoding" not in response.headers
        assert (await response.content.readany()) != b"", "what is sent is there at once"
    async with visitor.http.get("/alerts", headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers


async def test_the_form_key_is_another_text_on_each_page_and_each_is_taken(office: Office, visitor: Visitor) -> None:
    await visitor.log_in(await office.account(Role.OPERATOR))
    keys = [await visitor.form_key() for _ in range(3)]
    stored = await office.connection.fetchval("SELECT form_key FROM sessions ORDER BY began_at DESC LIMIT 1")
    assert len({*keys, stored}) == 4
    for key in keys:
        assert (await visitor.post("/shift", form_key=key, purpose="COMPLIANCE"))[0] == 303
    _, page = await visitor.get("/alerts")
    assert len(set(FORM_KEY.findall(page))) == 1, "compressing it costs little"
    assert stored not in page


@pytest.mark.parametrize(
    "sent", ["", ".", "00.00", "key", "6b6579.000001", "6b6579.0000", "é.é", ".6b6579", "0.0", "6b6579"]
)
def test_what_is_no_masked_key_is_refused(sent: str) -> None:
    assert not is_key(sent, "key")


def test_a_masked_key_is_read_back_and_no_other() -> None:
    assert is_key(masked("key"), "key")
    assert not is_key(masked("kez"), "key")
    assert not is_key(masked("keys"), "key")
