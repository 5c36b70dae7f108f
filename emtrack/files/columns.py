"""Positions out of Parquet in columns: a month of many wearers is read without an object for each row.

Rows that are surely good are told by their columns. Every other row is read by itself, as `emtrack evaluate` reads it: so what is
refused, and why, is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from emtrack.files.evaluate import activations_of, fact_of_row
from emtrack.files.facts import POSITION_COLUMNS, FileRow, open_parquet, rows_of_batch
from emtrack.files.refusals import refused_row
from emtrack.forms.errors import FormError
from emtrack.forms.lines import RefusedRow
from geofence import FIRST_MS, LAST_MS, Plan, Position
from geofence.shapes import Bools, Float64s, Int32s, Int64s
from geofence.sweep import MECHANISMS
from ingest import Refusal, read_position

BATCH_ROWS = 1 << 17
FIXES = np.dtype(
    [
        ("fix_ms", "i8"), ("received_ms", "i8"), ("lat_deg", "f8"), ("lon_deg", "f8"), ("precision_m", "f8"),
        ("activation", "i4"), ("mechanism", "i4"),
    ]
)  # fmt: skip
"""A position that can be used. activation: number of its plan; mechanism: its place in MECHANISMS; precision_m: NaN, not known."""
_INSTANT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$"
"""The form in which nearly all times are written; others are read one by one."""

Fixes = npt.NDArray[np.void]


class Checked(NamedTuple):
    """What a record batch holds: positions in any order, and rows that are refused, in theirs."""

    rows: int
    fixes: Fixes
    refused: list[RefusedRow]


class Activations:
    """Which plan covers a device at an instant, for many positions at once."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.devices = activations_of(plans)
        self.number_of = {plan.activation.activation_id: number for number, plan in enumerate(plans)}
        order = sorted(range(len(plans)), key=lambda n: (plans[n].activation.device_id, plans[n].activation.from_ms))
        activations = [plans[number].activation for number in order]
        names = sorted({activation.device_id for activation in activations})
        self.names = pa.array(names, pa.string())
        self._numbers = np.array(order, np.int32)
        self._from_ms = np.array([activation.from_ms for activation in activations], np.int64)
        self._to_ms = np.array([activation.to_ms for activation in activations], np.int64)
        counts = np.bincount(np.searchsorted(names, [a.device_id for a in activations]), minlength=len(names))
        self._first = np.append(0, np.cumsum(counts))
        self._most = int(counts.max(initial=0))

    def at(self, device: Int32s, own_ms: Int64s) -> tuple[Int32s, Bools]:
        """The plan of each position, and whether there is one. device: its place in `names`."""
        at = self._first[device]
        for _ in range(self._most - 1):
            following = np.minimum(at + 1, len(self._from_ms) - 1)
            at += (at + 1 < self._first[device + 1]) & (self._from_ms[following] <= own_ms)
        return self._numbers[at], (self._from_ms[at] <= own_ms) & (own_ms < self._to_ms[at])


def rows_in(paths: Iterable[Path]) -> int:
    """How many rows files hold. Raises FormError for one that cannot be read or lacks a column."""
    total = 0
    for path in paths:
        with _opened(path) as file:
            total += int(open_parquet(path, file, POSITION_COLUMNS).metadata.num_rows)
    return total


def row_groups_of(path: Path) -> Iterator[tuple[int, int, int]]:
    """The row groups of a file: number, the number of the first row in the file from 1 on, rows. Raises FormError."""
    with _opened(path) as file:
        metadata = open_parquet(path, file, POSITION_COLUMNS).metadata
        first = 1
        for group in range(metadata.num_row_groups):
            rows = int(metadata.row_group(group).num_rows)
            yield group, first, rows
            first += rows


def checked(path: Path, activations: Activations) -> Iterator[Checked]:
    """The positions of a file, batch by batch. Raises FormError for one that cannot be read."""
    return checked_groups(path, None, 1, activations)


def checked_groups(
    path: Path, groups: Sequence[int] | None, first: int, activations: Activations
) -> Iterator[Checked]:
    """Of row groups that follow each other (None: of all), whose first row has the number `first`. Raises FormError."""
    with _opened(path) as file:
        batches = open_parquet(path, file, POSITION_COLUMNS).iter_batches(batch_size=BATCH_ROWS, row_groups=groups)
        while True:
            try:
                batch = next(batches, None)
            except (OSError, pa.ArrowException) as error:
                raise FormError(f"{path}: cannot be read: {error}") from error
            if batch is None:
                return
            yield _checked_batch(path, batch, first, activations)
            first += len(batch)


def _opened(path: Path) -> Any:
    if path.suffix.lower() != ".parquet":
        raise FormError(f"{path}: a sweep reads Parquet (.parquet); judge other files with `emtrack evaluate`")
    try:
        return path.open("rb")
    except OSError as error:
        raise FormError(f"{path}: cannot be read: {error}") from error


def _checked_batch(path: Path, batch: Any, first: int, activations: Activations) -> Checked:
    fixes, is_sure = _sure(batch, activations)
    doubtful = np.flatnonzero(~is_sure)
    refused: list[RefusedRow] = []
    more = []
    if len(doubtful):
        for row in rows_of_batch(batch.take(pa.array(doubtful)), (doubtful + first).tolist()):
            read = _read_row(row, activations)
            if isinstance(read, Refusal):
                refused.append(refused_row(path, row.line, read))
            else:
                more.append(read)
    return Checked(len(batch), np.concatenate([fixes[is_sure], np.array(more, FIXES)]), refused)


