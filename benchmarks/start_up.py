"""How long a person waits for a command that does nothing, beside the interpreter alone.

`python -m benchmarks.start_up [--rounds N] [--write docs/performance.md]`: each in a process of its own, from its start to its end,
taken in turns; medians and the slowest, with warm caches of the file system and of Python.
"""

from __future__ import annotations

import argparse
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from os import cpu_count
from pathlib import Path

BEGIN, END = "<!-- start-up begin -->", "<!-- start-up end -->"
COMMANDS: dict[str, Sequence[str]] = {
    "`python -c pass`": ("-c", "pass"),
    "`emtrack --help`": ("-m", "emtrack", "--help"),
    "`emtrack serve --help`": ("-m", "emtrack", "serve", "--help"),
    "`emtrack --version`": ("-m", "emtrack", "--version"),
}


def taken_s(arguments: Sequence[str]) -> float:
    start_s = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start_s


def report(rounds: int) -> list[str]:
    for arguments in COMMANDS.values():
        taken_s(arguments)
    taken = [[taken_s(arguments) for arguments in COMMANDS.values()] for _ in range(rounds)]
    lines = [
        f"{platform.machine()}, {cpu_count()} cores, Python {platform.python_version()}, {rounds} rounds",
        "",
        "| command | median, s | slowest, s |",
        "|---|---:|---:|",
    ]
    columns = zip(COMMANDS, zip(*taken, strict=True), strict=True)
    return lines + [f"| {name} | {statistics.median(all_s):.3f} | {max(all_s):.3f} |" for name, all_s in columns]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start_up", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--write", type=Path, help="a page whose part between the markers is written anew")
    options = parser.parse_args()
    out = "\n".join(report(options.rounds))
    print(out)
    if options.write:
        part = f"{BEGIN}\n{out}\n{END}"
        options.write.write_text(
            re.sub(f"{BEGIN}.*{END}", lambda _: part, options.write.read_text(), flags=re.DOTALL)
        )


if __name__ == "__main__":
    main()
