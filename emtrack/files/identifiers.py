"""A file that says what many devices speak: CSV with device_id, protocol, identifier."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from emtrack.record.device_identifiers import UnfitIdentifier, refuse_unfit_identifier

COLUMNS = ("device_id", "protocol", "identifier")


class IdentifierRow(NamedTuple):
    """A line of the file. `line`: its number, from 1."""

    line: int
    device_id: str
    protocol: str
    identifier: str


def read_identifiers(file: Path) -> list[IdentifierRow]:
    """Raises UnfitIdentifier, with the line, for what cannot be entered, and for a name that stands twice."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise UnfitIdentifier(
                    f"{file}: there is no column {', '.join(missing)}; expected {', '.join(COLUMNS)}"
                )
            rows = [
                IdentifierRow(reader.line_num, *((row[name] or "").strip() for name in COLUMNS)) for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnfitIdentifier(f"{file} cannot be read: {error}") from error
    _refuse_unfit(file, rows)
    return rows


def _refuse_unfit(file: Path, rows: list[IdentifierRow]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        try:
            refuse_unfit_identifier(row.protocol, row.identifier)
        except UnfitIdentifier as error:
            raise UnfitIdentifier(f"{file}: line {row.line}: {error}") from error
        first = seen.setdefault((row.protocol, row.identifier), row.line)
        if first != row.line:
            raise UnfitIdentifier(f"{file}: line {row.line}: {row.identifier!r} stands in line {first} already")
