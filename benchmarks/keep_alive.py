"""A connection that asks again and again, with as little work as that takes: what a benchmark sends must not cost more than what it
measures."""

from __future__ import annotations

import asyncio
from typing import cast


class KeptAlive(asyncio.Protocol):
    """One question at a time."""

    def __init__(self) -> None:
        self._came = b""
        self.retry_after_s = 1
        """As the last answer that said so has it."""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def opened(cls, host: str, port: int) -> KeptAlive:
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer, which says its length. Raises ConnectionError if there is none."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # of uvloop, which has no such ancestor

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, found, body = self._came.partition(b"\r\n\r\n")
        if not found:
            return
        length = _number(head, b"content-length:", 0)
        if len(body) >= length and self._answer is not None and not self._answer.done():
            self._came = b""
            self.retry_after_s = _number(head, b"retry-after:", self.retry_after_s)
            self._answer.set_result((int(head[9:12]), body[:length]))

    def connection_lost(self, _error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the connection ended before the answer"))


def report_request(address: str, device_id: str, key: str, body: bytes) -> bytes:
    """The bytes with which a device sends reports."""
    return (
        f"POST /v1/devices/{device_id}/reports HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def _number(head: bytes, name: bytes, otherwise: int) -> int:
    value = head.lower().partition(name)[2].split(b"\r\n", 1)[0].strip()
    return int(value) if value.isdigit() else otherwise
