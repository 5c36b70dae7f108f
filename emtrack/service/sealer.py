"""Puts rows into the log, beside the turns: a task and a connection of its own, in bounded passes, about one a second.

    wait        what was committed and is not in the tree
    hash        the nodes above it, in a thread
    place       where it stands, the nodes to keep, a signed head      one transaction
    publish     the head as a file, and to the witness, after the commit

A pass that fails leaves nothing; the next one begins from what is stored. Nothing that comes in waits for any of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import asyncpg
import structlog

from emtrack.atomic_files import replace_file
from emtrack.clock import machine_ms
from emtrack.db.connect import connect
from emtrack.db.locks import SEALING_LOCK, try_lock
from emtrack.db.session import Limits
from emtrack.logs import origin_of
from emtrack.metrics import Metrics
from emtrack.sealing.heads import enter_key, signed_head
from emtrack.sealing.keys import read_or_make_key
from emtrack.sealing.notes import public_bytes, told_key
from emtrack.sealing.store import (
    Fence,
    Material,
    StoredHead,
    ended_before,
    fence,
    last_head,
    lowest_waiting,
    place,
    publish,
    stored_tree,
    waiting,
    waiting_leaves,
)
from emtrack.sealing.tree import Growing, hashes_in
from emtrack.service.back_off import BackOff
from emtrack.service.beside import wait_for_stop
from emtrack.service.witness import Witness
from emtrack.settings import Settings
from geofence import datetime_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from emtrack.db.session import Session

EVERY_S: Final = 1.0
LIMITS: Final = Limits(statement_s=60.0, lock_s=10.0, answer_s=65.0)
COUNT_EVERY_S: Final = 15.0
"""How much waits is read in all of it."""
READABLE: Final = 0o644
WHO: Final = "the service"

log = structlog.get_logger()


class OtherSealer(Exception):
    """Another program puts rows into this log."""


class Signer(NamedTuple):
    """With what heads are signed, and under which name."""

    key: Ed25519PrivateKey
    log: str


class Sealer:
    """One tree, of one database. `stopwatch`: seconds."""

    def __init__(
        self,
        dsn: str,
        settings: Settings,
        metrics: Metrics,
        witness: Witness,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dsn = dsn
        self._settings = settings
        self._metrics = metrics
        self._witness = witness
        self._stopwatch = stopwatch
        self._tree = Growing(0, [])
        self._settled = 0
        self._fence: Fence | None = None
        self._signer: Signer | None = None
        self._counted_s = float("-inf")
        self._all_sealed_s = stopwatch()
        self._back_off = BackOff()
        metrics.seal_lag.set_function(lambda: self._stopwatch() - self._all_sealed_s)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; what was committed by then is sealed. Outlives everything that a database or a disk can do."""
        while not stop.is_set():
            try:
                connection = await connect(self._dsn)
                try:
                    await self._seal_until(stop, connection)
                finally:
                    with suppress(asyncpg.InterfaceError, asyncpg.PostgresError, OSError):
                        await connection.close(timeout=5)
            except Exception as error:
                self._metrics.seal_failures.inc()
                log.error("sealing starts anew", error=type(error).__name__, where=origin_of(error).line)
                await wait_for_stop(stop, self._back_off.next_s())

    async def _seal_until(self, stop: asyncio.Event, connection: Session) -> None:
        await connection.set_limits(LIMITS)
        await self.load(connection)
        while not stop.is_set():
            if not await self.pass_once(connection):
                await wait_for_stop(stop, EVERY_S)
            self._back_off.went_well()
        while await self.pass_once(connection):
            pass

    async def load(self, connection: Session) -> None:
        """The tree as it is stored, and the key. Raises OtherSealer, UnfitKeyFile."""
        if not await try_lock(connection, SEALING_LOCK):
            raise OtherSealer
        await self._read_key(connection)
        head = await last_head(connection)
        self._tree = await stored_tree(connection, 0 if head is None else head.size)
        self._settled, self._fence = 0 if head is None else head.settled, None
        self._metrics.sealed.set(self._tree.size)
        if head is not None:  # the file may be a new one, or lost
            replace_file(self._settings.head_file, head.note.encode(), mode=READABLE)

    async def _read_key(self, connection: Session) -> Signer:
        """The key in the data directory, which may have been rotated since the last pass."""
        key = read_or_make_key(self._settings.data_dir)
        if self._signer is None or public_bytes(self._signer.key) != public_bytes(key):
            self._signer = Signer(key, await enter_key(connection, key, WHO, machine_ms()))
            self._show_key(self._signer)
        return self._signer

    def _show_key(self, signer: Signer) -> None:
        line = told_key(signer.log, public_bytes(signer.key))
        replace_file(self._settings.head_file.with_suffix(".pub"), f"{line}\n".encode(), mode=READABLE)

    async def pass_once(self, connection: Session) -> bool:
        """Take in what waits, within the bounds. Whether more may wait."""
        taken = await waiting(connection, self._settled)
        if taken:
            await self._take_in(connection, taken)
        else:
            self._all_sealed_s = self._stopwatch()
        await self._move_fence(connection)
        await self._count_waiting(connection, bool(taken))
        return bool(taken)

    async def _count_waiting(self, connection: Session, does_any: bool) -> None:
        if not does_any:
            self._metrics.unsealed.set(0)
            self._counted_s = float("-inf")
        elif self._stopwatch() - self._counted_s >= COUNT_EVERY_S:
            self._metrics.unsealed.set(await waiting_leaves(connection, self._settled))
            self._counted_s = self._stopwatch()

    async def _move_fence(self, connection: Session) -> None:
        """What is below a fence that everybody has passed, and below the first that waits, is settled: else each pass over a large
        import would begin with all that is in the tree already."""
        if self._fence is None:
            self._fence = await fence(connection)
        elif await ended_before(connection) >= self._fence.until:
            lowest = await lowest_waiting(connection, self._settled)
            below = self._fence.highest if lowest is None else min(self._fence.highest, lowest - 1)
            self._settled = max(self._settled, below)
            self._fence = None

    async def _take_in(self, connection: Session, taken: list[Material]) -> None:
        first, tree = self._tree.size, self._tree
        nodes = await asyncio.to_thread(tree.append, hashes_in(b"".join(m.hashes for m in taken)))
        signer, now_ms = await self._read_key(connection), machine_ms()
        note = signed_head(signer.log, tree.size, tree.root, signer.key, now_ms)
        async with connection.transaction():
            await place(connection, taken, first, nodes)
            head = StoredHead(tree.size, tree.root, self._settled, note)
            await publish(connection, head, datetime_of(now_ms))
        replace_file(self._settings.head_file, note.encode(), mode=READABLE)
        self._witness.tell(note)
        self._metrics.sealed.set(tree.size)
