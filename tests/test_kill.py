"""The service is killed again and again while tags send. What was acknowledged is there, once; and what was found is
what anybody finds who judges the stored facts from the beginning."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest

from emtrack.cli.emulation import PRESET
from emtrack.db.embedded import embedded_server
from emtrack.emulator.world import World, build_world
from geofence.words import parse_instant
from tests.service_world import with_provisional_ends

SEED, RATE = 7, 900


class Run(NamedTuple):
    """Tags of `wearers` people send for `hours` of the service's clock, which is RATE times as fast, and the service is
    killed `kills` times, each after some real seconds. At least so much must have come of it to say anything."""

    wearers: int
    hours: float
    kills: int
    between_s: tuple[float, float]
    reports: int
    findings: int

    @property
    def lasts_ms(self) -> int:
        return round(self.hours * 3_600_000)


TWO_KILLS = Run(wearers=80, hours=4, kills=2, between_s=(2, 5), reports=4_000, findings=50)
NIGHT = Run(wearers=80, hours=15, kills=5, between_s=(3, 9), reports=10_000, findings=100)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """The programs of one deployment, each in a process of its own."""

    def __init__(self, data_dir: Path, scratch: Path, patience_s: float = 120) -> None:
        self.scratch = scratch
        self.patience_s = patience_s
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("EMTRACK_")} | {
            "EMTRACK_DATA_DIR": str(data_dir),
            "EMTRACK_LISTEN": f"127.0.0.1:{_free_port()}",
            "EMTRACK_CLOCK": f"2026-03-02T16:30:00Z×{RATE}",
            "EMTRACK_LOG_LEVEL": "warning",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        log = (self.scratch / f"{arguments[0]}.log").open("a")
        return subprocess.Popen(
            [sys.executable, "-m", "emtrack", *arguments], env=self.environment, stderr=log, text=True
        )

    def output(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "emtrack", *arguments],
            env=self.environment, capture_output=True, text=True, timeout=self.patience_s,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def judged_again(self) -> str:
        """The findings that `evaluate` makes of the export, at the instant to which the service had judged."""
        folder = self.scratch / "export"
        self.output("export", str(folder))
        until = (folder / "until.txt").read_text().strip()
        names = {"--orders": "orders.json", "--positions": "positions.csv", "--events": "events.csv"}
        files = [part for option, name in names.items() for part in (option, str(folder / name))]
        return self.output("evaluate", *files, "--until", until)

    def wait_until_ready(self, service: subprocess.Popen[str]) -> None:
        url = f"http://{self.environment['EMTRACK_LISTEN']}/readyz"
        for _ in range(2_400):  # on a busy machine it may have kernels to compile
            assert service.poll() is None, (self.scratch / "serve.log").read_text()
            try:
                with urllib.request.urlopen(url, timeout=1) as answer:
                    assert answer.status == 200
                    return
            except OSError:
                time.sleep(0.05)  # another process: there is nothing to wait on but its port
        raise AssertionError("the service did not become ready")

    def wait_until_tags_send(self, emulator: subprocess.Popen[str]) -> str:
        """The instant from which on they do. A service that is not there when the emulator begins is its end."""
        for _ in range(1200):
            told = (self.scratch / "emulate.log").read_text()
            if match := re.search(r"from (\S+Z)", told):
                return match.group(1)
            assert emulator.poll() is None, told
            time.sleep(0.05)  # another process: there is nothing to wait on but what it says
        raise AssertionError("the emulator did not begin")


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def killed_and_restarted_while_tags_send(program: Program, run: Run) -> int:
    """The instant at which the tags began."""
    rng = random.Random(SEED)
    service = program.start("serve")
    program.wait_until_ready(service)
    log = str(program.scratch / "log")
    arguments = ("--wearers", str(run.wearers), "--seed", str(SEED), "--hours", str(run.hours), "--log", log)
    with ended(program.start("emulate", *arguments)) as emulator:
        try:
            began = program.wait_until_tags_send(emulator)
            for _ in range(run.kills):
                time.sleep(rng.uniform(*run.between_s))  # a random moment is the point
                service.kill()
                service.wait()
                service = program.start("serve")
                program.wait_until_ready(service)
            assert emulator.wait(timeout=240) == 0, (program.scratch / "emulate.log").read_text()
        finally:
            service.kill()
            service.wait()
    return parse_instant(began)


Row = dict[str, Any]


async def rows(dsn: str, query: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


def content(report: Row) -> tuple[Any, ...]:
    """What a report says, in the terms of the tables."""
    if report["type"] == "event":
        return ("event", parse_instant(report["event_time"]), report["event"], report.get("hmu_id"))
    where = (report["lat_deg"], report["lon_deg"], report.get("precision_m"))
    return ("position", parse_instant(report["fix_time"]), report["mechanism"], *where)


POSITIONS = """
SELECT device_id, epoch_ms(fix_time) AS at, mechanism, lat_deg, lon_deg, precision_m
FROM (SELECT * FROM positions UNION ALL SELECT * FROM future_positions) p JOIN devices USING (device_no)
"""
EVENTS = """
SELECT device_id, epoch_ms(event_time) AS at, type, hmu_id
FROM device_events JOIN devices USING (device_no)
"""
COUNTS = """
SELECT c.*, (SELECT count(*) FROM positions p WHERE p.device_no = c.device_no)
          + (SELECT count(*) FROM future_positions p WHERE p.device_no = c.device_no)
          + (SELECT count(DISTINCT e.fact_id) FROM device_events e JOIN devices told USING (device_no)
             WHERE coalesce(e.sent_by, told.device_id) = d.device_id) AS rows_stored,
       (SELECT count(*) FROM quarantine q WHERE q.device_no = c.device_no) AS rows_refused
