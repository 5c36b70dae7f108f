"""What holds for each of our sessions: durable commits, limits of time, and a connection that notices when the other end is gone.

There are three ways not to get an answer. The server is busy or waits for a lock: it ends the statement itself, after
`statement_s` or `lock_s`. The network is cut: the kernels on both ends notice, by keep-alives and by what is not acknowledged
(TCP_GONE_S). Something in between takes our bytes and says nothing: after `answer_s` the connection is given up. Migrations,
imports and exports may take as long as they take; whoever answers people or devices may not.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Collection
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import asyncpg

if TYPE_CHECKING:
    Base = asyncpg.Connection[asyncpg.Record]
else:
    Base = asyncpg.Connection

Answer = TypeVar("Answer")

TCP_IDLE_S: Final = 5
TCP_PROBES: Final = 3
TCP_GONE_S: Final = TCP_IDLE_S * (1 + TCP_PROBES)
"""After so long without a sign of the other end a connection over TCP is lost."""

SESSION: Final = {
    "application_name": "emtrack",
    "timezone": "UTC",
    "synchronous_commit": "on",
    # What takes long may, whatever the server has for others; who may not has Limits.
    "statement_timeout": "0",
    "lock_timeout": "0",
    # Of the server's end, so that it lets go of locks of a session that was cut off.
    "tcp_keepalives_idle": str(TCP_IDLE_S),
    "tcp_keepalives_interval": str(TCP_IDLE_S),
    "tcp_keepalives_count": str(TCP_PROBES),
    "tcp_user_timeout": str(TCP_GONE_S * 1000),
}
"""Settings with which a session begins. They win over those of the server, the role and the database."""


class Limits(NamedTuple):
    """Seconds. `statement_s` and `lock_s`: after which the server ends a statement. `answer_s`: after which we give the connection
    up; longer than `statement_s`, so that a server that is well says itself what was too long. `idle_s`: after which the server ends
    a session that says nothing in the middle of a transaction, because its process stands still, and lets go of what it locked; 0:
    it waits."""

    statement_s: float
    lock_s: float
    answer_s: float
    idle_s: float = 0.0

    @property
    def settings(self) -> dict[str, str]:
        """For the server, in milliseconds."""
        return {
            "statement_timeout": str(round(self.statement_s * 1000)),
            "lock_timeout": str(round(self.lock_s * 1000)),
            "idle_in_transaction_session_timeout": str(round(self.idle_s * 1000)),
        }


READING: Final = Limits(statement_s=60.0, lock_s=10.0, answer_s=65.0, idle_s=30.0)
"""For those who read and enter by HTTP. A page reads within a second; the findings of everybody may take a while."""
TURN: Final = Limits(statement_s=60.0, lock_s=10.0, answer_s=65.0)
"""For a turn. The longest statements are those that read everybody's orders again after a change of settings."""
LOADING: Final = Limits(statement_s=600.0, lock_s=30.0, answer_s=605.0)
"""For the worker's start: all activations with their facts."""

SYNCHRONOUS_WAIT: Final = "SyncRepWaitForLSN"
"""The server's own name of the place where a commit waits for a standby. Its words for it are in the server's language."""

SET_LIMITS = """
SELECT set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false),
       set_config('idle_in_transaction_session_timeout', $3, false)
"""


FEW_ROWS: Final = "SET enable_seqscan = off; SET jit = off"
"""For a session that touches few rows of tables that grow. The server keeps a plan until it counts the table anew; one that was made
while the table was small reads all of it, and goes on so in the evening that makes it large (those by which foreign keys are checked,
too). Where nothing else will do a table is still read whole, and that must not look so dear that it is compiled."""
PART_BY_PART: Final = f"{FEW_ROWS}; SET enable_hashjoin = off; SET enable_mergejoin = off"
"""For who reads everybody, some hundred people at a time. By a hash or a merge a whole table or index is read for each part: quickest
for one, and for all of them a time that grows with the square of the people."""
ANY_ROWS: Final = "RESET enable_seqscan; RESET jit; RESET enable_hashjoin; RESET enable_mergejoin"


FIRST_THAT_VARIES: Final = 10_000
"""Types with smaller numbers are PostgreSQL's own: the same on every server, of every version."""


class _Asked(NamedTuple):
    """Stands for a question that need not be put again. `name`: nothing was prepared without a name meanwhile."""

    name: str


