"""A process of our own that answers one question after the other: how it is begun, asked and ended, and what it does until nothing
comes any more. Questions and answers are pickled, and their length goes first."""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

LENGTH = 8
"""Bytes that say how many follow."""


async def started(module: str) -> Process:
    """A process that runs a module, which calls `answer_questions`."""
    # A session of its own: Ctrl-C is for the program, which ends it.
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdin=PIPE, stdout=PIPE, start_new_session=True
    )


async def exchanged(process: Process, question: Any) -> Any:
    """The answer. Raises OSError, EOFError or pickle.UnpicklingError if the process ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(_framed(question))
    await process.stdin.drain()
    size = int.from_bytes(await process.stdout.readexactly(LENGTH), "big")
    return pickle.loads(await process.stdout.readexactly(size))


async def ended(process: Process) -> None:
    """At once, whatever it does."""
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def answer_questions(answer: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
    """In the process: until nothing comes any more."""
    come_in, go_out = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints, prints no answers
    while size := come_in.read(LENGTH):
        question = pickle.loads(come_in.read(int.from_bytes(size, "big")))
        go_out.write(_framed(asyncio.run(answer(question))))
        go_out.flush()


def _framed(what: Any) -> bytes:
    body = pickle.dumps(what)
    return len(body).to_bytes(LENGTH, "big") + body
