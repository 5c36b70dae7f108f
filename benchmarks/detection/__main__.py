"""`python -m benchmarks.detection`: worlds are run, judged and counted; the figures are printed, and written if asked for."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.detection import __doc__ as METHOD
from benchmarks.detection.page import BEGIN, END, written
from benchmarks.detection.runs import Outcome, jobs_of, run_all
from benchmarks.detection.tables import EDITIONS, causes_table, kinds_table, main_table, targets
from benchmarks.detection.views import views_of


def report(outcome: Outcome, arguments: argparse.Namespace, presets: Sequence[str]) -> str:
    """All that is published, as markdown."""
    size = f"{arguments.wearers} wearers × {arguments.days} days in each world, seed {arguments.seed}"
    editions = ((title, [preset for preset in names if preset in presets]) for title, names in EDITIONS.items())
    return "\n\n".join([size, *(_edition(title, outcome, arguments, asked) for title, asked in editions if asked)])


def _edition(title: str, outcome: Outcome, arguments: argparse.Namespace, presets: Sequence[str]) -> str:
    """The figures of the worlds of one edition."""
    return "\n\n".join(
        [
            f"### {title}",
            targets(outcome, presets, arguments.wearers, arguments.days),
            main_table(outcome, presets, arguments.wearers, arguments.days),
            "By kind, the worlds of the targets together:",
            kinds_table(outcome, presets),
            "Where the core loses: findable violations of at least 5 min that it missed.",
            causes_table(outcome.missed_by, presets, "missed because"),
            "Its false findings.",
            causes_table(outcome.false_by, presets, "false because"),
            "What an operator was shown meanwhile (the first 40 wearers of a world).",
            views_of(outcome, presets),
        ]
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection", description=(METHOD or "").splitlines()[0]
    )
    parser.add_argument("--wearers", type=int, default=200)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--presets", help="names, with commas between (those of both editions)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--write", type=Path, help="a page with markers, whose figures are replaced")
    arguments = parser.parse_args(argv)
    named = ",".join(name for names in EDITIONS.values() for name in names)
    arguments.presets = (arguments.presets or named).split(",")
    unknown = sorted(set(arguments.presets) - {name for names in EDITIONS.values() for name in names})
    if unknown:
        parser.error(f"no preset {unknown[0]!r}: choose of {named}")
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _arguments(argv)
    presets: list[str] = arguments.presets
    started = time.perf_counter()
    jobs = jobs_of(presets, wearers=arguments.wearers, days=arguments.days, seed=arguments.seed)
    text = report(run_all(jobs, arguments.processes), arguments, presets)
    print(text)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    if arguments.write is not None:
        page = arguments.write.read_text(encoding="utf-8")
        arguments.write.write_text(written(page, text, BEGIN, END), encoding="utf-8")


if __name__ == "__main__":
    main()
