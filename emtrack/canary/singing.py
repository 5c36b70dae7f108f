"""A beat a minute: the strap is cut, the alert must arrive here, the strap is closed again.

Each beat goes the whole way: device door, commit, judgement, alert, clock, outbox, webhook. Whatever on it does not work, nothing
arrives, and people are told by mail and by a command of the deployment that need nothing of the service or the database.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any, Final, NamedTuple

import aiohttp
import structlog

from emtrack.canary.entering import NAME, Perch, enter_canary, entered_for
from emtrack.canary.listening import Heard, listening
from emtrack.client import DeviceDoor, ServiceClock
from emtrack.db.opened import opened_database
from emtrack.delivery.errors import NotDelivered
from emtrack.delivery.mail import MailServer, send_text
from emtrack.settings import Settings

REPEAT_S: Final = 600.0
"""People are told again while it goes on."""
WITHIN_S: Final = 10.0
IN_FORCE_S: Final = 1.0
"""So long until the service knows a new key."""
KEPT: Final = timedelta(days=31)

log = structlog.get_logger()

BEAT = "INSERT INTO canary_beats (sent_at, arrived_at, trouble) VALUES ($1, $2, $3)"
FORGET = "DELETE FROM canary_beats WHERE sent_at < $1"


class Alarm(NamedTuple):
    """Who is told when an alert does not arrive. `command`: gets one line on its standard input."""

    server: MailServer | None
    mail_to: str | None
    command: tuple[str, ...]

    async def tell(self, line: str) -> None:
        """By every way there is. What does not work is in the log."""
        log.error("canary", what=line) if not line.startswith("Alerts arrive") else log.info("canary", what=line)
        ways: list[Awaitable[None]] = []
        if self.server is not None and self.mail_to is not None:
            ways.append(self._mail(self.server, self.mail_to, line))
        if self.command:
            ways.append(self._run(line))
        for outcome in await asyncio.gather(*ways, return_exceptions=True):
            if isinstance(outcome, BaseException):
                log.error("nobody was told by one way", why=str(outcome)[:200] or type(outcome).__name__)

    async def _mail(self, server: MailServer, to: str, line: str) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = server.sender, to, f"emtrack: {line}"
        mail.set_content(f"{line}\n")
        await send_text(server, mail)

    async def _run(self, line: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *self.command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, env={"PATH": os.defpath}
        )
        try:
            async with asyncio.timeout(WITHIN_S):
                await process.communicate(f"{line}\n".encode())
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode != 0:
            raise NotDelivered(f"the command of the alarm ended with {process.returncode}")


class Beat(NamedTuple):
    """`trouble` None: the alert arrived."""

    sent_at: datetime
    took_s: float
    trouble: str | None


class Canary:
    """`every_s`: from beat to beat. `within_s`: by when the alert must have arrived."""

    def __init__(self, settings: Settings, alarm: Alarm, who: str, *, every_s: float, within_s: float) -> None:
        self._settings = settings
        self._alarm = alarm
        self._who = who
        self._every_s = every_s
        self._within_s = within_s
        self._perch: Perch | None = None
        self._boot = int(time.time())
        self._seq = 0
        self._silent_since: datetime | None = None
        self._told_s = float("-inf")
        self.beats = 0

    async def run(self, stop: asyncio.Event, on_beat: Callable[[Beat], None] = lambda _: None) -> None:
        """Until `stop` is set."""
        heard = Heard()
        async with listening(heard) as address:
            while not stop.is_set():
                began_s = time.monotonic()
                beat = await self.beat(heard, address)
                self.beats += 1
                on_beat(beat)
                await self._judge(beat)
                await self._note(beat)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), max(0.0, began_s + self._every_s - time.monotonic()))

    async def beat(self, heard: Heard, address: str) -> Beat:
        """One of them. Whatever goes wrong is its trouble."""
        sent_at, began_s, trouble = datetime.now(UTC), time.monotonic(), None
        try:
            async with asyncio.timeout(self._within_s * 2):
                trouble = await self._sing(heard, address)
        except TimeoutError:
            trouble = f"no alert arrived within {self._within_s:g} s"
        except Exception as error:  # whatever it is, it is the canary's to say
            trouble = f"{type(error).__name__}: {str(error)[:160]}"
            self._perch = None
        return Beat(sent_at, time.monotonic() - began_s, trouble)

    async def _sing(self, heard: Heard, address: str) -> str | None:
        clock = await ServiceClock.connect(self._settings.base_url)
        if self._perch is None or not entered_for(self._perch, clock.now_ms()):
            self._perch = await enter_canary(self._settings, address, self._who)
            heard.secret = self._perch.secret
            await asyncio.sleep(IN_FORCE_S)
        limit = aiohttp.ClientTimeout(total=WITHIN_S)
        async with aiohttp.ClientSession(timeout=limit) as session:
            door = DeviceDoor(session, self._settings.base_url, {NAME: self._perch.key})
            heard.forget()
            await self._report(door, clock, "STRAP_TAMPER")
            has_sung = await heard.wait(self._within_s)
            await self._report(door, clock, "STRAP_CLEAR")
        return None if has_sung else f"no alert arrived within {self._within_s:g} s"

    async def _report(self, door: DeviceDoor, clock: ServiceClock, event: str) -> None:
        self._seq += 1
        at = datetime.fromtimestamp(clock.now_ms() / 1_000, UTC).isoformat(timespec="milliseconds")
        report: dict[str, Any] = {"seq": self._seq, "type": "event", "event": event, "event_time": at}
        answer = await door.post(NAME, self._boot, [report], None)
        if answer.status != 200:
            raise NotDelivered(f"the device door answered {answer.status}")

    async def _judge(self, beat: Beat) -> None:
        """Tell people when it falls silent, while it is, and when it sings again."""
        if beat.trouble is None:
            if self._silent_since is not None:
                since = f"{self._silent_since:%H:%M:%S}"
                self._silent_since, self._told_s = None, float("-inf")
                await self._alarm.tell(f"Alerts arrive again. They did not since {since} UTC.")
            return
        self._silent_since = self._silent_since or beat.sent_at
        if time.monotonic() - self._told_s >= REPEAT_S:
            self._told_s = time.monotonic()
            await self._alarm.tell(f"ALERTS DO NOT ARRIVE since {self._silent_since:%H:%M:%S} UTC: {beat.trouble}.")

    async def _note(self, beat: Beat) -> None:
        """For the pages; if the database cannot be reached, people know already."""
        arrived_at = None if beat.trouble else beat.sent_at + timedelta(seconds=beat.took_s)
        try:
            async with asyncio.timeout(WITHIN_S), opened_database(self._settings, "canary") as (connection, _):
                await connection.execute(BEAT, beat.sent_at, arrived_at, beat.trouble)
                if self.beats % 60 == 1:
                    await connection.execute(FORGET, beat.sent_at - KEPT)
        except Exception as error:  # the next beat says so
            log.warning("a beat of the canary was not noted", error=type(error).__name__)
