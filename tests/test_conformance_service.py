"""The published cases through the running service: real turns on a real database, with repetitions and out of order.

What is received at one instant comes in any order and any portions; earlier facts come again later. (Facts are not moved to
another receipt: silence and "ahead of its receipt" rest on it.)
"""

from __future__ import annotations

import asyncio
import csv
import json
import random
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from emtrack.files.evaluate import evaluate
from emtrack.forms.reading import read_orders
from geofence.words import format_instant, parse_instant
from tests.db_fixtures import TEMPLATE, TestServer
from tests.scenarios.stage import empty_deployment
from tests.service_world import World
from tests.test_conformance import CASES, each_case, events_of

FIELDS = (
    "wearer_id",
    "activation_id",
    "requirement_id",
    "kind",
    "reason",
    "begin",
    "end",
    "known_at",
    "within_grace",
)


@pytest.fixture(scope="module")
def stage_url(embedded_test_server: TestServer) -> Iterator[str]:
    with asyncio.Runner() as runner:
        dsn = runner.run(embedded_test_server.create("cases", TEMPLATE))
        yield dsn
        runner.run(embedded_test_server.drop("cases"))


def reports_of(case: Path) -> list[tuple[int, str, dict[str, Any]]]:
    """Receipt, device and report of each row that the command does not refuse."""
    events = events_of(case)
    orders = read_orders((case / "orders.json").read_text(), "orders.json")
    until_ms = parse_instant((case / "until.txt").read_text().strip())
    refused = {(r.file, r.line) for r in evaluate(orders, case / "positions.csv", events, until_ms).refused}
    found = []
    for path in filter(None, (case / "positions.csv", events)):
        with path.open() as file:
            for line, row in enumerate(csv.DictReader(file), 2):
                if (path.name, line) not in refused:
                    found.append(_report({key: value for key, value in row.items() if value}))
    return found


def _report(row: dict[str, str]) -> tuple[int, str, dict[str, Any]]:
    if "type" in row:
        report: dict[str, Any] = {"type": "event", "event": row["type"], "event_time": row["event_time"]}
        if "requirement_id" in row:
            report["hmu_id"] = row["requirement_id"]
        own = row["event_time"]
    else:
        numbers = ("lat_deg", "lon_deg", "precision_m")
        report = {name: float(row[name]) for name in numbers if name in row}
        report |= {"type": "position", "fix_time": row["fix_time"], "mechanism": row["mechanism"]}
        own = row["fix_time"]
    return parse_instant(row.get("received_time", own)), row["device_id"], report


async def play(
    world: World, reports: list[tuple[int, str, dict[str, Any]]], rng: random.Random, until_ms: int
) -> None:
    numbered = [(at_ms, device, report | {"seq": seq}) for seq, (at_ms, device, report) in enumerate(reports, 1)]
    sent: list[tuple[str, dict[str, Any]]] = []
    for at_ms, group in groupby(sorted(numbered, key=lambda row: row[0]), key=lambda row: row[0]):
        if at_ms > until_ms:
            break
        fresh = [(device, report) for _, device, report in group]
        again = rng.sample(sent, min(len(sent), rng.choice([0, 0, 1, 3])))
        together = fresh + again
        rng.shuffle(together)
        world.clock.at_ms = at_ms
        for device, report in together:
            await world.submit(device, report)
            if rng.random() < 0.2:
                await world.turn()
        await world.turn()
        if rng.random() < 0.02:
            await world.start()
        sent += fresh
    world.clock.at_ms = until_ms
    await world.turn()


@each_case
async def test_a_case_through_the_service_gives_what_it_expects(case: Path, stage_url: str) -> None:
    form = json.loads((case / "orders.json").read_text())
    until_ms = parse_instant((case / "until.txt").read_text().strip())
    first_ms = min(parse_instant(activation["from"]) for activation in form["activations"])
    async with empty_deployment(stage_url, {}, first_ms) as world:
        await world.enter(form)
        await play(world, reports_of(case), random.Random(case.name), until_ms)
        shown = [{name: line[name] for name in FIELDS} for line in await world.lines()]
    expected = [json.loads(line) for line in (case / "expected.jsonl").read_text().splitlines()]
    assert shown == [{name: line[name] for name in FIELDS} for line in expected], format_instant(until_ms)


def test_there_are_cases() -> None:
    assert len(CASES) >= 50
