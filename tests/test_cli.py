"""The commands as a person runs them: exit codes, messages, files."""

from __future__ import annotations

import csv
import gzip
import json
import os
import stat
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from emtrack.cli import app
from emtrack.cli.saying import print_table
from tests.command_line import Ran, emtrack, emtrack_process
from tests.service_world import AWAY, HOME, event, orders, position

UNTIL = "2026-03-02T19:20:00Z"
COLUMNS = ("device_id", "fix_time", "lat_deg", "lon_deg", "precision_m", "mechanism")
FIXES: list[dict[str, Any]] = [
    {"device_id": "D1", **position(0, f"19:{minute:02d}", AWAY if minute < 10 else HOME)}
    for minute in range(1, 20, 3)
]
for fix in FIXES:
    del fix["seq"], fix["type"]
BOW_TIE = {
    "type": "Polygon",
    "coordinates": [[[-2.19, 53.02], [-2.17, 53.03], [-2.17, 53.02], [-2.19, 53.03], [-2.19, 53.02]]],
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "orders.json").write_text(json.dumps(orders(1), indent=1))
    write_csv(tmp_path / "positions.csv", FIXES)
    return tmp_path


def write_csv(path: Path, rows: list[dict[str, Any]], columns: tuple[str, ...] = COLUMNS) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def evaluate(files: Path, positions: str = "positions.csv", *more: str | Path) -> Ran:
    return emtrack(*evaluating(files, positions), *more)


def evaluating(files: Path, positions: str = "positions.csv") -> tuple[str | Path, ...]:
    return "evaluate", "--orders", files / "orders.json", "--positions", files / positions, "--until", UNTIL


def test_findings_go_to_standard_output_in_the_order_of_the_form(files: Path) -> None:
    ran = emtrack_process(*evaluating(files))
    assert (ran.returncode, ran.stderr) == (0, "")
    (line,) = ran.stdout.splitlines()
    assert json.loads(line) == {
        "wearer_id": "W1", "activation_id": "A1", "requirement_id": "C1", "kind": "CURFEW", "reason": "SEEN_OUT",
        "begin": "2026-03-02T19:01:00Z", "end": "2026-03-02T19:10:00Z", "known_at": "2026-03-02T19:04:00Z",
        "within_grace": False, "zone_id": None,
    }  # fmt: skip
    assert list(json.loads(line)) == [
        "wearer_id", "activation_id", "requirement_id", "kind", "reason", "begin", "end", "known_at", "within_grace",
        "zone_id",
    ]  # fmt: skip


def test_csv_ndjson_parquet_and_gz_give_the_same_findings(files: Path) -> None:
    (files / "p.ndjson").write_text("".join(json.dumps(fix) + "\n" for fix in FIXES))
    pq.write_table(pa.Table.from_pylist(FIXES), files / "p.parquet")
    for name in ("positions.csv", "p.ndjson", "p.parquet"):
        (files / f"{name}.gz").write_bytes(gzip.compress((files / name).read_bytes()))
    expected = evaluate(files).stdout
    assert expected
    for name in ("p.ndjson", "positions.csv.gz", "p.parquet.gz"):
        ran = evaluate(files, name, "--out", files / "out.jsonl")
        assert (ran.returncode, ran.stdout, (files / "out.jsonl").read_text()) == (0, "", expected), ran.stderr


def test_a_missing_column_ends_it_with_2_and_is_named(files: Path) -> None:
    write_csv(files / "short.csv", FIXES, COLUMNS[:-1])
    ran = evaluate(files, "short.csv")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "short.csv: line 1: the column 'mechanism' is missing" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_unknown_field_ends_it_with_2_and_its_line(files: Path) -> None:
    form = orders(1)
    form["requirements"][0]["grace"] = 5
    (files / "orders.json").write_text(json.dumps(form, indent=1))
    ran = evaluate(files)
    assert ran.returncode == 2
    assert "grace" in ran.stderr
    line = next(i for i, text in enumerate((files / "orders.json").read_text().splitlines(), 1) if '"grace"' in text)
    assert f"orders.json: line {line}:" in ran.stderr


def test_a_crossed_polygon_is_refused_with_its_place_and_mended_on_request(files: Path) -> None:
    form = orders(1)
    form["requirements"].append({
        "requirement_id": "X", "wearer_id": "W1", "kind": "EXCLUSION", "from": "2026-03-01T00:00:00Z", "geometry": BOW_TIE,
    })  # fmt: skip
    text = json.dumps(form, indent=1)
    (files / "orders.json").write_text(text)
    ran = evaluate(files)
    assert ran.returncode == 2
    assert "requirements[1].geometry" in ran.stderr
    assert "-2.18" in ran.stderr
    assert "53.02" in ran.stderr
    mended = evaluate(files, "positions.csv", "--repair")
    assert mended.returncode == 0, mended.stderr
    assert "repaired polygons were written back" in mended.stderr
    assert (files / "orders.json").read_text() != text
    assert evaluate(files).stdout == mended.stdout


