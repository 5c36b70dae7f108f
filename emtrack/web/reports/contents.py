"""What an evidence report says: texts and tables, in the order in which they are read. HTML and PDF are made of the same."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

Line = tuple[str, str]
"""What, and what of it."""


class Table(msgspec.Struct, frozen=True):
    """`note`: what stands below it, such as how many rows are left out."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


class Map(msgspec.Struct, frozen=True):
    """A drawing (SVG), what it shows, and the same for who does not see it."""

    svg: str
    caption: str


class ReportedFinding(msgspec.Struct, frozen=True):
    title: str
    story: str
    lines: list[Line]
    versions: Table
    evidence: Table
    map: Map | None = None


class Obligation(msgspec.Struct, frozen=True):
    """A requirement that was in force."""

    title: str
    lines: list[Line]


class Report(msgspec.Struct, frozen=True):
    """`standing`: findings that hold as they were first told; `amended` ones were told otherwise before; `withdrawn` ones hold no
    more."""

    title: str
    about: list[Line]
    summary: list[str]
    cautions: list[str]
    tags: Table
    obligations: list[Obligation]
    absences: Table
    standing: list[ReportedFinding]
    amended: list[ReportedFinding]
    withdrawn: list[ReportedFinding]
    negatives: Table
    coverage: list[Line]
    gaps: Table
    health: list[Line]
    events: Table
    map: Map | None
    positions: Table
    proofs: list[str]
    files: list[Line]
    footer: str
