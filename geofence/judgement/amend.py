"""Which new finding is which old one after a re-judgement (RULES.md section 8, "Identity under amendment")."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

from geofence.judgement.findings import Finding, FindingKey, key_of
from geofence.words import FOREVER_MS

Ref = TypeVar("Ref")


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
    pairs = sorted(
        (-_overlap_ms(was, now), was.begin_ms, now.begin_ms, i, j)
        for i, (_, was) in enumerate(before)
        for j, now in enumerate(after)
        if _overlap_ms(was, now) > 0 or was.begin_ms == now.begin_ms
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


def _overlap_ms(a: Finding, b: Finding) -> int:
    end_ms = min(FOREVER_MS if a.end_ms is None else a.end_ms, FOREVER_MS if b.end_ms is None else b.end_ms)
    return max(0, end_ms - max(a.begin_ms, b.begin_ms))


def says_the_same(a: Finding, b: Finding) -> bool:
    """Whether a person would be told the same: interval, reason, when known, grace, and which zone of a set."""
    return _said(a) == _said(b)


def _said(finding: Finding) -> tuple[int, int | None, int, str | None, bool, str | None]:
    return (
        finding.begin_ms, finding.end_ms, finding.known_ms, finding.reason, finding.within_grace, finding.zone_id,
    )  # fmt: skip