def test_repair_leaves_alone_what_is_whole(files: Path) -> None:
    before = (files / "orders.json").read_bytes()
    ran = evaluate(files, "positions.csv", "--repair")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (files / "orders.json").read_bytes() == before
    (files / "orders.json").write_text('{"activations": []}')
    assert evaluate(files, "positions.csv", "--repair").returncode == 0, "orders need no requirements"


def test_rows_that_cannot_be_used_are_refused_by_line_and_the_rest_is_judged(files: Path) -> None:
    odd = [
        {**FIXES[0], "lat_deg": 91}, {**FIXES[0], "mechanism": "SONAR"}, {**FIXES[0], "device_id": "D9"},
        {**FIXES[0], "fix_time": "2026-01-01T00:00:00Z"}, {**FIXES[0], "fix_time": "2026-03-02T19:00:00"},
        {**FIXES[0], "precision_m": "far"},
    ]  # fmt: skip
    write_csv(files / "odd.csv", [*odd, *FIXES])
    ran = evaluate(files, "odd.csv", "--refusals", files / "refused.jsonl")
    assert ran.returncode == 0
    assert "6 rows were refused" in ran.stderr
    assert len(ran.stdout.splitlines()) == 1
    refused = [json.loads(line) for line in (files / "refused.jsonl").read_text().splitlines()]
    assert [(row["line"], row["reason"]) for row in refused] == [
        (2, "bad_coordinate"), (3, "unknown_mechanism"), (4, "unknown_device"), (5, "no_activation"), (6, "bad_time"),
        (7, "bad_precision"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("evaluate", "--orders", "none.json", "--positions", "p.csv", "--until", UNTIL), "none.json"),
        (("evaluate", "--orders", "{}", "--positions", "p.csv", "--until", "noon"), "--until"),
        (("schema", "poem"), "no form"),
        (("orders", "import", "none.json"), "none.json"),
    ],
    ids=["no such file", "no instant", "no such form", "no such orders"],
)
def test_a_call_that_does_not_fit_ends_with_2_and_one_line(arguments: tuple[str, ...], says: str) -> None:
    ran = emtrack(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_setting_that_is_not_known_ends_with_2(data_dir: Path) -> None:
    ran = emtrack("db", "status", EMTRACK_DATA_DIR=str(data_dir), EMTRACK_DATBASE_URL="x")
    assert ran.returncode == 2
    assert "EMTRACK_DATBASE_URL is no setting" in ran.stderr


def test_orders_are_imported_keys_written_once_and_everything_is_read_back(database_url: str, files: Path) -> None:
    there = {"EMTRACK_DATABASE_URL": database_url}
    keys = files / "keys.json"
    dry = emtrack("orders", "import", files / "orders.json", "--keys-out", keys, "--dry-run", **there)
    assert dry.returncode == 0, dry.stderr
    assert "nothing was changed" in dry.stderr
    assert not keys.exists()
    ran = emtrack("orders", "import", files / "orders.json", "--keys-out", keys, **there)
    assert ran.returncode == 0, ran.stderr
    assert "1 devices are new" in ran.stderr
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert list(json.loads(keys.read_text())) == ["D1"]
    written = keys.read_bytes()
    again = emtrack("orders", "import", files / "orders.json", "--keys-out", keys, **there)
    assert again.returncode == 2
    assert "exists" in again.stderr
    assert keys.read_bytes() == written
    clash = {"activations": [{**orders(1)["activations"][0], "activation_id": "A2", "wearer_id": "W2"}]}
    (files / "clash.json").write_text(json.dumps(clash))
    refused = emtrack("orders", "import", files / "clash.json", **there)
    assert refused.returncode == 2
    assert "overlaps activation 'A1' of the same device" in refused.stderr
    found = emtrack("findings", "--until", UNTIL, **there)
    assert found.returncode == 0, found.stderr
    exported = emtrack("export", files / "exported", **there)
    assert exported.returncode == 0, exported.stderr
    same = emtrack(
        "evaluate", "--orders", files / "exported/orders.json", "--positions", files / "exported/positions.csv",
        "--events", files / "exported/events.csv", "--until", UNTIL,
    )  # fmt: skip
    assert (same.returncode, same.stdout) == (0, found.stdout)


def test_keys_that_could_not_be_written_are_not_made(database_url: str, files: Path) -> None:
    there = {"EMTRACK_DATABASE_URL": database_url}
    ran = emtrack("orders", "import", files / "orders.json", "--keys-out", files / "none/keys.json", **there)
    assert ran.returncode == 2, ran.stderr
    assert "Traceback" not in ran.stderr
    again = emtrack("orders", "import", files / "orders.json", "--dry-run", **there)
    assert "device entered" in again.stderr, "nothing was entered before"


def test_events_of_a_file_count_and_no_event_is_needed(files: Path) -> None:
    tamper = event(0, "19:12", "STRAP_TAMPER")
    (files / "events.csv").write_text(f"device_id,event_time,type\nD1,{tamper['event_time']},STRAP_TAMPER\n")
    ran = evaluate(files, "positions.csv", "--events", files / "events.csv")
    assert [json.loads(line)["kind"] for line in ran.stdout.splitlines()] == ["CURFEW", "TAMPER"]


def test_the_program_says_which_version_it_is() -> None:
    ran = CliRunner().invoke(app, ["--version"])
    assert (ran.exit_code, ran.stdout) == (0, f"emtrack {version('emtrack')}\n")


def test_a_table_in_a_pipe_is_neither_cut_nor_marked_up(capsys: pytest.CaptureFixture[str]) -> None:
    name = "[bold]" + "d" * 300
    print_table(("device", "keys"), [(name, 1), ("D2", 12)])
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.split() == ["device", "keys"]
    assert second.split() == [name, "1"]
    assert third.split() == ["D2", "12"]
    assert len(third.rstrip()) == len(second.rstrip()), "numbers stand to the right"


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in COLUMNS}
    pq.write_table(pa.table(columns), path, row_group_size=2)


