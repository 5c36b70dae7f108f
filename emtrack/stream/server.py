"""The NATS servers: connecting, what must hold of them before anything is sent, and the stream itself."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog

from emtrack.errors import MendableError
from emtrack.stream.messages import SUBJECTS

if TYPE_CHECKING:
    from nats.aio.client import Client

    from emtrack.settings import StreamSetting

NAME = "emtrack"
OLDEST = (2, 15, 1)
MAX_AGE_S = 300.0
"""What is older was told to be sent again long ago."""
LEAST_PAYLOAD = 4 * 1024**2
"""A request has up to 1 MiB, and a message holds several."""
ANSWER_WITHIN_S = 2.0
CONNECTED_WITHIN_S = 20.0
"""At the start; later connections are tried for ever."""
VARZ = "$SYS.REQ.SERVER.PING.VARZ"

log = structlog.get_logger()


class StreamUnfit(MendableError):
    """The stream cannot be used as it is. The message says what to change."""

    exit_code = 1


class Stream(NamedTuple):
    """An open connection. `identity`: which stream it is: numbers of messages begin anew in another."""

    client: Client
    js: Any
    identity: str


class _Config(msgspec.Struct):
    sync_always: bool = False


class _JetStream(msgspec.Struct):
    config: _Config | None = None


class _Variables(msgspec.Struct):
    version: str
    server_name: str
    jetstream: _JetStream | None = None


class _Answer(msgspec.Struct):
    data: _Variables


async def opened_stream(setting: StreamSetting, part: str) -> Stream:
    """Connected, checked, and the stream made if there is none. `part`: which of the program: what is answered to one comes under a
    subject that the servers give to no other (deploy/nats.conf). Raises StreamUnfit."""
    await check_servers(setting)
    client = await _connected(setting, setting.user, setting.password, part)
    try:
        if client.max_payload < LEAST_PAYLOAD:
            raise StreamUnfit(
                f"The NATS servers take messages of {client.max_payload:,} bytes; set max_payload to 8MB in their configuration."
            )
        return await _stream(client, setting)
    except BaseException:
        with suppress(Exception):
            await client.close()
        raise


async def check_servers(setting: StreamSetting) -> None:
    """Asks every server for itself, over the system account: whether it writes to its disk before it says so. Raises StreamUnfit."""
    client = await _connected(setting, setting.system_user, setting.system_password, "checks")
    try:
        found = await _variables(client, setting.replicas)
    finally:
        await client.close()
    if len(found) <= setting.replicas // 2:
        raise StreamUnfit(
            f"{len(found)} of {setting.replicas} NATS servers answered; EMTRACK_STREAM names {setting.system_user!r} as the user of "
            "their system account. Start them, or check system_account in their configuration."
        )
    for one in found:
        if _version(one.version) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise StreamUnfit(
                f"NATS server {one.server_name} is {one.version}; emtrack needs {oldest} or newer. Upgrade it."
            )
        config = None if one.jetstream is None else one.jetstream.config
        if config is None or not config.sync_always:
            raise StreamUnfit(
                f"NATS server {one.server_name} does not write messages to its disk before it says that it has them: a power cut "
                "would lose them. Set `sync_interval: always` in its `jetstream` block."
            )


async def _variables(client: Client, expected: int) -> list[_Variables]:
    """Of each server that answers in time."""
    inbox = client.new_inbox()
    answers = await client.subscribe(inbox)
    await client.publish(VARZ, b"", reply=inbox)
    found: dict[str, _Variables] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_WITHIN_S):
            while len(found) < expected:
                said = msgspec.json.decode((await answers.next_msg(timeout=ANSWER_WITHIN_S)).data, type=_Answer).data
                found[said.server_name] = said
    return list(found.values())


def _version(text: str) -> tuple[int, ...]:
    numbers = text.split("-")[0].split(".")
    return tuple(int(part) for part in numbers if part.isdigit())


async def _connected(setting: StreamSetting, user: str | None, password: str | None, part: str) -> Client:
    try:
        from nats.aio.client import Client
    except ImportError as error:
        raise StreamUnfit("EMTRACK_STREAM is set, and nats-py is not installed. Install emtrack[cluster].") from error
    client = Client()
    try:
        await _within(
            CONNECTED_WITHIN_S,
            client.connect(
                list(setting.servers),
                user=user, password=password, name=f"emtrack {part}", inbox_prefix=f"_INBOX.{part}",
                connect_timeout=2, allow_reconnect=True, max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,  # type: ignore[arg-type]  # it sleeps so long
                ping_interval=2, max_outstanding_pings=2, error_cb=_told, pending_size=64 * 1024**2,
                **_tls_of(setting),
            ),
        )  # fmt: skip
    except Exception as error:
        with suppress(Exception):
            await _within(1.0, client.close())
        raise StreamUnfit(
            f"No NATS server of EMTRACK_STREAM lets us in ({', '.join(setting.servers)}): {type(error).__name__}. Check that they "
            "run, the user and the password file, and for tls:// that their `tls` block has `handshake_first: true` and a "
            "certificate of their host that this machine trusts."
        ) from error
    return client


async def _within(patience_s: float, work: Coroutine[Any, Any, None]) -> None:
    """Its end is not waited for longer, even where it does not let itself be cancelled, as the client does not when it closes a
    connection whose handshake failed. Raises TimeoutError, or what it raises."""
    task = asyncio.ensure_future(work)
    await asyncio.wait([task], timeout=patience_s)
    if not task.done():
        task.cancel()
        raise TimeoutError
    task.result()


def _tls_of(setting: StreamSetting) -> dict[str, Any]:
    """The client would encrypt only where a server asks for it, which anybody in between can leave out: with tls:// nothing is said,
    and nothing believed, before the server has proved who it is."""
    return {"tls": ssl.create_default_context(), "tls_handshake_first": True} if setting.is_tls else {}


async def _told(error: Exception) -> None:
    log.warning("stream", error=type(error).__name__)


async def _stream(client: Client, setting: StreamSetting) -> Stream:
    from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
    from nats.js.errors import NotFoundError

    js = client.jetstream(timeout=5)
    wanted = StreamConfig(
        name=NAME, subjects=[SUBJECTS], storage=StorageType.FILE, retention=RetentionPolicy.LIMITS, discard=DiscardPolicy.NEW,
        max_bytes=setting.max_bytes, max_age=MAX_AGE_S, num_replicas=setting.replicas, allow_direct=False,
    )  # fmt: skip
    try:
        info = await js.stream_info(NAME)
    except NotFoundError:
        info = await js.add_stream(wanted)
    except Exception as error:
        raise StreamUnfit(
            f"JetStream does not answer ({type(error).__name__}). Too few of its servers may run."
        ) from error
    there = info.config
    if (there.num_replicas or 1) != setting.replicas or there.storage != StorageType.FILE:
        raise StreamUnfit(
            f"The stream {NAME!r} has {there.num_replicas} replicas in {there.storage}, and {setting.replicas} in files are asked "
            f"for. Change it (`nats stream edit {NAME} --replicas {setting.replicas}`), or set ?replicas= in EMTRACK_STREAM."
        )
    return Stream(client, js, f"{NAME} {info.created}")
