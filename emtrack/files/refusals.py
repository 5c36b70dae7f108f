"""Rows of files that could not be used, as `evaluate` and `sweep` tell of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from emtrack.atomic_files import replacing_file
from emtrack.forms.lines import RefusedRow
from ingest import Refusal

Refuse = Callable[[RefusedRow], object]


def refused_row(path: Path, line: int, refusal: Refusal) -> RefusedRow:
    """A line of a file that is refused."""
    return RefusedRow(path.name, line, refusal.reason, refusal.what, refusal.action)


@contextmanager
def refusals_file(path: Path | None) -> Iterator[Refuse]:
    """Refused rows are written as they are met, a line each; the file appears whole or not at all. Without a path they are
    only counted."""
    if path is None:
        yield lambda _: None
        return
    with replacing_file(path) as file:
        yield lambda row: file.write(msgspec.json.encode(row) + b"\n")
