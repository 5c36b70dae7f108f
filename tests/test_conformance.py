"""The published cases: `emtrack evaluate` says exactly what each expects, whatever the order of the rows."""

from __future__ import annotations

import filecmp
import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from emtrack.cli import app

HERE = Path(__file__).parent / "conformance"
ORIGINALS = Path(__file__).parents[2] / "shared" / "conformance"
CASES = sorted(path for path in HERE.iterdir() if path.is_dir())
SHUFFLES = 3
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


CONTRACT = (
    "wearer_id", "activation_id", "requirement_id", "kind", "reason", "begin", "end", "known_at", "within_grace",
)  # fmt: skip
"""These fields come first; what follows them the cases do not speak of."""
Line = list[tuple[str, object]]
"""The fields of a finding, in their order."""


def lines_of(text: str) -> list[Line]:
    return [json.loads(line, object_pairs_hook=list) for line in text.splitlines()]


def evaluated(case: Path, positions: Path, events: Path | None) -> list[Line]:
    """The lines on standard output."""
    options = ["--orders", case / "orders.json", "--positions", positions]
    options += ["--until", (case / "until.txt").read_text().strip()]
    options += [] if events is None else ["--events", events]
    result = CliRunner().invoke(app, ["evaluate", *map(str, options)])
    assert result.exit_code == 0, result.output
    return [line[: len(CONTRACT)] for line in lines_of(result.stdout)]


def expected(case: Path) -> list[Line]:
    return lines_of((case / "expected.jsonl").read_text())


def events_of(case: Path) -> Path | None:
    return case / "events.csv" if (case / "events.csv").exists() else None


def shuffled_and_repeated(rows: Path, seed: int, copy: Path) -> Path:
    """The same rows in another order, a third of them twice."""
    head, *lines = rows.read_text().splitlines()
    chance = random.Random(seed)
    lines += chance.sample(lines, len(lines) // 3)
    chance.shuffle(lines)
    copy.write_text("\n".join([head, *lines]) + "\n")
    return copy


def test_there_are_cases():
    assert len(CASES) >= 50


@each_case
def test_a_case_gives_what_it_expects(case):
    assert evaluated(case, case / "positions.csv", events_of(case)) == expected(case)


@each_case
@pytest.mark.parametrize("seed", range(SHUFFLES))
def test_the_order_and_repetition_of_rows_changes_nothing(case, seed, tmp_path):
    events = events_of(case)
    positions = shuffled_and_repeated(case / "positions.csv", seed, tmp_path / "positions.csv")
    if events is not None:
        events = shuffled_and_repeated(events, seed, tmp_path / "events.csv")
    assert evaluated(case, positions, events) == expected(case)


@pytest.mark.skipif(not ORIGINALS.is_dir(), reason="the published cases do not lie beside this repository")
def test_our_copies_are_the_published_cases():
    published = sorted(path.relative_to(ORIGINALS) for path in ORIGINALS.rglob("*") if path.is_file())
    ours = sorted(path.relative_to(HERE) for path in HERE.rglob("*") if path.is_file())
    assert ours == published
    assert filecmp.cmpfiles(HERE, ORIGINALS, map(str, published), shallow=False)[1:] == ([], [])
