"""Files of positions and events (CONTRACT.md): CSV, NDJSON or Parquet, by extension, `.gz` allowed."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from emtrack.forms.errors import FormError
from ingest import UnreadableText, read_json

POSITION_COLUMNS = ("device_id", "fix_time", "lat_deg", "lon_deg", "precision_m", "mechanism")
EVENT_COLUMNS = ("device_id", "event_time", "type")
_NUMBERS = frozenset({"lat_deg", "lon_deg", "precision_m", "speed_kmh", "direction_deg", "satellites", "hdop"})
NO_NAMES: Mapping[str, str] = {}


class FileRow(NamedTuple):
    """One row: where it stands (line, or row number in Parquet), and its fields; None where the row is unreadable."""

    line: int
    fields: Mapping[str, Any] | None
    trouble: str = ""


def read_rows(path: Path, columns: tuple[str, ...], renamed: Mapping[str, str] | None = None) -> Iterator[FileRow]:
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
    """Raises UnreadableText where two keys become one field."""
    if not names:
        return row
    found = {names.get(key, key): value for key, value in row.items()}
    if len(found) < len(row):
        raise UnreadableText(_twice([names.get(key, key) for key in row], "field"))
    return found


def _twice(names: Sequence[str], what: str) -> str:
    (name, _), *_ = Counter(names).most_common(1)
    return f"the {what} {name!r} stands twice; nobody can say which is meant, so keep one of them"


def _check_columns(path: Path, found: list[str], columns: tuple[str, ...], names: Mapping[str, str]) -> None:
    present = [names.get(name, name) for name in found if name]
    if len(set(present)) < len(present):
        raise FormError(f"{path}: line 1: {_twice(present, 'column')}")
    missing = [column for column in columns if column not in present]
    if missing:
        raise FormError(f"{path}: line 1: the column {missing[0]!r} is missing; expected {', '.join(columns)}")


def _csv_rows(path: Path, file: IO[bytes], columns: tuple[str, ...], names: Mapping[str, str]) -> Iterator[FileRow]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise FormError(f"{path}: line 1: {error}") from error
    _check_columns(path, header, columns, names)
    fields = [names.get(name, name) for name in header]
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield FileRow(line, None, str(error))
            continue
        if cells:
            yield _csv_row(line, reader.line_num, fields, cells)


def _csv_row(line: int, last_line: int, fields: list[str], cells: list[str]) -> FileRow:
    if len(cells) > len(fields):
        over = f", up to line {last_line}: is a quotation mark not closed?" if last_line > line else ""
        return FileRow(line, None, f"{len(cells)} cells where the header has {len(fields)}{over}")
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        return FileRow(line, None, "bytes that are not UTF-8")
    return FileRow(line, {name: _cell(name, text) for name, text in zip(fields, cells, strict=False)})


def _cell(name: str, text: str) -> Any:
    text = text.strip()
    if not text:
        return None
    if name in _NUMBERS and "_" not in text:
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _ndjson_rows(
    _path: Path, file: IO[bytes], _columns: tuple[str, ...], names: Mapping[str, str]
) -> Iterator[FileRow]:
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            row = read_json(text)
            yield (
                FileRow(line, _renamed(row, names))
                if isinstance(row, dict)
                else FileRow(line, None, "not a JSON object")
            )
        except UnreadableText as error:
            yield FileRow(line, None, str(error))


def _parquet_rows(
    path: Path, file: IO[bytes], columns: tuple[str, ...], names: Mapping[str, str]
) -> Iterator[FileRow]:
    table = open_parquet(path, io.BytesIO(file.read()) if path.suffix == ".gz" else file, columns, names)
    first = 1
    for batch in table.iter_batches():
        yield from rows_of_batch(batch, range(first, first + len(batch)), names)
        first += len(batch)


def open_parquet(path: Path, file: Any, columns: tuple[str, ...], names: Mapping[str, str] = NO_NAMES) -> Any:
    """A Parquet file with the needed columns. Raises FormError for one that is none, or lacks a column."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(file, pre_buffer=False)  # else all that was read stays in memory
    except pyarrow.ArrowException as error:
        raise FormError(f"{path}: this is not Parquet: {error}") from error
    _check_columns(path, table.schema_arrow.names, columns, names)
    return table


def rows_of_batch(batch: Any, numbers: Iterable[int], names: Mapping[str, str] = NO_NAMES) -> Iterator[FileRow]:
    """The rows of a record batch, whose numbers in the file are given."""
    import pyarrow

    fields = [_in_microseconds(field) for field in batch.schema]
    rows = pyarrow.Table.from_batches([batch]).cast(pyarrow.schema(fields), safe=False)
    for number, row in zip(numbers, _python_rows(rows), strict=True):
        if isinstance(row, str):
            yield FileRow(number, None, row)
        else:
            yield FileRow(number, {names.get(key, key): _parquet_value(value) for key, value in row.items()})


def _python_rows(rows: Any) -> list[dict[str, Any] | str]:
    """Rows of a table; where one holds what Python cannot (a time beyond the year 9999), what is wrong with it."""
    try:
        return list(rows.to_pylist())
    except (OverflowError, ValueError) as error:
        if len(rows) == 1:
            return [str(error)]
        return [row for index in range(len(rows)) for row in _python_rows(rows.slice(index, 1))]


def _in_microseconds(field: Any) -> Any:
    """Python has no nanoseconds: what is finer is cut off."""
    import pyarrow

    is_finer = str(field.type).startswith("timestamp[ns")
    return field.with_type(pyarrow.timestamp("us", field.type.tz)) if is_finer else field


def _parquet_value(value: Any) -> Any:
    """Timestamps become text; one without a zone stays without, and is refused as such."""
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, datetime | date) else value
