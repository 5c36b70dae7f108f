"""The published tables, as markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from benchmarks.detection.methods import METHODS
from benchmarks.detection.requirements import COMPARED
from benchmarks.detection.runs import Cell, Outcome
from benchmarks.detection.scores import MINUTE_MS, Score
from geofence import ObligationKind

WORLDS = ("clean", "urban_canyon", "lbs_heavy", "gaps", "jumps")
"""What the targets are about, in the first edition. `standard` is reported apart."""
SECOND = tuple(f"{world}.2" for world in WORLDS)
EDITIONS = {
    "The first edition: worlds frozen by their seed": (*WORLDS, "standard"),
    "The second edition: home units that send for themselves": (*SECOND, "standard.2", "rf_only"),
}

TARGET_FOUND = 0.997
TARGET_FALSE = 100
"""Of the core, in all of WORLDS together, for 200 wearers in 14 days of each; other sizes are allowed their share."""
TARGET_WEARER_DAYS = 5 * 200 * 14
TARGET_TIMES_FEWER = 20.0

HEAD = (
    "world", "judged by", "missed of ≥ 2 min", "missed of findable", "missed of findable ≥ 5 min", "findings", "false",
    "false a wearer-day", "false min a wearer-day", "onset error p50 / p95", "known after p50 / p95", "heard after p50 / p95",
)  # fmt: skip

TOGETHER = "the five together"


def summed(scores: Mapping[Cell, Score], presets: Sequence[str], way: str, kind: str | None = None) -> Score:
    """The score of one way of judging over some presets, of one kind or all that are compared."""
    total = Score()
    for (preset, name, its_kind), one in scores.items():
        wanted = its_kind in COMPARED if kind is None else its_kind == kind
        if preset in presets and name == way and wanted:
            total += one
    return total


def row_of(world: str, way: str, total: Score, wearer_days: int) -> list[str]:
    return [
        world,
        way,
        _of(total.violations_missed, total.violations),
        _of(total.findable_missed, total.findable),
        _of(total.target_missed, total.target),
        f"{total.findings:,}",
        f"{total.false:,}",
        f"{total.false / wearer_days:.3f}",
        f"{total.false_ms / MINUTE_MS / wearer_days:.1f}",
        _spread(total.onset_ms, absolute=True),
        _spread(total.known_ms),
        _spread(total.heard_ms),
    ]


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}"


def _spread(delays_ms: Sequence[int], *, absolute: bool = False) -> str:
    """Median and 95th percentile in minutes; of an error (`absolute`), the median with its sign and the size of the p95."""
    if not delays_ms:
        return "–"
    upper = np.abs(delays_ms) if absolute else np.array(delays_ms)
    return f"{np.median(delays_ms) / MINUTE_MS:.1f} / {np.percentile(upper, 95) / MINUTE_MS:.1f} min"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def targeted(presets: Sequence[str]) -> list[str]:
    """Those of some presets that the targets are about."""
    return [preset for preset in presets if preset in WORLDS or preset in SECOND]


def groups_of(presets: Sequence[str]) -> list[tuple[str, list[str]]]:
    """The rows of a table: each preset, and those together that the targets are about."""
    asked = targeted(presets)
    apart = [preset for preset in presets if preset not in asked]
    together = [(TOGETHER if len(asked) == len(WORLDS) else "together", asked)] if len(asked) > 1 else []
    return [
        *((preset, [preset]) for preset in asked),
        *together,
        *((f"{preset} (apart)", [preset]) for preset in apart),
    ]


def main_table(outcome: Outcome, presets: Sequence[str], wearers: int, days: int) -> str:
    rows = [
        row_of(name, way, summed(outcome.scores, group, way), len(group) * wearers * days)
        for name, group in groups_of(presets)
        for way in METHODS
        if way in {judged_by for preset, judged_by, _ in outcome.scores if preset in group}
    ]
    return table(HEAD, rows)


def targets(outcome: Outcome, presets: Sequence[str], wearers: int, days: int) -> str:
    """Each target beside what was measured."""
    asked = targeted(presets)
    core, naive = (summed(outcome.scores, asked, way) for way in ("core", "naive"))
    found = 1 - core.target_missed / core.target if core.target else 1.0
    allowed = TARGET_FALSE * len(asked) * wearers * days / TARGET_WEARER_DAYS
    fewer = naive.false / max(core.false, 1)
    rows = [
        [
            "findable violations of ≥ 5 min found",
            f"≥ {TARGET_FOUND:.1%}",
            f"{found:.2%}",
            met(found >= TARGET_FOUND),
        ],
        [
            "false findings of the core",
            f"≤ {allowed:,.0f}",
            f"{core.false:,}",
            met(core.false <= allowed),
        ],
        [
            "false findings, naive to core",
            f"≥ {TARGET_TIMES_FEWER:.0f} times",
            f"{fewer:,.0f} times",
            met(fewer >= TARGET_TIMES_FEWER),
        ],
    ]
    return table(("target", "wanted", "measured", ""), rows)


def met(holds: bool) -> str:
    return "met" if holds else "**not met**"


def kinds_table(outcome: Outcome, presets: Sequence[str]) -> str:
    """The same by kind, over the worlds that the targets are about."""
    asked = targeted(presets)
    rows = []
    judged = {(kind, way) for preset, way, kind in outcome.scores if preset in asked}
    for kind, way in ((kind, way) for kind in ObligationKind for way in METHODS if (str(kind), way) in judged):
        one = summed(outcome.scores, asked, way, str(kind))
        rows.append([str(kind), way, _of(one.target_missed, one.target), f"{one.findings:,}", f"{one.false:,}"])
    return table(("kind", "judged by", "missed of findable ≥ 5 min", "findings", "false"), rows)


def causes_table(counted: Mapping[Cell, int], presets: Sequence[str], what: str) -> str:
    """Counts of (preset, kind, cause), one row for each kind and cause, most frequent first."""
    totals: Counter[tuple[str, str]] = Counter()
    for (preset, kind, cause), count in counted.items():
        if preset in presets:
            totals[kind, cause] += count
    rows = [
        [kind, cause, *(str(counted.get((preset, kind, cause), 0) or "") for preset in presets), str(total)]
        for (kind, cause), total in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    ]
    return table(("kind", what, *presets, "all"), rows) if rows else "None."
