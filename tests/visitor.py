"""A person at the pages, without a browser."""

from __future__ import annotations

import re

import aiohttp

from tests.office import Office

FORM_KEY = re.compile(r'name="form_key" value="([^"]+)"')


class Visitor:
    """A person at a browser without scripts."""

    def __init__(self, office: Office) -> None:
        self.address = office.address
        self.http = aiohttp.ClientSession(office.address, cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def get(self, path: str) -> tuple[int, str]:
        async with self.http.get(path, allow_redirects=False) as response:
            return response.status, await response.text(errors="replace") or response.headers.get("Location", "")

    async def post(self, path: str, origin: str | None = None, **fields: str) -> tuple[int, str]:
        headers = {} if origin is None else {"Origin": origin}
        async with self.http.post(path, data=fields, headers=headers, allow_redirects=False) as response:
            return response.status, response.headers.get("Location", "") or await response.text()

    async def log_in(self, password: str, name: str = "Ann", **fields: str) -> tuple[int, str]:
        """And say for which purpose, as the first page asks."""
        answer = await self.post("/login", name=name, password=password, **fields)
        status, page = await self.get("/account")
        if answer[0] == 303 and status == 200 and (key := FORM_KEY.search(page)) is not None:
            await self.post("/shift", form_key=key[1], purpose="COMPLIANCE")
        return answer

    async def form_key(self) -> str:
        _, page = await self.get("/account")
        found = FORM_KEY.search(page)
        assert found is not None
        return found[1]
