"""How the program reaches its database: the configured one or the embedded one, and connections to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

import asyncpg
import msgspec
import structlog

from emtrack.db.embedded import DatabaseError, disk_of, embedded_server, kept_server
from emtrack.db.primary import opened_on_primary
from emtrack.db.session import SESSION, Limits, Session

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    # What functions with SQL in them take: a connection, or one borrowed from a pool.
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection: TypeAlias = asyncpg.Connection

OLDEST_SERVER: Final = 15
CONNECT_PATIENCE_S: Final = 10.0
END_PATIENCE_S: Final = 5.0

SYNCHRONOUS = "SHOW synchronous_commit"
WHAT_OUTLIVES_A_POWER_CUT = """
SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name
"""

log = structlog.get_logger(__name__)


class DatabaseUnavailable(DatabaseError):
    """The configured server does not answer, refuses us, or cannot be used."""


@asynccontextmanager
async def database(database_url: str | None, data_dir: Path, *, program: str, exclusive: bool) -> AsyncIterator[str]:
    """The DSN to use: `database_url` after a check, or the embedded server on `data_dir` when there is none.

    `program` and `exclusive` are as in `embedded_server`; the embedded server of an exclusive program is started again when it ends.
    Raises DatabaseUnavailable, or what `embedded_server` or `kept_server` raises.
    """
    if database_url is not None:
        await check_server(database_url)
        if exclusive:
            await shout_if_forgetful(database_url)
        with told_which_disk(lambda: f"It is a disk of the server at {without_password(database_url)}"):
            yield database_url
        return
    server = (
        kept_server(data_dir, program=program)
        if exclusive
        else embedded_server(data_dir, program=program, exclusive=False)
    )
    async with server as dsn:
        with told_which_disk(lambda: disk_of(data_dir)):
            yield dsn


@contextmanager
def told_which_disk(which: Callable[[], str]) -> Iterator[None]:
    """What the database says of a full disk names a file within it at the best. `which`: a sentence without its stop. Raises
    DatabaseUnavailable."""
    try:
        yield
    except asyncpg.DiskFullError as error:
        raise DatabaseUnavailable(
            f"The database has no room: {error}. {which()}. Make room there, then start again."
        ) from error


async def check_server(dsn: str) -> None:
    """Raises DatabaseUnavailable unless a server that emtrack can use answers at `dsn` within 10 s."""
    try:
        connection = await _opened(dsn, timeout=CONNECT_PATIENCE_S, server_settings=SESSION)
    except TimeoutError:
        raise DatabaseUnavailable(_unreachable(dsn, f"no answer within {CONNECT_PATIENCE_S:.0f} s")) from None
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseUnavailable(_unreachable(dsn, str(error) or type(error).__name__)) from error
    try:
        _refuse_unusable(dsn, connection.get_server_version().major, connection.get_settings().server_encoding)
        _refuse_careless(dsn, await connection.fetchval(SYNCHRONOUS))
    finally:
        await connection.close()


def _refuse_unusable(dsn: str, major: int, encoding: str) -> None:
    if major < OLDEST_SERVER:
        raise DatabaseUnavailable(
            f"The server at {without_password(dsn)} is PostgreSQL {major}; emtrack needs {OLDEST_SERVER} "
            "or newer. Upgrade it, or leave EMTRACK_DATABASE_URL unset to use the embedded server."
        )
    if encoding != "UTF8":
        raise DatabaseUnavailable(
            f"The database at {without_password(dsn)} has the encoding {encoding}; emtrack needs UTF8. "
            f"Make another with: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )


def _refuse_careless(dsn: str, synchronous: str) -> None:
    if synchronous not in ("on", "remote_apply"):
        raise DatabaseUnavailable(
            f"A session at {without_password(dsn)} asked for synchronous_commit = on and has {synchronous!r}: what a device "
            "was told is stored could be lost. A connection pooler that drops settings, or a login trigger, is in the way. "
            "Take it away, or set it for the role: ALTER ROLE … SET synchronous_commit = on."
        )


async def shout_if_forgetful(dsn: str) -> None:
    """An error in the log where the server writes so that a power cut can lose what was acknowledged. It is the server's own choice
    (fsync, full_page_writes), which no session can change."""
    connection = await connect(dsn)
    try:
        for (name,) in await connection.fetch(WHAT_OUTLIVES_A_POWER_CUT):
            what = "a power cut can lose what devices were told is stored: set it to on in postgresql.conf"
            log.error("server is not durable", setting=name, what=what)
    finally:
        await connection.close()


def _unreachable(dsn: str, reason: str) -> str:
    return (
        f"No connection to PostgreSQL at {without_password(dsn)}: {reason}. Check that the server runs and "
        "that EMTRACK_DATABASE_URL is right (postgresql://USER:PASSWORD@HOST:PORT/DATABASE), or leave it "
        "unset to use the embedded server."
    )


def without_password(dsn: str) -> str:
    """The DSN's user, host and database, for messages; never its password or options."""
    try:
        parts = urlsplit(dsn)
    except ValueError:
        return "(an address that cannot be read)"
    if parts.scheme not in ("postgresql", "postgres"):
        return "(an address that does not begin with postgresql://)"
    user, at, host = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{user.split(':')[0]}{at}{host}{parts.path}"


