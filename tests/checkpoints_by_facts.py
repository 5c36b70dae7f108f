"""Checkpoints on the way, fact by fact: slow, and beside what the judge makes of columns."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from geofence.facts import Fact, is_evidence_candidate
from geofence.judgement.judge import ActivationJudge, Checkpoint


def checkpoints_by_facts(
    judge: ActivationJudge, facts: Iterable[Fact], cuts_ms: Sequence[int], now_ms: int
) -> list[Checkpoint]:
    """After the facts from before each cut (ascending), from the start; of cuts without a fact between them there is one."""
    known = [fact for fact in facts if is_evidence_candidate(fact) and max(fact.own_ms, fact.received_ms) <= now_ms]
    evidence = sorted(known, key=lambda fact: fact.key)
    base = judge.initial().base.copy()
    found, done = [], 0
    for cut_ms in cuts_ms:
        upto = bisect_left(evidence, cut_ms, key=lambda fact: fact.own_ms)
        if upto > done:
            judge._feed_few(base, evidence[done:upto])
            found.append(base.copy())
            judge._settle(found[-1], base.copy())
            done = upto
    return found
