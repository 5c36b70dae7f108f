"""The published tables of what an operator was shown meanwhile, as markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.detection.runs import Outcome
from benchmarks.detection.scores import MINUTE_MS
from benchmarks.detection.tables import WORLDS, met, table
from benchmarks.detection.watching import Entries, View
from geofence import Kind

IN_TIME_S = 240
"""From the first position wholly inside a zone to the alert, at p95: the standard of the field."""
DAYS_FOR_ONE_FALSE = 50


def views_of(outcome: Outcome, presets: Sequence[str]) -> str:
    """Targets, and tables by kind and by world; nothing of presets in which nobody watched."""
    watched = [preset for preset in presets if preset in outcome.views]
    together = View()
    for preset in watched:
        together.take(outcome.views[preset])
    return "\n\n".join([_targets(together.entries), _kinds(together), _entries(outcome, watched)])


def _targets(entries: Entries) -> str:
    p95_s = float(np.percentile(entries.alert_ms, 95)) / 1_000 if entries.alert_ms else 0.0
    days = entries.wearer_days / entries.false if entries.false else entries.wearer_days
    rows = [
        ["inside to alert, tags in coverage, p95", f"≤ {IN_TIME_S} s", f"{p95_s:.0f} s", met(p95_s <= IN_TIME_S)],
        [
            "false possible entries",
            f"≤ 1 in {DAYS_FOR_ONE_FALSE} wearer-days",
            f"{entries.false:,}: 1 in {days:,.0f}" if entries.false else f"none in {days:,.0f}",
            met(days >= DAYS_FOR_ONE_FALSE or not entries.false),
        ],
    ]
    return table(("target", "wanted", "measured", ""), rows)


def _kinds(view: View) -> str:
    rows = []
    for kind in Kind:
        one = view.kinds.get(str(kind))
        if one is None:
            continue
        late = np.array(one.late_ms) / MINUTE_MS
        spread = " / ".join(f"{value:.1f}" for value in np.percentile(late, [50, 95, 100])) if len(late) else "–"
        versions = " / ".join(f"{value:.0f}" for value in np.percentile(one.versions, [50, 95, 100]))
        rows.append(
            [
                str(kind),
                f"{len(one.versions):,}",
                versions,
                f"{one.raised:,}",
                f"{one.amended:,}",
                f"{one.withdrawn:,}",
                spread,
            ]
        )
    head = (
        "kind",
        "findings",
        "versions p50 / p95 / max",
        "alerts",
        "then amended",
        "then withdrawn",
        "knowable to raised, min, p50 / p95 / max",
    )
    return table(head, rows)


def _entries(outcome: Outcome, watched: Sequence[str]) -> str:
    rows = []
    for preset in watched:
        one = outcome.views[preset].entries
        if not one.wearer_days:
            continue
        edition = " (uploads in tens)" if preset in (*WORLDS, "standard") else ""
        rows.append(
            [
                f"{preset}{edition}", f"{one.wearer_days:,.0f}", str(one.raised), str(one.confirmed), str(one.false),
                _seconds(one.alert_ms), _seconds(one.late_ms), str(one.never),
            ]
        )  # fmt: skip
    head = (
        "world", "wearer-days with an exclusion", "possible entries", "confirmed", "false",
        "inside to alert, in coverage: n, p50 / p95 / max", "not in coverage", "no alert",
    )  # fmt: skip
    return table(head, rows)


def _seconds(delays_ms: Sequence[int]) -> str:
    if not delays_ms:
        return "0"
    p50, p95, most = np.percentile(np.array(delays_ms) / 1_000, [50, 95, 100])
    return f"{len(delays_ms)}, {p50:.0f} / {p95:.0f} / {most:.0f} s"
