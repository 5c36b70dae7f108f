"""Files of the programme's record: CSV (a line a row, one header), JSON (an array) or NDJSON, by extension."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import msgspec

from emtrack.atomic_files import replacing_file
from emtrack.db.opened import opened_database
from emtrack.errors import MendableError
from emtrack.forms.names import unfit_text
from emtrack.iom import programme_settings
from emtrack.iom.entries import Author
from emtrack.iom.exporting import exported_rows
from emtrack.iom.importing import Report, Source, import_rows, nobody_looks
from emtrack.iom.standing import merge, unmerge
from emtrack.people.looks import Looker, What, record_look
from emtrack.record.deployment_settings import load_settings
from emtrack.settings import Settings

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

FIRST_COLUMNS: Final = (
    "noun", "person", "pnc", "cro", "crn", "noms", "ecins", "system", "record", "state", "from", "to", "occurred", "due",
    "visibility", "named", "code", "level", "category",
)  # fmt: skip
LONGEST_REASON: Final = 2_000
WEARER = "SELECT wearer_no FROM wearers WHERE wearer_id = $1"


class UnfitFile(MendableError, ValueError):
    """A file that is no table of rows. The message says where it is not."""

    exit_code = 2


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file; what stands in them is for `importing` to judge. Raises UnfitFile or OSError."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnfitFile(f"{path}: it is not UTF-8 at byte {error.start:,}") from error
    if path.suffix == ".csv":
        return _from_csv(path, text)
    if path.suffix == ".ndjson":
        return [
            _object(path, line, f"line {number}") for number, line in enumerate(text.splitlines(), 1) if line.strip()
        ]
    if path.suffix == ".json":
        return _from_json(path, text)
    raise UnfitFile(f"{path}: expected a file that ends in .csv, .json or .ndjson")


def _from_csv(path: Path, text: str) -> list[dict[str, Any]]:
    table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = list(table)
    except csv.Error as error:
        raise UnfitFile(f"{path}: line {table.line_num}: {error}") from error
    if "noun" not in (table.fieldnames or ()):
        raise UnfitFile(f"{path}: line 1: expected a column `noun`")
    return rows


def _from_json(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise UnfitFile(f"{path}: {error}") from error
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise UnfitFile(f"{path}: expected an array of objects, one a row")
    return found


def _object(path: Path, line: str, where: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise UnfitFile(f"{path}: {where}: {error}") from error
    if not isinstance(found, dict):
        raise UnfitFile(f"{path}: {where}: expected an object")
    return found


async def import_file(
    settings: Settings, path: Path, system: str, who: str, *, keeps: bool, tell: Callable[[int], None] = nobody_looks
) -> Report:
    """Enter the rows of a file. `keeps` False: nothing is changed. Raises UnfitFile or OSError."""
    rows = read_rows(path)
    async with opened_database(settings, "iom import") as (connection, clock):
        zone, _ = await load_settings(connection, clock.now_ms())
        source = Source(path.name, system, ZoneInfo(zone))
        return await import_rows(connection, Author(who), rows, source, clock.now_ms(), keeps=keeps, tell=tell)


async def export_file(settings: Settings, path: Path, looker: Looker, reference: str | None) -> int:
    """Write the record, or one person's, as rows; how many. Only its owner can read the file. That it was looked at is on record
    first. Raises UnfitFile."""
    if path.suffix not in (".csv", ".json", ".ndjson"):
        raise UnfitFile(f"{path}: expected a name that ends in .csv, .json or .ndjson")
    async with opened_database(settings, "iom export") as (connection, clock):
        wearer_no = None if reference is None else await _number_of(connection, reference)
        await record_look(connection, looker, What.EXPORT, wearer_no, now_ms=clock.now_ms())
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            rows = await _all(connection, reference)
    with replacing_file(path) as file:
        file.write(written(rows, path.suffix))
    return len(rows)


async def _all(connection: Connection, reference: str | None) -> list[dict[str, Any]]:
    return [row async for row in exported_rows(connection, reference)]


def written(rows: Sequence[dict[str, Any]], suffix: str) -> bytes:
    """In the form that `read_rows` reads."""
    if suffix == ".ndjson":
        return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    if suffix == ".json":
        return msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n"
    used = {name for row in rows for name in row}
    columns = [name for name in FIRST_COLUMNS if name in used] + sorted(used - set(FIRST_COLUMNS))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: _cell(value) for name, value in row.items()})
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    return msgspec.json.encode(value).decode() if isinstance(value, list | dict | bool) else value


async def merge_records(settings: Settings, reference: str, into: str, reason: str, who: str) -> None:
    """Raises UnfitFile or UnfitPerson."""
    async with opened_database(settings, "iom merge") as (connection, clock), connection.transaction():
        number, main_no = [await _number_of(connection, one) for one in (reference, into)]
        await merge(connection, Author(who), number, main_no, _reason(reason), clock.now_ms())


async def unmerge_record(settings: Settings, reference: str, reason: str, who: str) -> None:
    """Raises UnfitFile or UnfitPerson."""
    async with opened_database(settings, "iom unmerge") as (connection, clock), connection.transaction():
        number = await _number_of(connection, reference)
        await unmerge(connection, Author(who), number, _reason(reason), clock.now_ms())


async def _number_of(connection: Connection, reference: str) -> int:
    number: int | None = await connection.fetchval(WEARER, reference)
    if number is None:
        raise UnfitFile(f"there is nobody {reference!r} on record")
    return number


def _reason(given: str) -> str:
    text = given.strip()
    if not text or len(text) > LONGEST_REASON or unfit_text(text) is not None:
        raise UnfitFile(f"say why with --reason, in at most {LONGEST_REASON} characters")
    return text


async def shown_programme_settings(settings: Settings) -> str:
    """As JSON: what is in force."""
    async with opened_database(settings, "iom settings") as (connection, _):
        force = await programme_settings.load_settings(connection)
    return msgspec.json.format(msgspec.json.encode(force.settings), indent=1).decode()


async def enter_programme_settings(settings: Settings, path: Path, who: str) -> int:
    """The number of the version. Raises UnfitFile, UnfitSettings or OSError."""
    try:
        given = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        raise UnfitFile(f"{path}: {error}") from error
    async with opened_database(settings, "iom settings") as (connection, clock):
        return await programme_settings.enter_settings(connection, given, who, clock.now_ms())
