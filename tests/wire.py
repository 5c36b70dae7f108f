"""A cable between the program and its database that a test can pull: TCP on our side, the server's socket on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import parse_qs, urlsplit

CHUNK: Final = 65_536


class Link:
    """One connection through the wire."""

    def __init__(self, ours: asyncio.StreamWriter, theirs: asyncio.StreamWriter) -> None:
        self.ours = ours
        self.theirs = theirs
        self.swallows = False
        self.haunts = False
        """The server's side stays open when ours is gone."""

    async def pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(CHUNK):
                if not self.swallows:
                    sink.write(data)
                    await sink.drain()
        if sink is self.ours or not self.haunts:
            sink.close()

    def cut_our_side(self) -> None:
        """As when a cable is pulled: we notice, and the server does not."""
        self.haunts = self.swallows = True
        self.ours.transport.abort()


class Wire:
    """All connections that are there. `dsn`: to go through it."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        query = parse_qs(parts.query)
        self._socket = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
        self._parts = parts
        self.links: list[Link] = []
        self.dsn = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._linked, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        user = self._parts.netloc.rpartition("@")[0]
        self.dsn = self._parts._replace(netloc=f"{user}@127.0.0.1:{port}", query="").geturl()
        return server

    async def _linked(self, reader: asyncio.StreamReader, ours: asyncio.StreamWriter) -> None:
        from_server, theirs = await asyncio.open_unix_connection(self._socket)
        link = Link(ours, theirs)
        self.links.append(link)
        for source, sink in ((reader, theirs), (from_server, ours)):
            task = asyncio.create_task(link.pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def swallow(self) -> None:
        """What is connected now hears nothing more, and nobody says so."""
        for link in self.links:
            link.swallows = True

    def cut(self) -> None:
        """What is connected now: our side ends, and the server is told nothing."""
        for link in self.links:
            link.cut_our_side()

    async def close(self) -> None:
        for link in self.links:
            link.ours.close()
            link.theirs.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def wired(dsn: str) -> AsyncIterator[Wire]:
    """A wire to the server of a DSN that names its socket."""
    wire = Wire(dsn)
    server = await wire.serve()
    try:
        yield wire
    finally:
        server.close()
        await wire.close()
