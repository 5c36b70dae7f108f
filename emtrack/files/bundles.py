"""Parquet files in bundles of row groups, each of which can be read by itself, whoever reads it and when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from emtrack.files.columns import row_groups_of
from emtrack.forms.errors import FormError

MOST_BUNDLES = 32
"""A bundle makes a file for each part of the wearers: few bundles are few files, and many keep all processes busy to the end."""


class Span(NamedTuple):
    """Row groups of a file that follow each other. `first`: the number of their first row in the file, from 1."""

    path: Path
    groups: tuple[int, ...]
    first: int
    rows: int


class Bundle(NamedTuple):
    """`number`: its place among all, which is the order of the files and of the rows in them."""

    number: int
    spans: tuple[Span, ...]

    @property
    def rows(self) -> int:
        return sum(span.rows for span in self.spans)


def files_in(paths: Iterable[Path]) -> list[Path]:
    """Files as they were named, and for a folder all Parquet below it, by name. Raises FormError for a folder without any."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(path.rglob("*.parquet"))
        if not inside:
            raise FormError(
                f"{path}: there is no file *.parquet in this folder; name the folder that has the positions"
            )
        found += inside
    return found


def bundles_of(paths: Sequence[Path], most: int = MOST_BUNDLES) -> list[Bundle]:
    """All rows of the files in at most `most` bundles of about one size, in order. Raises FormError for one that cannot be read."""
    spans = [Span(path, (group,), first, rows) for path in paths for group, first, rows in row_groups_of(path)]
    wanted = -(-sum(span.rows for span in spans) // most)
    gathered: list[list[Span]] = []
    filled = wanted
    for span in spans:
        if filled >= wanted and len(gathered) < most:
            gathered.append([])
            filled = 0
        gathered[-1].append(span)
        filled += span.rows
    return [Bundle(number, tuple(_joined(some))) for number, some in enumerate(gathered)]


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Neighbours in one file are one span: a file is opened once a bundle."""
    joined: list[Span] = []
    for span in spans:
        if joined and (joined[-1].path, joined[-1].groups[-1] + 1) == (span.path, span.groups[0]):
            before = joined.pop()
            span = Span(span.path, before.groups + span.groups, before.first, before.rows + span.rows)
        joined.append(span)
    return joined