def _read_row(row: FileRow, activations: Activations) -> tuple[int, int, float, float, float, int, int] | Refusal:
    """A row by itself, as a record of FIXES."""
    read = fact_of_row(row, read_position, activations.devices)
    if isinstance(read, Refusal):
        return read
    activation_id, fact = read
    assert isinstance(fact, Position), "read_position reads positions"
    precision_m = np.nan if fact.precision_m is None else fact.precision_m
    return (
        fact.fix_ms, fact.received_ms, fact.lat_deg, fact.lon_deg, precision_m,
        activations.number_of[activation_id], MECHANISMS.index(fact.mechanism),
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------- columns


def _sure(batch: Any, activations: Activations) -> tuple[Fixes, Bools]:
    """The positions of all rows, and which of them are surely as they would be if they were read one by one."""
    fixes = np.zeros(len(batch), FIXES)
    fixes["precision_m"] = np.nan
    if not _can_be_read(batch):
        return fixes, np.zeros(len(batch), np.bool_)
    fixes["fix_ms"], is_sure = _instants(batch.column("fix_time"))
    for name, limit_deg in (("lat_deg", 90.0), ("lon_deg", 180.0)):
        fixes[name], is_number = _numbers(batch.column(name))
        is_sure &= is_number & (np.abs(fixes[name]) <= limit_deg)
    precision_m, is_number = _numbers(batch.column("precision_m"))
    fixes["precision_m"][is_number] = precision_m[is_number]
    fixes["mechanism"], is_known = _places(
        batch.column("mechanism"), pa.array([str(mechanism) for mechanism in MECHANISMS])
    )
    is_sure &= is_known & (is_number | _is_null(batch.column("precision_m")))
    device, is_known = _places(batch.column("device_id"), activations.names)
    fixes["activation"], is_covered = (
        activations.at(device, fixes["fix_ms"]) if len(activations.names) else (0, is_known)
    )
    fixes["received_ms"], is_instant = _receipts(batch, fixes["fix_ms"])
    return fixes, is_sure & is_known & is_covered & is_instant


def _can_be_read(batch: Any) -> bool:
    """Whether Python can hold all that is in the batch, in columns too that nobody needs: a row that it cannot hold is refused."""
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return all(_can_be_held(column) for column in batch.columns)


def _can_be_held(column: Any) -> bool:
    column = _decoded(column)
    kind = column.type
    if pa.types.is_timestamp(kind):
        _, is_instant = _timestamps(column)
        return bool((is_instant | _is_null(column)).all())
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null, _is_text)
    return any(test(kind) for test in tests)


def _decoded(column: Any) -> Any:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_null(column: Any) -> Bools:
    nulls: Bools = column.is_null().to_numpy(zero_copy_only=False)
    return nulls


def _receipts(batch: Any, own_ms: Int64s) -> tuple[Int64s, Bools]:
    """When positions were received: where that is not said, at their own time."""
    if "received_time" not in batch.schema.names:
        return own_ms, np.ones(len(own_ms), np.bool_)
    column = batch.column("received_time")
    received_ms, is_instant = _instants(column)
    is_unsaid = _is_null(column)
    return np.where(is_unsaid, own_ms, received_ms), is_instant | is_unsaid


def _instants(column: Any) -> tuple[Int64s, Bools]:
    """Milliseconds since 1970, and which of them are surely instants."""
    column = _decoded(column)
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        return _timestamps(column)
    if not _is_text(column.type):
        return np.zeros(len(column), np.int64), np.zeros(len(column), np.bool_)
    usual = pc.if_else(pc.match_substring_regex(column, _INSTANT), column, None)
    try:
        return _timestamps(usual.cast(pa.timestamp("us", "UTC")))
    except pa.ArrowInvalid:  # a 30th of February somewhere
        return np.zeros(len(column), np.int64), np.zeros(len(column), np.bool_)


def _timestamps(column: Any) -> tuple[Int64s, Bools]:
    """As `_instants`, of a column of timestamps, with a zone or without. What is finer than a millisecond is cut off."""
    unit = column.type.unit
    if unit == "ns":
        column, unit = column.cast(pa.timestamp("us", column.type.tz), safe=False), "us"
    values = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    if unit == "s":
        is_in_range = (values >= FIRST_MS // 1_000 + 1) & (values <= LAST_MS // 1_000)
        instant_ms = np.where(is_in_range, values, 0) * 1_000
    else:
        instant_ms = values if unit == "ms" else values // 1_000
        is_in_range = (instant_ms >= FIRST_MS) & (instant_ms <= LAST_MS)
    return instant_ms, is_in_range & ~_is_null(column)


def _numbers(column: Any) -> tuple[Float64s, Bools]:
    """Numbers, and which of them surely are: finite ones. NaN where there is none."""
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind)):
        return np.full(len(column), np.nan), np.zeros(len(column), np.bool_)
    values = column.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(zero_copy_only=False)
    return values, np.isfinite(values)


def _places(column: Any, known: Any) -> tuple[Int32s, Bools]:
    """The place of each text among those that are known, and whether it has one."""
    column = _decoded(column)
    if not _is_text(column.type):
        return np.zeros(len(column), np.int32), np.zeros(len(column), np.bool_)
    place = pc.index_in(column.cast(pa.string()), value_set=known)
    return place.fill_null(0).to_numpy(zero_copy_only=False), ~_is_null(place)
