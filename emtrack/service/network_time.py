"""What others say of the machine's clock: servers of network time (SNTP, RFC 5905), or the program that keeps the clock here.

T1  we ask          by our clock
T2  it hears us     by the server's
T3  it answers      by the server's
T4  we hear it      by our clock

offset = ((T2 - T1) + (T3 - T4)) / 2, wrong by at most half of what was under way, (T4 - T1) - (T3 - T2)
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import socket
import struct
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

PORT: Final = 123
PATIENCE_S: Final = 5.0
FAR_OFF_S: Final = 1.0
"""Evidence wants less."""
_SINCE_1900_S: Final = 2_208_988_800
_PACKET: Final = struct.Struct(">BBbb11I")
_CLIENT, _SERVER = 0b00_100_011, 4
_UNSYNCHRONISED = 3


class ClockCheck(NamedTuple):
    """Who was asked, and how far they are ahead of us. Without an offset the trouble says why there is none."""

    asked: str
    offset_s: float | None = None
    within_s: float | None = None
    trouble: str | None = None

    @property
    def is_far_off(self) -> bool:
        """Surely: what the answer may be wrong by is not held against us."""
        return self.offset_s is not None and abs(self.offset_s) - (self.within_s or 0.0) > FAR_OFF_S


async def ask_about_clock(servers: Sequence[str], patience_s: float = PATIENCE_S) -> list[ClockCheck]:
    """Each server, HOST or HOST:PORT, at the same time; without any, whoever keeps the clock here. Never fails."""
    if not servers:
        return [await _ask_keeper(patience_s)]
    return list(await asyncio.gather(*(_ask_server(server, patience_s) for server in servers)))


async def _ask_server(server: str, patience_s: float) -> ClockCheck:
    host, _, port = server.rpartition(":") if server.count(":") == 1 else (server.strip("[]"), "", "")
    try:
        async with asyncio.timeout(patience_s):
            offset_s, within_s = await _asked(host or server, int(port or PORT))
    except TimeoutError:
        return ClockCheck(server, trouble=f"no answer within {patience_s:g} s")
    except (OSError, ValueError) as error:
        return ClockCheck(server, trouble=str(error))
    return ClockCheck(server, offset_s, within_s)


async def _asked(host: str, port: int) -> tuple[float, float]:
    """Raises OSError, or ValueError for an answer that is none."""
    loop = asyncio.get_running_loop()
    family, kind, _, _, address = (await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM))[0]
    with socket.socket(family, kind) as door:
        door.setblocking(False)
        await loop.sock_connect(door, address)
        mark = secrets.token_bytes(8)  # in the place of our time: nobody who did not see the question can answer it
        sent_s = time.time()
        began_s = time.monotonic()
        await loop.sock_sendall(door, _PACKET.pack(_CLIENT, *[0] * 12, *struct.unpack(">2I", mark)))
        answer = await loop.sock_recv(door, 1024)
        return read_answer(answer, mark, sent_s, sent_s + time.monotonic() - began_s)


def read_answer(answer: bytes, mark: bytes, sent_s: float, heard_s: float) -> tuple[float, float]:
    """How far the server is ahead of us, and by how much that may be wrong, in seconds. Raises ValueError."""
    if len(answer) < _PACKET.size:
        raise ValueError("what came is no answer")
    head, stratum, *_ = fields = _PACKET.unpack(answer[: _PACKET.size])
    if head & 0b111 != _SERVER or answer[24:32] != mark:
        raise ValueError("what came answers another question")
    if stratum == 0 or stratum > 15 or head >> 6 == _UNSYNCHRONISED:
        raise ValueError("the server does not know the time itself")
    got_s, answered_s = (fields[at] - _SINCE_1900_S + fields[at + 1] / 2**32 for at in (11, 13))
    under_way_s = max(0.0, (heard_s - sent_s) - (answered_s - got_s))
    return ((got_s - sent_s) + (answered_s - heard_s)) / 2, under_way_s / 2


# ---------------------------------------------------------------------------------------------- who keeps the clock here

_KEEPERS: Final = (
    ("chronyc", "-c", "tracking"),
    ("timedatectl", "show", "--property=NTPSynchronized", "--value"),
)


async def _ask_keeper(patience_s: float) -> ClockCheck:
    for command in _KEEPERS:
        if shutil.which(command[0]) is not None and (found := _read(command[0], await _said_by(command, patience_s))):
            return found
    return ClockCheck(
        "this machine", trouble="neither chronyc nor timedatectl answers; name servers in EMTRACK_NTP_SERVERS"
    )


def _read(keeper: str, said: str) -> ClockCheck | None:
    """chrony says how far our clock is ahead of it; timedatectl only whether it follows."""
    if keeper == "chronyc":
        fields = said.split(",")
        try:
            return ClockCheck(f"chrony, which follows {fields[1] or fields[0]}", -float(fields[4]), float(fields[11]))
        except (IndexError, ValueError):
            return None
    if said == "yes":
        return ClockCheck("timedatectl, which says that the clock follows NTP", 0.0, FAR_OFF_S)
    return (
        ClockCheck("timedatectl", trouble="the clock does not follow NTP; start a time service")
        if said == "no"
        else None
    )


async def _said_by(command: Sequence[str], patience_s: float) -> str:
    try:
        async with asyncio.timeout(patience_s):
            process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
            said, _ = await process.communicate()
    except (OSError, TimeoutError):
        return ""
    return said.decode(errors="replace").strip()
