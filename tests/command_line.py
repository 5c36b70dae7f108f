"""The commands as a person runs them: in a process of their own, or in this one, which saves the second that importing takes."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO
from unittest.mock import patch

import structlog

from emtrack.cli import main

Ran = subprocess.CompletedProcess[str]


def _environment(settings: dict[str, str]) -> dict[str, str]:
    """Ours, with no settings but these."""
    return {name: value for name, value in os.environ.items() if not name.startswith("EMTRACK_")} | settings


def emtrack_process(*arguments: str | Path, **settings: str) -> Ran:
    return subprocess.run(
        [sys.executable, "-m", "emtrack", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False, env=_environment(settings),
    )  # fmt: skip


class OfOneThread:
    """Standard error of the thread that made it; what others write meanwhile (the service of a test, which logs) goes where it
    went."""

    def __init__(self, ours: TextIO, others: TextIO) -> None:
        self._ours, self._others, self._thread = ours, others, threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ours if threading.get_ident() == self._thread else self._others, name)


def emtrack(*arguments: str | Path, **settings: str) -> Ran:
    """The same from `main` on. What a command does not expect is raised here, and not a traceback on standard error."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    argv = ["emtrack", *map(str, arguments)]
    with (
        patch.object(sys, "argv", argv),
        patch.dict(os.environ, _environment(settings), clear=True),
        redirect_stdout(out),
        redirect_stderr(OfOneThread(err, sys.stderr)),  # type: ignore[type-var]
    ):
        code = _exit_code()
    return subprocess.CompletedProcess(argv, code, _written(out), _written(err))


def _exit_code() -> int:
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        structlog.reset_defaults()  # a command's logs go to its standard error
    return 0


def _written(stream: io.TextIOWrapper) -> str:
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


async def emtrack_aside(*arguments: str | Path, **settings: str) -> Ran:
    """The same while a test has a loop: a command runs one of its own, in another thread."""
    return await asyncio.to_thread(emtrack, *arguments, **settings)
