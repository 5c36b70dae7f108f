"""Which server is written where an address names several: a primary and its standby.

All of them are asked at once: a machine that is gone answers nothing at all, and nobody behind it in a list may wait for it. Of those
that can be written the one with the highest timeline is taken. PostgreSQL counts the timeline up at every promotion, so a primary
that was replaced and comes back has a lower one, wherever it stands in the list. Once this process has written on a timeline it takes
no lower one. That is the second fence; the first is the server's: who was replaced still waits for its standby with each commit, and
so acknowledges nothing (docs/scale.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

OTHERS_WITHIN_S = 1.0
"""So long the others have to answer, when one has: where a machine is gone, each new connection waits for it this long."""
WRITABLE = ("read-write", "primary")
ASK = """
SELECT pg_is_in_recovery() AS is_standby,
       CASE WHEN pg_is_in_recovery() THEN 0
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END AS timeline
"""
"""The name of a file of the log begins with the timeline. A standby is on none of its own."""

Connection = TypeVar("Connection", bound="asyncpg.Connection[Any]")
Open = Callable[[str], Awaitable[Connection]]

_highest: dict[str, int] = {}
"""The highest timeline on which this process had a connection, by the hosts of the address."""


class NoPrimary(ConnectionError):
    """No server that was named can be written, or only one that was replaced."""


class Answer(NamedTuple):
    """A server that can be reached, and its timeline; 0: a standby."""

    connection: Any
    timeline: int


def servers_of(dsn: str) -> list[str]:
    """An address for each host that the DSN names. Raises ValueError for a wish that is not for a primary."""
    parts = urlsplit(dsn)
    user, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return [dsn]
    asked = parse_qsl(parts.query, keep_blank_values=True)
    wished = dict(asked).get("target_session_attrs", WRITABLE[0])
    if wished not in WRITABLE:
        raise ValueError(f"target_session_attrs is {wished}; emtrack writes, so it goes to the primary: read-write")
    query = urlencode([pair for pair in asked if pair[0] != "target_session_attrs"])
    return [urlunsplit(parts._replace(netloc=f"{user}{at}{host}", query=query)) for host in hosts.split(",")]


async def opened_on_primary(dsn: str, opening: Open[Connection]) -> Connection:
    """A connection to the server that is written. Raises NoPrimary, or what `opening` raises if no server answers."""
    servers = servers_of(dsn)
    if len(servers) == 1:
        return await opening(dsn)
    hosts = urlsplit(dsn).netloc.rpartition("@")[2]
    answers = await _asked(servers, opening)
    best = max(answers, key=lambda answer: answer.timeline)
    for answer in answers:
        if answer is not best:
            answer.connection.terminate()
    if best.timeline == 0 or best.timeline < _highest.get(hosts, 0):
        best.connection.terminate()
        raise NoPrimary(_why_none(hosts, best.timeline))
    _highest[hosts] = best.timeline
    connection: Connection = best.connection
    return connection


def _why_none(hosts: str, timeline: int) -> str:
    if timeline == 0:
        return f"all that answer of {hosts} are standbys; promote one (pg_ctl promote)"
    return (
        f"the one that answers of {hosts} was replaced (timeline {timeline}; {_highest[hosts]} was written since); start the one "
        "that replaced it, and make this one its standby"
    )


async def _asked(servers: Sequence[str], opening: Open[Connection]) -> list[Answer]:
    """What answers: those that do within a second, else all until one can be written. Raises what a server raised if none answers."""
    asking = {asyncio.create_task(_answer_of(server, opening)) for server in servers}
    try:
        done, pending = await asyncio.wait(asking, timeout=OTHERS_WITHIN_S)
        while pending and not any(_is_primary(task) for task in done):
            more, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            done |= more
    except asyncio.CancelledError:
        await _given_up(asking)
        raise
    await _given_up(pending)
    answers = [task.result() for task in done if task.exception() is None]
    if not answers:
        raise next(error for task in done if (error := task.exception()) is not None)
    return answers


def _is_primary(task: asyncio.Task[Answer]) -> bool:
    return task.exception() is None and task.result().timeline > 0


async def _given_up(asking: set[asyncio.Task[Answer]]) -> None:
    """Nobody is left behind who still connects, and no connection that nobody has."""
    for task in asking:
        task.cancel()
    for ended in await asyncio.gather(*asking, return_exceptions=True):
        if isinstance(ended, Answer):
            ended.connection.terminate()


async def _answer_of(server: str, opening: Open[Connection]) -> Answer:
    connection = await opening(server)
    try:
        row = await connection.fetchrow(ASK)
        assert row is not None, "a SELECT without a table has one row"
        return Answer(connection, row["timeline"])
    except BaseException:
        connection.terminate()
        raise