FROM device_counts c JOIN devices d USING (device_no)
"""


async def stored_contents(dsn: str) -> Counter[tuple[Any, ...]]:
    stored: Counter[tuple[Any, ...]] = Counter()
    for row in await rows(dsn, POSITIONS):
        stored[row["device_id"], "position", *tuple(row)[1:]] += 1
    for row in await rows(dsn, EVENTS):
        stored[row["device_id"], "event", *tuple(row)[1:]] += 1
    return stored


def acknowledged_contents(program: Program, run: Run, start_ms: int) -> list[tuple[Any, ...]]:
    """What the emulator was told is committed and not refused, in its own words: the world is made again by its seed."""
    lines = (program.scratch / "log" / "sent.ndjson").read_text().splitlines()
    acknowledged = {(r["device_id"], r["boot"], r["seq"]) for r in map(json.loads, lines) if r["refused"] is None}
    world = build_world(run.wearers, SEED, start_ms, preset=PRESET)
    return [
        told
        for upload in world.uploads(start_ms, start_ms + run.lasts_ms)
        for report in upload.reports
        if (upload.device_id, upload.boot, report["seq"]) in acknowledged
        for told in told_by(world, upload.device_id, report)
    ]


def told_by(world: World, sender: str, report: Row) -> Iterator[tuple[Any, ...]]:
    """Of which device, and what: a home unit speaks of the tag that it names, or of all that it hears on its wearer."""
    kind, at_ms, *rest = content(report)
    if not sender.startswith("H"):
        yield sender, kind, at_ms, *rest
        return
    what = rest[0]
    named = sender if what.startswith(("RF", "HMU")) or what == "HEARTBEAT" else None
    heard = (worn for worn in world.activations if worn.wearer.hmu_id == sender)
    for worn in heard:
        is_worn = worn.begin_ms <= at_ms and (worn.end_ms is None or at_ms < worn.end_ms)
        is_meant = report["tag"] == worn.device_id if "tag" in report else not worn.by_alcohol_tag
        if is_worn and is_meant:
            yield worn.device_id, kind, at_ms, what, named


@pytest.mark.long  # a few kills of each kind are in tests/faults
@pytest.mark.parametrize("run", [TWO_KILLS, NIGHT], ids=["two kills", "a night"])
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
async def test_killed_at_random_moments_nothing_acknowledged_is_missing_nothing_is_twice_and_findings_are_those_of_the_facts(
    data_dir: Path, tmp_path: Path, run: Run
) -> None:
    program = Program(data_dir, tmp_path)
    start_ms = killed_and_restarted_while_tags_send(program, run)

    findings = program.output("findings").splitlines()
    assert with_provisional_ends(findings) == [json.loads(line) for line in program.judged_again().splitlines()]
    kinds = Counter(json.loads(line)["kind"] for line in findings)
    assert len(findings) >= run.findings, kinds
    assert len(kinds) >= 2, kinds

    async with embedded_server(data_dir, program="test", exclusive=False) as dsn:
        stored = await stored_contents(dsn)
        acknowledged = acknowledged_contents(program, run, start_ms)
        assert len(acknowledged) > run.reports
        assert [report for report in acknowledged if report not in stored] == []
        assert [report for report, times in stored.items() if times > 1] == []
        for row in await rows(dsn, COUNTS):
            assert row["received"] == row["stored"] + row["duplicates"] + row["refused"]
            assert (row["stored"], row["refused"]) == (row["rows_stored"], row["rows_refused"])
        outages = await rows(dsn, "SELECT * FROM outages")
        assert len(outages) >= run.kills
