"""Brings a database to the form that this program expects: numbered SQL files, forward only.

A file is applied in one transaction together with the row that says so. All of it happens under one advisory
lock, so that of two programs that start at once the second finds the work done.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import asyncpg

from emtrack.db.connect import Connection
from emtrack.db.embedded import DatabaseError

MIGRATIONS: Final = Path(__file__).with_name("migrations")
# Any number that nothing else in the database uses: "emtrack" as bytes.
ADVISORY_LOCK: Final = int.from_bytes(b"emtrack", "big")

CREATE_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number int PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


TAKE_LOCK: Final = "SELECT pg_advisory_lock($1)"
GIVE_BACK_LOCK: Final = "SELECT pg_advisory_unlock($1)"
HAS_TABLE: Final = "SELECT to_regclass('schema_migrations')"
APPLIED: Final = "SELECT number, name, checksum, applied_at FROM schema_migrations ORDER BY number"
APPLIED_JUST_NOW: Final = "INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)"


class MigrationError(DatabaseError):
    """The files and the database do not fit, or a file failed; the text names the file and what to do."""


@dataclass(frozen=True)
class Migration:
    """One file. `checksum` is the SHA-256 of its text with Unix line ends, in hex."""

    number: int
    name: str
    path: Path
    sql: str
    checksum: str


class MigrationState(StrEnum):
    APPLIED = "applied"
    PENDING = "pending"
    CHANGED = "changed"  # the file is not the one that was applied
    UNKNOWN = "unknown"  # applied, but this program has no such file: the database is newer


@dataclass(frozen=True)
class MigrationStatus:
    """One number as the files and the database know it. `applied_at` is None where it is pending."""

    number: int
    name: str
    state: MigrationState
    applied_at: datetime | None


def read_migrations(directory: Path = MIGRATIONS) -> list[Migration]:
    """The files of the directory in order. Raises MigrationError for gaps and for names that do not fit."""
    if not directory.is_dir():
        raise MigrationError(f"There is no directory {directory}. Install emtrack again; its files are not complete.")
    found = [_read(path) for path in sorted(directory.glob("*.sql"))]
    for expected, migration in enumerate(found, start=1):
        if migration.number != expected:
            raise MigrationError(
                f"{migration.path.name} comes where number {expected:04} is expected. Numbers run from "
                "0001 without gaps, each once: renumber the file if it is new, or restore the one that is "
                "missing."
            )
    return found


def _read(path: Path) -> Migration:
    named = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", path.name)
    if named is None:
        raise MigrationError(f"{path} is not named like 0001_first_tables.sql. Rename it, or move it elsewhere.")
    sql = path.read_text(encoding="utf-8")  # universal newlines: a checkout on another system is the same file
    return Migration(int(named[1]), named[2], path, sql, hashlib.sha256(sql.encode()).hexdigest())


async def status(connection: Connection, directory: Path = MIGRATIONS) -> list[MigrationStatus]:
    """Every number that the files or the database know, in order. Changes nothing."""
    return _compare(read_migrations(directory), await _applied_rows(connection))


async def migrate(connection: Connection, directory: Path = MIGRATIONS) -> list[Migration]:
    """Applies what is pending and returns it. Waits for another program that does the same.

    Raises MigrationError. Files applied before the one that failed stay applied; that one leaves nothing.
    The connection must not be in a transaction.
    """
    if connection.is_in_transaction():
        raise MigrationError("Migrations make their own transactions; give them a connection that is in none.")
    files = read_migrations(directory)
    async with _advisory_lock(connection):
        await connection.execute(CREATE_TABLE)
        states = _compare(files, await _applied_rows(connection))
        _refuse_misfits(states, files)
        applied = sum(state.state is MigrationState.APPLIED for state in states)
        for migration in files[applied:]:
            await _apply(connection, migration)
    return files[applied:]


async def refuse_unmigrated(connection: Connection, directory: Path = MIGRATIONS) -> None:
    """For a program that may not migrate. Raises MigrationError unless the database is as this program expects it."""
    files = read_migrations(directory)
    states = _compare(files, await _applied_rows(connection))
    _refuse_misfits(states, files)
    pending = [state for state in states if state.state is MigrationState.PENDING]
    if pending:
        raise MigrationError(
            f"The database is older than this program ({pending[0].number:04}_{pending[0].name}.sql is not in it), and this login "
            "may not change it. Begin a program of this version that owns it first, such as `emtrack pages`."
        )


@asynccontextmanager
async def _advisory_lock(connection: Connection) -> AsyncIterator[None]:
    """Held by the session: a lost connection frees it."""
    await connection.execute(TAKE_LOCK, ADVISORY_LOCK)
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute(GIVE_BACK_LOCK, ADVISORY_LOCK)


async def _applied_rows(connection: Connection) -> Sequence[asyncpg.Record]:
    if await connection.fetchval(HAS_TABLE) is None:
        return []
    return await connection.fetch(APPLIED)


def _compare(files: Sequence[Migration], rows: Sequence[asyncpg.Record]) -> list[MigrationStatus]:
    by_number = {migration.number: migration for migration in files}
    states = [_state_of_row(row, by_number.pop(row["number"], None)) for row in rows]
    pending = [MigrationStatus(left.number, left.name, MigrationState.PENDING, None) for left in by_number.values()]
    return sorted(states + pending, key=lambda status: status.number)


def _state_of_row(row: asyncpg.Record, file: Migration | None) -> MigrationStatus:
    if file is None:
        state = MigrationState.UNKNOWN
    elif file.checksum != row["checksum"]:
        state = MigrationState.CHANGED
    else:
        state = MigrationState.APPLIED
    return MigrationStatus(row["number"], row["name"], state, row["applied_at"])


def _refuse_misfits(states: Sequence[MigrationStatus], files: Sequence[Migration]) -> None:
    """Raises MigrationError unless the applied numbers are a beginning of the files, each unchanged."""
    pending: MigrationStatus | None = None
    for state in states:
        label = f"{state.number:04}_{state.name}.sql"
        if state.state is MigrationState.UNKNOWN:
            raise MigrationError(
                f"The database is newer than this program: {label} was applied to it, and this program's "
                f"last file is number {len(files):04}. Run the newer emtrack, or restore a backup from "
                "before its upgrade."
            )
        if state.state is MigrationState.CHANGED:
            raise MigrationError(
                f"{label} was changed after it was applied to this database. Restore the file as it was, "
                "and make the change in a new file."
            )
        if state.state is MigrationState.PENDING:
            pending = pending or state
        elif pending is not None:
            raise MigrationError(
                f"{pending.number:04}_{pending.name}.sql is not in this database, but {label} is. Somebody "
                "changed the table schema_migrations by hand: restore its rows, or restore a backup."
            )


async def _apply(connection: Connection, migration: Migration) -> None:
    name = migration.path.name
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            if not connection.is_in_transaction():
                raise MigrationError(
                    f"{name} ended its own transaction. Take COMMIT or ROLLBACK out of it, and restore a "
                    "backup: a part of it may be in the database."
                )
            await connection.execute(APPLIED_JUST_NOW, migration.number, migration.name, migration.checksum)
    except asyncpg.PostgresError as error:
        raise MigrationError(
            f"{name}{_line_of(error, migration.sql)} failed: {error}. Nothing of this file was applied. "
            f"Put it right, then start again."
        ) from error


def _line_of(error: asyncpg.PostgresError, sql: str) -> str:
    """`, line N` where the server says at which character it stopped."""
    position = str(error.as_dict().get("position") or "")
    return f", line {sql[: int(position)].count(chr(10)) + 1}," if position.isdigit() else ""
