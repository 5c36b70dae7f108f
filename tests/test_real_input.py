"""Recordings that nobody here made, through the HTTP door on the service's clock (docs/real-input.md)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.service_world import with_provisional_ends
from tests.test_kill import Program, ended

ROOT = Path(__file__).parent.parent
BUSES = ROOT.parent / "shared" / "data" / "bods-liverpool-bus" / "route14_outbound.csv"
COLUMNS = (
    "--map", "vehicle_id=device_id", "--map", "timestamp=fix_time", "--map", "latitude=lat_deg",
    "--map", "longitude=lon_deg", "--map", "bearing=direction_deg", "--set", "mechanism=GPS", "--timezone", "UTC",
)  # fmt: skip


@pytest.mark.skipif(
    not BUSES.exists(), reason="needs ../shared/data/bods-liverpool-bus, which is not in the repository"
)
def test_buses_are_judged_online_as_in_a_batch(data_dir: Path, tmp_path: Path) -> None:
    program = Program(data_dir, tmp_path)
    program.environment["EMTRACK_CLOCK"] = "2026-01-26T15:50:00Z×900"
    with ended(program.start("serve")) as service:
        program.wait_until_ready(service)
        program.output(
            "replay", str(BUSES), "--orders", str(ROOT / "examples" / "liverpool-bus-orders.json"), *COLUMNS
        )
        service.terminate()
        assert service.wait(timeout=30) == 0
    findings = program.output("findings")
    judged_again = [json.loads(line) for line in program.judged_again().splitlines()]
    assert with_provisional_ends(findings.splitlines()) == judged_again
    kinds = Counter(json.loads(line)["kind"] for line in findings.splitlines())
    assert (kinds["EXCLUSION"], kinds["APPROACH"]) == (24, 15)
