"""How commands speak to the person: messages, refusals, tables, and who the person is."""

from __future__ import annotations

import io
import os
import pwd
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from emtrack.atomic_files import replace_file
from emtrack.cli.running import run
from emtrack.clock import machine_ms
from emtrack.forms.names import harmless
from emtrack.people.expiry import read_expiry, told_expiry
from emtrack.settings import sudo_uid
from geofence import NotAnInstant, parse_instant

if TYPE_CHECKING:
    from emtrack.people.events import CredentialEvent, Subject
    from emtrack.settings import Settings

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


def write_whole() -> None:
    """From now on all that is said on standard output is written. With PYTHONUNBUFFERED, as in many containers, nothing lies between
    us and the pipe, which may take the first 64 KiB of a result; Python says how much that was, to nobody, and the program would end
    well."""
    if sys.stdout is not None and isinstance(sys.stdout.buffer, io.RawIOBase):
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(sys.stdout.buffer), sys.stdout.encoding, sys.stdout.errors, line_buffering=True
        )


def write_result(result: bytes) -> None:
    """JSON on standard output. A terminal is shown no character that would change what it shows: JSON may write those by number."""
    sys.stdout.buffer.write(harmless(result.decode()).encode() if sys.stdout.isatty() else result)
    sys.stdout.buffer.flush()


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


KeepOption = Annotated[str, typer.Option("--keep-for", help="how long the one before stays good: 7d, 12h, 30m, 0s")]


def good_until(text: str) -> datetime | None:
    """Until when a credential is good; None: it does not expire. Raises UnfitExpiry."""
    return read_expiry(text, machine_ms())


def keep_until(text: str) -> datetime:
    """Until when one that is replaced stays good."""
    until = good_until(text)
    if until is None:
        refuse("--keep-for: what is replaced ends; write a length such as 7d")
    return until


def print_history(chosen: Settings, subject: Subject, name: str | None) -> None:
    """What was done to credentials, and by whom: the newest first."""
    columns = ("when", "whose", "what", "detail", "by", "from")
    lines = run(_history(chosen, subject, name))
    print_table(columns, [(told_expiry(e.happened_at), e.name, e.what, e.detail, e.done_by, e.source) for e in lines])


async def _history(chosen: Settings, subject: Subject, name: str | None) -> list[CredentialEvent]:
    from emtrack.db.opened import opened_database
    from emtrack.people.events import history_of

    async with opened_database(chosen, "history") as (connection, _):
        return await history_of(connection, subject, name)


def refuse_unfit(name: str, what: str, check: Callable[[str], str | None]) -> None:
    """Ends the command where `check` (`emtrack.forms.names`) finds something wrong with a name."""
    if (trouble := check(name)) is not None:
        refuse(f"{what} {name[:LONGEST_SHOWN]!r} cannot be taken: {trouble}")


def who() -> str:
    """Who calls, for the record: the account of the operating system. What the environment says is anybody's to choose; only root
    is believed for whom it works (`sudo`)."""
    return f"{_who(os.getuid(), sudo_uid())} (command line)"


def _who(user_id: int, for_id: str) -> str:
    name = _account(user_id)
    if user_id != 0 or re.fullmatch("[1-9][0-9]{0,9}", for_id) is None:
        return name
    return f"{name} for {_account(int(for_id))}"


def _account(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except (KeyError, OverflowError):
        return f"user {user_id}"