def test_a_sweep_of_parquet_finds_what_evaluate_finds_and_says_what_it_did(files: Path) -> None:
    bad = FIXES[0] | {"lat_deg": 91.0}
    write_parquet(files / "one.parquet", FIXES[:4])
    write_parquet(files / "two.parquet", [bad, *FIXES[4:]])
    ran = emtrack(
        "sweep", "--orders", files / "orders.json", "--positions", files / "one.parquet", "--positions", files / "two.parquet",
        "--until", UNTIL, "--out", files / "findings.jsonl", "--refusals", files / "refusals.jsonl",
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, "")
    assert (files / "findings.jsonl").read_text() == evaluate(files).stdout
    (refusal,) = map(json.loads, (files / "refusals.jsonl").read_text().splitlines())
    assert (refusal["file"], refusal["line"], refusal["reason"]) == ("two.parquet", 1, "bad_coordinate")
    assert "8  rows read, 1 refused; 7 positions are evidence" in ran.stderr
    assert "positions a second in the judge" in ran.stderr
    assert "not looked for: APPROACH, ATTENDANCE, UNVERIFIED, NO_COMMUNICATION" in ran.stderr


def test_a_sweep_refuses_what_it_cannot_judge(files: Path) -> None:
    ran = emtrack(
        "sweep", "--orders", files / "orders.json", "--positions", files / "positions.csv", "--until", UNTIL
    )
    assert ran.returncode == 2
    assert "positions.csv: a sweep reads Parquet (.parquet); judge other files with `emtrack evaluate`" in ran.stderr
    write_parquet(files / "p.parquet", FIXES)
    given = orders(1)
    given["requirements"][0]["buffer_m"] = 100
    given["requirements"][0]["kind"] = "EXCLUSION"
    (files / "orders.json").write_text(json.dumps(given))
    ran = emtrack("sweep", "--orders", files / "orders.json", "--positions", files / "p.parquet", "--until", UNTIL)
    assert ran.returncode == 0
    assert "1  requirements have a buffer, of which a sweep says nothing (APPROACH)" in ran.stderr


HEAVY = {
    "aiohttp", "argon2", "asyncio", "asyncpg", "geopandas", "jinja2", "llvmlite", "matplotlib", "numba", "numpy", "pandas", "pyarrow",
    "pyogrio", "pyproj", "shapely", "starlette", "structlog", "uvicorn", "uvloop",
}  # fmt: skip
LOADED = """
import subprocess
import sys
from emtrack.cli import main
sys.argv = ["emtrack", *sys.argv[1:]]
try:
    main()
finally:
    print(*{name.partition(".")[0] for name in sys.modules}, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("serve", "--help"), ("zones", "check", "--help")]
)
def test_who_asks_for_help_waits_for_nothing_heavy(arguments: tuple[str, ...]) -> None:
    ran = subprocess.run([sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=True)
    assert "emtrack" in ran.stdout
    loaded = set(ran.stderr.split())
    assert "typer" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["as usual", "as in many containers"])
def test_all_of_a_long_result_comes_through_a_pipe_that_is_read_late(unbuffered: str) -> None:
    """A pipe holds 64 KiB, and just after a fast loop ran the kernel may take no more of what is written at once."""
    command = (
        "import asyncio, uvloop; from emtrack.cli import main; from emtrack.cli.saying import write_result;"
        "main.__globals__['app'] = lambda: (uvloop.run(asyncio.sleep(0)), write_result(b'x' * 3_000_000)); main()"
    )
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        with pytest.raises(subprocess.TimeoutExpired):  # nobody reads on: it waits
            process.wait(timeout=0.5)
        assert len(first + process.stdout.read()) == 3_000_000
    assert process.returncode == 0
