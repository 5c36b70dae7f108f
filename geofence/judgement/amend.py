"""Which new finding is which old one after a re-judgement (RULES.md section 8, "Identity under amendment")."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar

from geofence.judgement.findings import Finding, FindingKey, key_of
from geofence.words import FOREVER_MS

Ref = TypeVar("Ref")
FEW = 20


class Amendments(NamedTuple, Generic[Ref]):
    """What a re-judgement changes, by the caller's references (`Ref`) to the old findings. `kept`: what stays, though it may rest on
    other facts."""

    amended: list[tuple[Ref, Finding]]
    withdrawn: list[Ref]
    new: list[Finding]
    kept: list[tuple[Ref, Finding]]


def amendments(old: Iterable[tuple[Ref, Finding]], new: Iterable[Finding]) -> Amendments[Ref]:
    """Match new intervals to old ones of one key by greatest overlap, then earliest begin.

    Matched and different is amended, old unmatched is withdrawn, new unmatched is new. Findings that rest on other
    facts but say the same are left alone.
    """
    old, new = list(old), list(new)
    if not old and len(new) < 2:
        return Amendments([], [], new, [])
    olds: dict[FindingKey, list[tuple[Ref, Finding]]] = defaultdict(list)
    news: dict[FindingKey, list[Finding]] = defaultdict(list)
    for ref, finding in old:
        olds[key_of(finding)].append((ref, finding))
    for finding in new:
        news[key_of(finding)].append(finding)
    result: Amendments[Ref] = Amendments([], [], [], [])
    for key in olds | news:
        before, after = olds.get(key, ()), news.get(key, ())
        if before and after:
            _match(before, after, result)
        else:
            result.withdrawn.extend(ref for ref, _ in before)
            result.new.extend(after)
    return result


def _match(before: Sequence[tuple[Ref, Finding]], after: Sequence[Finding], result: Amendments[Ref]) -> None:
    # Of one key findings come in order and apart: of very many only a few are looked at for each.
    are_apart = len(after) > FEW and all(_end_ms(a) <= b.begin_ms for a, b in pairwise(after))
    pairs = sorted(
        (-_overlap_ms(was, after[j]), was.begin_ms, after[j].begin_ms, i, j)
        for i, (_, was) in enumerate(before)
        for j in (_near(was, after) if are_apart else range(len(after)))
        if _overlap_ms(was, after[j]) > 0 or was.begin_ms == after[j].begin_ms
    )
    old_left, new_left = set(range(len(before))), set(range(len(after)))
    for _, _, _, i, j in pairs:
        if i in old_left and j in new_left:
            old_left.discard(i)
            new_left.discard(j)
            matched = result.kept if says_the_same(before[i][1], after[j]) else result.amended
            matched.append((before[i][0], after[j]))
    result.withdrawn.extend(before[i][0] for i in sorted(old_left))
    result.new.extend(after[j] for j in sorted(new_left))


def _near(was: Finding, after: Sequence[Finding]) -> Iterator[int]:
    """Places of findings, in order and apart, that may overlap one."""
    first = bisect_left(after, was.begin_ms, key=_end_ms)
    for place in range(first, len(after)):
        if after[place].begin_ms > _end_ms(was):
            return
        yield place


def _end_ms(finding: Finding) -> int:
    return FOREVER_MS if finding.end_ms is None else finding.end_ms


def _overlap_ms(a: Finding, b: Finding) -> int:
    return max(0, min(_end_ms(a), _end_ms(b)) - max(a.begin_ms, b.begin_ms))


def says_the_same(a: Finding, b: Finding) -> bool:
    """Whether a person would be told the same: interval, reason, when known, grace, and which zone of a set."""
    return _said(a) == _said(b)


def _said(finding: Finding) -> tuple[int, int | None, int, str | None, bool, str | None]:
    return (
        finding.begin_ms, finding.end_ms, finding.known_ms, finding.reason, finding.within_grace, finding.zone_id,
    )  # fmt: skip
