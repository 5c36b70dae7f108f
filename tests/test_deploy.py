"""What deploy/ says fits the program: names of metrics, settings, roles; and the doctor looks without changing anything."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from emtrack.db.primary import servers_of
from emtrack.db.rights import RunTime
from emtrack.metrics import Metrics
from emtrack.service.app import refuse_without_tls
from emtrack.service.examination import examine, worst
from emtrack.service.health import Health
from emtrack.service.tracker_doors import refuse_unspoken
from emtrack.settings import Settings, read_settings
from tests.command_line import emtrack_aside

DEPLOY = Path(__file__).parent.parent / "deploy"
pytestmark = pytest.mark.skipif(not DEPLOY.is_dir(), reason="deploy/ stands in the repository only")


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    board = json.loads((DEPLOY / "grafana/emtrack.json").read_text())
    asked = set(re.findall(r"\bemtrack_\w+", json.dumps([panel["targets"] for panel in board["panels"]])))
    there = {
        f"{family.name}{suffix}"
        for family in Metrics().registry.collect()
        for suffix in ("", "_total", "_bucket", "_sum", "_count")
    }
    assert asked
    assert asked <= there


def test_every_setting_in_deploy_is_one() -> None:
    text = "".join(path.read_text() for path in DEPLOY.iterdir() if path.is_file())
    named = set(re.findall(r"\bEMTRACK_([A-Z_]+)\b", text)) - {"PASSWORD"}
    assert {name.lower() for name in named} <= set(Settings.__struct_fields__)


def test_each_door_of_trackers_in_deploy_is_spoken_and_its_port_is_published() -> None:
    text = (DEPLOY / "compose.trackers.yaml").read_text()
    (asked,) = re.findall(r"EMTRACK_TRACKERS: (\S+)", text)
    listeners = read_settings({"EMTRACK_TRACKERS": asked}).trackers
    refuse_unspoken(listeners)
    published = re.findall(r":(\d+):(\d+)(/udp)?\"$", text, re.MULTILINE)
    assert [(str(door.port), str(door.port), "/udp" * door.is_datagram) for door in listeners] == published


def test_what_stands_ready_for_systemd_can_be_read() -> None:
    lines = (DEPLOY / "emtrack.env.example").read_text().splitlines()
    given = [line.lstrip("#").partition("=") for line in lines if re.match(r"#?EMTRACK_\w+=", line)]
    settings = read_settings({name: value for name, _, value in given})
    refuse_unspoken(settings.trackers)
    refuse_without_tls(settings)
    assert len(servers_of(settings.database_url or "")) == 2


def test_the_service_on_a_machine_of_its_own_is_that_of_one_machine_but_for_the_database() -> None:
    whole, apart = ((DEPLOY / name).read_text().splitlines() for name in ("compose.yaml", "compose.apart.yaml"))
    services = whole[whole.index("  emtrack:") :]
    of_the_database = ("database", "DATABASE_URL", "state:/var", "inside")
    other = [line for line in services if line not in apart and not any(word in line for word in of_the_database)]
    assert other == []
    assert "  database:" not in apart


def test_the_roles_of_the_compose_file_are_those_of_the_program() -> None:
    script = (DEPLOY / "postgres-roles.sh").read_text()
    assert all(f"CREATE ROLE {role}" in script for role in RunTime)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize("name", ["emtrack.service", "emtrack-retention.service", "emtrack-retention.timer"])
def test_systemd_can_read_the_unit(name: str, tmp_path: Path) -> None:
    for path in [*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")]:
        unit = path.read_text().replace("/opt/emtrack/.venv/bin/emtrack", "/bin/true")
        (tmp_path / path.name).write_text(unit)
    ran = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / name)], capture_output=True, text=True, check=False
    )
    assert "Unknown" not in ran.stderr
    assert "Failed to parse" not in ran.stderr


def test_what_is_compiled_is_kept_where_units_and_image_may_write() -> None:
    """Numba's own variable counts for nothing: where kernels lie is decided by the program."""
    assert "Environment=XDG_CACHE_HOME=/var/cache\n" in (DEPLOY / "emtrack.service").read_text()
    assert "ENV XDG_CACHE_HOME=/tmp/cache\n" in (DEPLOY / "Dockerfile").read_text()
    assert not any("NUMBA_CACHE_DIR" in path.read_text() for path in DEPLOY.iterdir() if path.is_file())


async def test_the_doctor_finds_what_is_wrong_and_changes_nothing(database_url: str, tmp_path: Path) -> None:
    looks = {
        look.what: look for look in await examine(Settings(data_dir=tmp_path / "data", database_url=database_url))
    }
    assert looks["database"].health is Health.GOOD
    assert looks["migrations"].health is Health.GOOD
    assert looks["roles"].health is Health.GOOD
    assert (looks["durability"].health, "fsync = off" in looks["durability"].words) == (Health.BAD, True)
    assert worst(list(looks.values())) == 1
    assert not (tmp_path / "data").exists()


async def test_a_database_that_is_away_is_one_of_its_findings(tmp_path: Path) -> None:
    settings = {"EMTRACK_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none", "EMTRACK_DATA_DIR": str(tmp_path)}
    ran = await emtrack_aside("doctor", **settings)
    assert ran.returncode == 1
    assert "No connection to PostgreSQL" in ran.stdout


async def test_the_doctor_makes_no_database(tmp_path: Path) -> None:
    ran = await emtrack_aside("doctor", EMTRACK_DATA_DIR=str(tmp_path / "new"))
    assert "the first start makes it" in ran.stdout
    assert not (tmp_path / "new").exists()