_ASKED: Final = _Asked("asked before")
_own_types: dict[frozenset[int], list[asyncpg.Record]] = {}
"""What arrays and ranges are made of, as a server told it to this process."""


class NotOnStandby(asyncpg.PostgresConnectionError):
    """Somebody ended the wait of a commit for its standby. The server calls that a commit, with a warning; on this machine it is one,
    and the loss of the machine would undo it. Whoever waits for the commit is told that it did not happen, and sends again."""


class Session(Base):
    """A connection of ours. Without limits until `set_limits`."""

    def __init__(self, protocol: Any, transport: asyncio.Transport, *arguments: Any) -> None:
        super().__init__(protocol, transport, *arguments)
        self._limits: Limits | None = None
        self._is_on_standby = True
        notice_when_gone(transport)

    async def set_limits(self, limits: Limits) -> None:
        """From now on, for every statement."""
        self._limits = limits
        await self.execute(SET_LIMITS, *limits.settings.values())

    async def _within(self, answer: Awaitable[Answer]) -> Answer:
        """A connection that does not answer in time is good for nothing more, not even to roll back. Raises NotOnStandby."""
        try:
            async with asyncio.timeout(None if self._limits is None else self._limits.answer_s):
                said = await answer
        except TimeoutError:
            self.terminate()
            raise
        except (
            asyncpg.InternalClientError
        ) as error:  # what the server said as it ended the session is still being read
            self.terminate()
            raise asyncpg.InterfaceError(f"The session was ended: {error}.") from error
        if not self._is_on_standby:
            self.terminate()
            raise NotOnStandby("A commit no longer waited for its standby; it is not acknowledged.")
        return said

    async def _introspect_types(
        self, typeoids: Collection[int], timeout: float | None
    ) -> tuple[list[asyncpg.Record], Any]:
        """The library asks on each connection anew what each array and range is made of, which costs the server some ten
        milliseconds. Of its own types we ask once a process."""
        asked = frozenset(typeoids)
        if known := _own_types.get(asked):
            return known, _ASKED
        types, statement = await super()._introspect_types(typeoids, timeout)  # type: ignore[misc]  # not in the stubs
        if max(asked, default=0) < FIRST_THAT_VARIES:
            _own_types[asked] = types
        return types, statement

    def _process_log_message(self, fields: dict[str, str], last_query: str) -> None:
        """What the server says beside its answers, before the answer. A listener would be told after a turn of the loop only, and the
        pool takes it for one that somebody forgot."""
        if fields.get("R") == SYNCHRONOUS_WAIT:
            self._is_on_standby = False
        super()._process_log_message(fields, last_query)  # type: ignore[misc]  # not in the stubs

    async def execute(self, *args: Any, **options: Any) -> str:
        return await self._within(super().execute(*args, **options))

    async def executemany(self, *args: Any, **options: Any) -> None:
        return await self._within(super().executemany(*args, **options))

    async def copy_records_to_table(self, *args: Any, **options: Any) -> str:
        return await self._within(super().copy_records_to_table(*args, **options))

    async def copy_to_table(self, *args: Any, **options: Any) -> str:
        return await self._within(super().copy_to_table(*args, **options))

    async def fetch(self, *args: Any, **options: Any) -> list[Any]:
        return await self._within(super().fetch(*args, **options))

    async def fetchrow(self, *args: Any, **options: Any) -> Any:
        return await self._within(super().fetchrow(*args, **options))

    async def fetchval(self, *args: Any, **options: Any) -> Any:
        return await self._within(super().fetchval(*args, **options))


def notice_when_gone(transport: asyncio.BaseTransport) -> None:
    """A connection over TCP whose other end is silent for TCP_GONE_S is lost. Others need no such thing."""
    connected = transport.get_extra_info("socket")
    if connected is None or connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # The loop's socket may not be asked for options; another descriptor of it has the same ones.
    with socket.socket(fileno=os.dup(connected.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", TCP_IDLE_S),
            ("TCP_KEEPINTVL", TCP_IDLE_S),
            ("TCP_KEEPCNT", TCP_PROBES),
            ("TCP_USER_TIMEOUT", TCP_GONE_S * 1000),
        ):
            if hasattr(socket, name):  # not every system has all of them
                same.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
