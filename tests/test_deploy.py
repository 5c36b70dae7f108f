"""What deploy/ says fits the program: names of metrics, settings, roles; and the doctor looks without changing anything."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

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


# --------------------------------------------------------------------------------------------- the proxy of several machines

NGINX = shutil.which("nginx")
OF_A_GATEWAY = r"^/v1/devices/[^/]+/reports$"


def test_the_proxy_of_several_machines_leads_devices_on_and_in_no_ring() -> None:
    """To the gateway here, then to the second machine's, then to the third's, each by what its environment says."""
    theirs, for_others = (DEPLOY / "nginx.cluster.conf").read_text().split("\nserver {")[1:]
    led = re.findall(
        r"location (@?\S+|~ \S+) \{[^}]*?proxy_pass (\S+);[^}]*?error_page 502 503 504 = (@\w+);", theirs
    )
    assert led == [
        (f"~ {OF_A_GATEWAY}", "http://gateway:8040", "@second"),
        ("/check-in/", "http://gateway:8040", "@second"),
        ("@second", "https://${GATEWAY_SECOND}:8443", "@third"),
    ]
    assert "proxy_request_buffering off" not in theirs[: theirs.index("location / {")]
    assert set(re.findall(r"proxy_pass (\S+);", for_others)) == {"http://gateway:8040"}
    assert "error_page" not in for_others
    compose, example = (DEPLOY / "compose.cluster.yaml").read_text(), (DEPLOY / "env.example").read_text()
    for name in set(re.findall(r"\$\{(\w+)\}", theirs)):
        assert f"{name}: ${{{name}:?" in compose
        assert f"\n{name}=" in example


class Gateway:
    """What answers as a gateway does, and nothing more."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.heard: list[tuple[str, str]] = []
        self.port = 0

    async def __aenter__(self) -> Gateway:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.heard.append((await request.text(), request.headers["X-Forwarded-For"]))
        return web.Response(status=self.status, text=f"{self.status}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def proxy_of(folder: Path, gateway: int, ports: tuple[int, int], others: Sequence[int]) -> str:
    """The file as it is, with addresses of a test. `ports`: of devices, and of the other proxies."""
    text = (DEPLOY / "nginx.cluster.conf").read_text().replace("    http2 on;\n", "")  # of 1.25
    text = text.replace("http://gateway:8040", f"http://127.0.0.1:{gateway}").replace(
        "http://pages:8040", "http://127.0.0.1:9"
    )
    text = text.replace("/etc/nginx/tls", str(folder)).replace("listen 443 ", f"listen 127.0.0.1:{ports[0]} ")
    text = text.replace("listen 8443 ", f"listen 127.0.0.1:{ports[1]} ")
    for name, other in zip(("GATEWAY_SECOND", "GATEWAY_THIRD"), others, strict=True):
        text = text.replace(f"${{{name}}}:8443", f"localhost:{other}")
    temporary = "".join(
        f"{what}_temp_path {folder}/{what};\n" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    own = "user root;" if os.geteuid() == 0 else ""
    return (
        f"daemon off;\n{own}\nerror_log {folder}/error.log;\npid {folder}/{ports[0]}.pid;\nevents {{}}\n"
        f"http {{\naccess_log {folder}/access.log;\n{temporary}{text}}}\n"
    )


@contextmanager
def proxies(folder: Path, gateways: Sequence[int]) -> Iterator[int]:
    """Three of them, each beside its gateway. The port at which devices reach the first."""
    for pair in (("cert.pem", "key.pem"), ("nats.pem", "nats.key")):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", pair[0], "-keyout", pair[1]],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
    shutil.copy(folder / "nats.pem", folder / "ca.pem")
    ports = [(free_port(), free_port()) for _ in gateways]
    running = []
    try:
        for place, gateway in enumerate(gateways):
            others = [ports[(place + step) % 3][1] for step in (1, 2)]
            config = folder / f"{place}.conf"
            config.write_text(proxy_of(folder, gateway, ports[place], others))
            assert NGINX is not None
            subprocess.run([NGINX, "-t", "-c", str(config)], check=True, capture_output=True)
            running.append(subprocess.Popen([NGINX, "-c", str(config)], stderr=subprocess.DEVNULL))
        yield ports[0][0]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=20)


async def post(port: int, body: str) -> tuple[int, str]:
    insecure = aiohttp.TCPConnector(ssl=False)
    async with aiohttp.ClientSession(connector=insecure) as http:
        for _ in range(100):
            try:
                async with http.post(f"https://localhost:{port}/v1/devices/D1/reports", data=body) as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)  # another program: it does not listen yet
    raise AssertionError("the proxy does not listen")


@pytest.mark.skipif(NGINX is None, reason="no nginx here")
async def test_what_one_gateway_does_not_take_the_next_is_given_and_what_one_answers_no_other_is(
    tmp_path: Path,
) -> None:
    body = "x" * 100_000  # more than is kept in memory
    async with Gateway(503) as one, Gateway(503) as two, Gateway(200) as three:
        with proxies(tmp_path, [one.port, two.port, three.port]) as port:
            assert await post(port, body) == (200, "200")
            assert one.heard == two.heard == three.heard == [(body, "127.0.0.1")]
            two.status = 401
            assert await post(port, body) == (401, "401"), "an answer is one, whatever it says"
            two.status = three.status = 503
            assert (await post(port, body))[0] == 503
            assert [len(gateway.heard) for gateway in (one, two, three)] == [3, 3, 2], "and no request goes round"
            one.status = 200
            assert await post(port, body) == (200, "200")
            assert [len(gateway.heard) for gateway in (one, two, three)] == [4, 3, 2]