async def connect(dsn: str, *, name: str = SESSION["application_name"]) -> Session:
    """One connection with our session settings and codecs, without limits. `name`: under which the server lists it."""
    connection: Session = await _opened(
        dsn,
        timeout=CONNECT_PATIENCE_S,
        server_settings=SESSION | {"application_name": name},
        connection_class=Session,
    )
    await _set_codecs(connection)
    return connection


async def _opened(dsn: str, **how: Any) -> Any:
    """As `asyncpg.connect`; where the DSN names several servers, to the one that is written."""
    return await opened_on_primary(dsn, lambda server: asyncpg.connect(server, **how))


@asynccontextmanager
async def open_pool(
    dsn: str, *, size: int, limits: Limits, prepare: Callable[[Any], Coroutine[Any, Any, None]] | None = None
) -> AsyncIterator[asyncpg.Pool[asyncpg.Record]]:
    """A pool of up to `size` connections with our session settings and codecs. `limits`: of each statement; they outlive what the
    pool resets between two users of a connection. `prepare`: what each user of a connection does first."""
    pool = await asyncpg.create_pool(
        dsn,
        min_size=0,  # the pool would log in its own form when it cannot keep some open
        max_size=size,
        timeout=CONNECT_PATIENCE_S,
        command_timeout=limits.answer_s,
        server_settings=SESSION | limits.settings,
        connection_class=Session,
        connect=_opened,  # type: ignore[call-overload]  # the stubs know only some of what may be given
        init=_set_codecs,
        setup=prepare,
    )
    try:
        yield pool
    finally:
        await _end(pool)


async def _end(pool: asyncpg.Pool[asyncpg.Record]) -> None:
    """In order, or after a while without those whose server does not answer."""
    try:
        async with asyncio.timeout(END_PATIENCE_S):
            await pool.close()
    except (TimeoutError, OSError, asyncpg.InterfaceError, asyncpg.PostgresError):
        pool.terminate()


async def _set_codecs(connection: Any) -> None:
    """`jsonb` is a Python object on our side. NaN and infinities become null, as JSON has none."""
    # Binary, as COPY needs it; the byte before the text is the version of the format.
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_encode_jsonb, decoder=_decode_jsonb, format="binary"
    )


def _encode_jsonb(value: object) -> bytes:
    return b"\x01" + msgspec.json.encode(value)


def _decode_jsonb(sent: bytes) -> Any:
    return msgspec.json.decode(memoryview(sent)[1:])
