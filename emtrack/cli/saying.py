"""How commands speak to the person: messages, refusals, tables, and who the person is."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import typer

from emtrack.atomic_files import replace_file
from emtrack.forms.names import harmless
from geofence import NotAnInstant, parse_instant

LONGEST_SHOWN = 60
WIDE = 10_000
"""Columns of a table that no terminal shows: nothing is cut or wrapped."""


def say(text: str) -> None:
    """To the person: standard error, so that standard output carries nothing but results."""
    typer.echo(harmless(text), err=True)


def refuse(text: str, code: int = 2) -> NoReturn:
    say(f"emtrack: {text}")
    raise typer.Exit(code)


def give(result: bytes, out: Path | None) -> None:
    """A result: into a file, which appears whole or not at all, or on standard output."""
    if out is None:
        write_result(result)
    else:
        replace_file(out, result)


def write_result(result: bytes) -> None:
    """JSON on standard output. A terminal is shown no character that would change what it shows: JSON may write those by number."""
    sys.stdout.buffer.write(harmless(result.decode()).encode() if sys.stdout.isatty() else result)


def show(text: str) -> None:
    """A line of a result that is for people, on standard output."""
    typer.echo(harmless(text))


def say_counts(counts: Iterable[tuple[str, int]], width: int = 6) -> None:
    """One line each: how many, of what."""
    for what, count in counts:
        say(f"{count:>{width},}  {what}")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output. Numbers stand to the right."""
    from rich.console import Console
    from rich.table import Table

    lines = [list(row) for row in rows]
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        is_number = bool(lines) and all(isinstance(line[index], int) for line in lines)
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for line in lines:
        table.add_row(*(harmless(str(cell)) for cell in line))
    console = Console(markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else WIDE)
    console.print(table)


def read_instant(text: str | None, option: str) -> int | None:
    """Milliseconds of an instant that an option gives, if it does."""
    if text is None:
        return None
    try:
        return parse_instant(text)
    except NotAnInstant as error:
        refuse(f"{option}: {error}")


def refuse_unfit(name: str, what: str, check: Callable[[str], str | None]) -> None:
    """Ends the command where `check` (`emtrack.forms.names`) finds something wrong with a name."""
    if (trouble := check(name)) is not None:
        refuse(f"{what} {name[:LONGEST_SHOWN]!r} cannot be taken: {trouble}")


def who() -> str:
    """Who calls, for the record."""
    with suppress(OSError, KeyError):
        return f"{getpass.getuser()} (command line)"
    return f"user {os.getuid()} (command line)"
