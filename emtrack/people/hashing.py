"""Hashes of passwords. One costs 64 MiB and a tenth of a second of a core, and anybody can ask for it: two at a time, in threads of
their own that everything else goes before, and only so many wait. Nobody holds a connection meanwhile."""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

Done = TypeVar("Done")

AT_ONCE = 2
MOST_WAITING = 20
"""Two seconds of them."""
NICER = 10

_hasher = PasswordHasher(parallelism=1)


class TooManyHashes(Exception):
    """So many wait that nobody more can."""

    retry_after_s = 5


class _Queue:
    """`open`: of those that are hashed and those that wait."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(AT_ONCE, "password", initializer=_give_way)
        self.open = 0

    async def done(self, work: Callable[[], Done]) -> Done:
        """Raises TooManyHashes."""
        if self.open >= AT_ONCE + MOST_WAITING:
            raise TooManyHashes
        self.open += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self.open -= 1


def _give_way() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICER)


_queue = _Queue()
"""Of the process: what a hash costs, it costs the machine."""


async def hashed(password: str) -> str:
    """How a password is kept: argon2id, with its parameters. Raises TooManyHashes."""
    return await _queue.done(lambda: _hasher.hash(password))


async def is_password(digest: str | None, password: str) -> bool:
    """Whether it is the one that was hashed. None, or what is no hash: of an account that does not exist or has no password; it is
    never, and takes as long. Raises TooManyHashes."""
    known = digest if digest is not None and digest.startswith("$argon2") else None
    return await _queue.done(lambda: _verified(known or _nobody(_hasher), password)) and known is not None


@functools.cache
def _nobody(hasher: PasswordHasher) -> str:
    """A name that does not exist costs as much time as one that does."""
    return hasher.hash(secrets.token_urlsafe())


def _verified(digest: str, password: str) -> bool:
    try:
        return _hasher.verify(digest, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False
