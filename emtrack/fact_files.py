"""Files of positions and events (CONTRACT.md): CSV, NDJSON or Parquet, by extension, `.gz` allowed."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from emtrack.forms import FormError

POSITION_COLUMNS = ("device_id", "fix_time", "lat_deg", "lon_deg", "precision_m", "mechanism")
EVENT_COLUMNS = ("device_id", "event_time", "type")
_NUMBERS = frozenset({"lat_deg", "lon_deg", "precision_m", "speed_kmh", "direction_deg", "satellites", "hdop"})


class Row(NamedTuple):
    """One row: where it stands (line, or row number in Parquet), and its fields; None where the row is unreadable."""

    line: int
    fields: Mapping[str, Any] | None
    trouble: str = ""


def read_rows(path: Path, columns: tuple[str, ...], renamed: Mapping[str, str] | None = None) -> Iterator[Row]:
    """Rows of a file whose needed columns are `columns`. `renamed`: column in the file -> field.

    Raises FormError for a file that cannot be read at all, or that lacks a column.
    """
    name = path.name.removesuffix(".gz")
    suffix = Path(name).suffix.lower()
    readers = {".csv": _csv_rows, ".ndjson": _ndjson_rows, ".jsonl": _ndjson_rows, ".parquet": _parquet_rows}
    if suffix not in readers:
        raise FormError(
            f"{path}: the extension {suffix!r} is not known; expected .csv, .ndjson or .parquet, or one with .gz"
        )
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            yield from readers[suffix](path, cast(IO[bytes], file), columns, renamed or {})
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise FormError(f"{path}: cannot be read: {error}") from error


def _renamed(row: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    return {names.get(key, key): value for key, value in row.items()} if names else row


def _check_columns(path: Path, found: list[str], columns: tuple[str, ...], names: Mapping[str, str]) -> None:
    present = {names.get(name, name) for name in found}
    missing = [column for column in columns if column not in present]
    if missing:
        raise FormError(f"{path}: line 1: the column {missing[0]!r} is missing; expected {', '.join(columns)}")


def _csv_rows(path: Path, file: IO[bytes], columns: tuple[str, ...], names: Mapping[str, str]) -> Iterator[Row]:
    reader = csv.reader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
    header = [name.strip() for name in next(reader, [])]
    _check_columns(path, header, columns, names)
    fields = [names.get(name, name) for name in header]
    try:
        for cells in reader:
            if len(cells) > len(fields):
                yield Row(reader.line_num, None, f"{len(cells)} cells where the header has {len(fields)}")
            elif cells:
                yield Row(
                    reader.line_num, {name: _cell(name, text) for name, text in zip(fields, cells, strict=False)}
                )
    except csv.Error as error:
        raise FormError(f"{path}: line {reader.line_num}: {error}") from error


def _cell(name: str, text: str) -> Any:
    text = text.strip()
    if not text:
        return None
    if name in _NUMBERS:
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _ndjson_rows(_path: Path, file: IO[bytes], _columns: tuple[str, ...], names: Mapping[str, str]) -> Iterator[Row]:
    decoder = msgspec.json.Decoder()
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            row = decoder.decode(text)
        except msgspec.DecodeError as error:
            yield Row(line, None, str(error))
            continue
        yield Row(line, _renamed(row, names)) if isinstance(row, dict) else Row(line, None, "not a JSON object")


def _parquet_rows(path: Path, file: IO[bytes], columns: tuple[str, ...], names: Mapping[str, str]) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(io.BytesIO(file.read()) if path.suffix == ".gz" else file)
    except pyarrow.ArrowException as error:
        raise FormError(f"{path}: this is not Parquet: {error}") from error
    _check_columns(path, table.schema_arrow.names, columns, names)
    number = 0
    fields = [_in_microseconds(field) for field in table.schema_arrow]
    for batch in table.iter_batches():
        for row in pyarrow.Table.from_batches([batch]).cast(pyarrow.schema(fields), safe=False).to_pylist():
            number += 1
            yield Row(number, {names.get(key, key): _parquet_value(value) for key, value in row.items()})


def _in_microseconds(field: Any) -> Any:
    """Python has no nanoseconds: what is finer is cut off."""
    import pyarrow

    is_finer = str(field.type).startswith("timestamp[ns")
    return field.with_type(pyarrow.timestamp("us", field.type.tz)) if is_finer else field


def _parquet_value(value: Any) -> Any:
    """Timestamps become text; one without a zone stays without, and is refused as such."""
    return value.isoformat() if isinstance(value, datetime | date) else value
