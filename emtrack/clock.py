"""The one clock. Everything in the program that needs the time is given this object; nothing else reads a clock.

Without EMTRACK_CLOCK it is the time of the machine. With it, the clock starts somewhere else and may run faster. Where it
stood is kept in the database, so that it goes on after a restart; real and emulated time never mix in one record.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from emtrack.errors import MendableError
from emtrack.settings import ClockSetting
from geofence import datetime_of, format_instant, instant_of

if TYPE_CHECKING:
    import asyncpg


class ClockError(MendableError):
    """The clock that was asked for cannot be used with this database."""


def machine_ms() -> int:
    """The time of the machine in milliseconds of UTC."""
    return time.time_ns() // 1_000_000


class Clock(msgspec.Struct, frozen=True):
    """Emulated: at `anchor_ms` of the machine it stood at `start_ms`, and it runs `rate` times as fast."""

    start_ms: int = 0
    anchor_ms: int = 0
    rate: float = 1.0
    emulated: bool = False

    def now_ms(self) -> int:
        """Milliseconds of UTC. May step back if the machine's clock does; the pipeline does not."""
        real_ms = machine_ms()
        return self.start_ms + round((real_ms - self.anchor_ms) * self.rate) if self.emulated else real_ms


DEPLOYMENT = "SELECT clock_start, clock_rate, clock_anchor FROM deployment"
FIRST_DEPLOYMENT = """
INSERT INTO deployment (clock_start, clock_rate, clock_anchor) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""


async def clock_of(connection: asyncpg.Connection[Any], wanted: ClockSetting | None, *, adopt: bool) -> Clock:
    """The clock of this database, made on first use.

    `adopt`: commands without a wish of their own take the clock that is there. Raises ClockError where the wish
    and the database differ: records of two clocks must not mix.
    """
    start = None if wanted is None else datetime_of(wanted.start_ms)
    rate = 1.0 if wanted is None else wanted.rate
    row = await connection.fetchrow(DEPLOYMENT)  # first: not every program may write
    if row is None:
        try:
            await connection.execute(FIRST_DEPLOYMENT, start, rate, datetime_of(machine_ms()))
        except asyncpg.InsufficientPrivilegeError:
            raise ClockError(
                "The clock of this database is not set yet, and this login may not set it: begin a worker or pages first."
            ) from None
        row = await connection.fetchrow(DEPLOYMENT)
    assert row is not None, "the row was made just now"
    there = None if row["clock_start"] is None else ClockSetting(instant_of(row["clock_start"]), row["clock_rate"])
    if there != wanted and not (adopt and wanted is None):
        raise ClockError(
            f"This database runs on {_named(there)}, and {_named(wanted)} was asked for. "
            f"Set EMTRACK_CLOCK to what it runs on ({_setting(there)}), or use another database."
        )
    if there is None:
        return Clock()
    return Clock(there.start_ms, instant_of(row["clock_anchor"]), there.rate, emulated=True)


def _named(clock: ClockSetting | None) -> str:
    return "real time" if clock is None else f"an emulated clock from {_setting(clock)}"


def _setting(clock: ClockSetting | None) -> str:
    return "leave it unset" if clock is None else f"{format_instant(clock.start_ms)}×{clock.rate:g}"
