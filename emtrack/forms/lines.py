"""Lines of the files that the program writes: findings, and rows that could not be used."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator

import msgspec

from geofence import Activation, format_instant
from geofence.judgement import Finding


class RefusedRow(msgspec.Struct, frozen=True):
    """A line of refusals.jsonl."""

    file: str
    line: int
    reason: str
    what: str
    action: str


class FindingLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of findings.jsonl, in the order of CONTRACT.md."""

    wearer_id: str
    activation_id: str
    requirement_id: str | None
    kind: str
    reason: str | None
    begin: str
    end: str | None
    known_at: str
    within_grace: bool
    zone_id: str | None
    """The member of a shared zone set that it is about; null for a requirement with a zone of its own."""
    unknown_since: str | None = None
    """Only while the end is provisional: presence has not been known since then, and a report in time can still say that it lasts."""
    unauthenticated_facts: int = 0
    """Of the facts that it rests on, those behind which nothing stands but an identifier; only where there are any, and only of a
    finding that comes out of the record."""


LineKey = tuple[str, int, str, bool, str, str, str]


NONE: frozenset[int] = frozenset()


def finding_line(
    activation: Activation, finding: Finding, unauthenticated: Collection[int] = NONE
) -> tuple[LineKey, FindingLine]:
    """A finding as a line, and the key that lines are sorted by. `unauthenticated`: the facts behind which only an identifier
    stands."""
    requirement_id = finding.requirement_id
    line = FindingLine(
        wearer_id=activation.wearer_id,
        activation_id=activation.activation_id,
        requirement_id=requirement_id,
        kind=str(finding.kind),
        reason=None if finding.reason is None else str(finding.reason),
        begin=format_instant(finding.begin_ms),
        end=None if finding.end_ms is None else format_instant(finding.end_ms),
        known_at=format_instant(finding.known_ms),
        within_grace=finding.within_grace,
        zone_id=finding.zone_id,
        unknown_since=None if finding.unknown_since_ms is None else format_instant(finding.unknown_since_ms),
        unauthenticated_facts=sum(fact_id in unauthenticated for fact_id in finding.evidence),
    )
    key = (
        line.wearer_id,
        finding.begin_ms,
        line.kind,
        requirement_id is not None,
        requirement_id or "",
        line.activation_id,
        line.reason or "",
    )
    return key, line


def finding_lines(
    found: Iterable[tuple[Activation, Finding]], unauthenticated: Collection[int] = NONE
) -> Iterator[bytes]:
    """Findings as sorted JSON lines, each with its line end."""
    return in_order(keyed_lines(found, unauthenticated))


def keyed_lines(
    found: Iterable[tuple[Activation, Finding]], unauthenticated: Collection[int] = NONE
) -> Iterator[tuple[LineKey, bytes]]:
    """Findings as JSON lines in their order, each with what lines are sorted by."""
    for activation, finding in found:
        key, line = finding_line(activation, finding, unauthenticated)
        yield key, json.dumps(msgspec.to_builtins(line), ensure_ascii=False).encode() + b"\n"


def in_order(keyed: Iterable[tuple[LineKey, bytes]]) -> Iterator[bytes]:
    """Sorted by their keys; of equal keys in the order in which they came."""
    return (line for _, line in sorted(keyed, key=lambda pair: pair[0]))
