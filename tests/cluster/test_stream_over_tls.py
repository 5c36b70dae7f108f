"""The NATS servers as deploy/ has them: three over TLS, and what a client tells a server that has none."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import re
import subprocess
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_orders
from emtrack.service.gateway import running_gateway
from emtrack.service.shard_worker import running_worker
from emtrack.settings import Settings, StreamSetting
from emtrack.stream import server as stream_server
from emtrack.stream.server import StreamUnfit, opened_stream
from tests.cluster.test_same_tables import PACE, settings_of
from tests.db_fixtures import temporary_data_dir
from tests.nats_servers import SERVER, free_port
from tests.service_world import orders, position

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
pytestmark = pytest.mark.skipif(not DEPLOY.is_dir(), reason="deploy/ stands in the repository only")


def write_certificate(folder: Path) -> None:
    """One of localhost, signed by itself, as ca.pem and nats.pem with nats.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    for file in ("ca.pem", "nats.pem"):
        (folder / file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "nats.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@contextmanager
def servers_of_deploy(folder: Path) -> Iterator[list[int]]:
    """Three with deploy/nats.conf, of which only folders and listening addresses are others. Their ports."""
    write_certificate(folder)
    ports, routes = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
    names = ("ONE", "TWO", "THREE")
    environment = {f"NATS_ROUTE_{n}": f"nats-route://localhost:{port}" for n, port in zip(names, routes, strict=True)}
    environment |= {f"NATS_{user.upper()}_PASSWORD": f"{user}-secret" for user in ("gateway", "worker", "system")}
    text = (DEPLOY / "nats.conf").read_text().replace("/tls/", f"{folder}/")
    running = []
    try:
        for place, name in enumerate(names):
            config = folder / f"{name}.conf"
            config.write_text(
                text.replace("0.0.0.0:4222", f"127.0.0.1:{ports[place]}")
                .replace("0.0.0.0:6222", f"127.0.0.1:{routes[place]}")
                .replace("/data", f"{folder}/{name}")
            )
            with (folder / f"{name}.log").open("ab") as log:
                started = subprocess.Popen(
                    [str(SERVER), "-c", str(config)],
                    env=os.environ | environment | {"NATS_NAME": name},
                    stdout=log,
                    stderr=log,
                )
            running.append(started)
        yield ports
    finally:
        for process in running:
            process.kill()
            process.wait()


def setting_of(ports: list[int], user: str = "gateway") -> StreamSetting:
    servers = tuple(f"tls://localhost:{port}" for port in ports)
    return StreamSetting(servers, user, f"{user}-secret", "system", "system-secret", len(ports), 512 * 1024**2)


async def until_opened(setting: StreamSetting) -> stream_server.Stream:
    """They need a moment to choose a leader."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(StreamUnfit):
                return await opened_stream(setting, setting.user or "")


async def refusals(stream: stream_server.Stream, *attempts: Coroutine[Any, Any, Any]) -> list[str]:
    """What the server refused of what was tried, in lower case."""
    told: list[str] = []

    async def tell(error: Exception) -> None:
        told.append(str(error).lower())

    stream.client._error_cb = tell  # the library has no other way to change it
    for attempt in attempts:
        with contextlib.suppress(Exception):
            await attempt
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            while len(told) < len(attempts):  # noqa: ASYNC110  the client tells of them by itself
                await asyncio.sleep(0.05)
    return [one for one in told if "permissions violation" in one]


async def test_three_servers_with_the_file_of_deploy_are_one_stream_over_tls_and_each_part_may_do_its_own(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = read_orders(json.dumps(orders(1)), "orders")
    keys = (await import_orders(settings_of(database_url, tmp_path), form, who="test", dry_run=False)).keys
    with temporary_data_dir("emtrack-test-nats-") as folder, servers_of_deploy(folder) as ports:
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
        gateway = await until_opened(setting_of(ports, "gateway"))
        worker = await until_opened(setting_of(ports, "worker"))
        settings = settings_of(database_url, tmp_path)
        try:
            assert (await gateway.js.stream_info(stream_server.NAME)).config.num_replicas == 3
            async with (
                running_worker(stream_of(settings, setting_of(ports, "worker")), asyncio.Event(), PACE),
                running_gateway(stream_of(settings, setting_of(ports, "gateway")), asyncio.Event()) as running,
                aiohttp.ClientSession(running.address) as http,
            ):
                assert await acknowledged(http, keys["D1"]) == [1]
            name, request = stream_server.NAME, gateway.client.request
            assert (
                len(
                    await refusals(
                        gateway, gateway.client.subscribe("emtrack.>"), gateway.client.subscribe("_INBOX.worker.>")
                    )
                )
                == 2
            )
            assert (
                len(
                    await refusals(
                        gateway,
                        *(
                            request(f"$JS.API.{what}", b"{}", timeout=0.3)
                            for what in (
                                f"CONSUMER.CREATE.{name}",
                                f"STREAM.PURGE.{name}",
                                f"STREAM.DELETE.{name}",
                                f"STREAM.UPDATE.{name}",
                                f"STREAM.MSG.GET.{name}",
                                f"DIRECT.GET.{name}",
                            )
                        ),
                    )
                )
                == 6
            )
            client = worker.client
            assert await worker.js.purge_stream(name, subject="emtrack.0.live")
            assert (
                len(
                    await refusals(
                        worker,
                        client.publish("emtrack.0.live", b"x"),
                        client.subscribe("emtrack.>"),
                        client.subscribe("_INBOX.gateway.>"),
                        client.publish(f"$JS.API.STREAM.DELETE.{name}", b""),
                        client.publish(f"$JS.API.STREAM.UPDATE.{name}", b"{}"),
                    )
                )
                == 5
            )
        finally:
            await gateway.client.close()
            await worker.client.close()


def stream_of(settings: Settings, stream: StreamSetting) -> Settings:
    return msgspec.structs.replace(settings, stream=stream)


async def acknowledged(http: aiohttp.ClientSession, key: str) -> list[int]:
    """What is, of a report that is sent until it is answered."""
    body = {"boot": 1, "reports": [position(1, "12:00")]}
    async with asyncio.timeout(30):
        while True:
            async with http.post(
                "/v1/devices/D1/reports", json=body, headers={"Authorization": f"Bearer {key}"}
            ) as answer:
                if answer.status == 200:
                    found: list[int] = (await answer.json())["ack"]
                    return found
            await asyncio.sleep(0.1)  # shards are being taken


def test_what_the_file_of_deploy_asks_for_is_given_by_its_compose_file() -> None:
    asked = set(re.findall(r"\$(NATS_\w+)", (DEPLOY / "nats.conf").read_text()))
    given = dict(re.findall(r"^ {6}(NATS_\w+): (\S.*)$", (DEPLOY / "compose.cluster.yaml").read_text(), re.M))
    assert asked == set(given)
    assert {given[f"NATS_ROUTE_{n}"] for n in ("ONE", "TWO", "THREE")} == {
        f"nats-route://${{NATS_{n}:?set it in deploy/.env}}:6222" for n in ("ONE", "TWO", "THREE")
    }


async def test_a_server_that_does_not_begin_with_tls_is_told_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":8388608,"auth_required":true}\r\n')
        with contextlib.suppress(OSError):
            while part := await reader.read(4096):
                heard.extend(part)
        writer.close()

    monkeypatch.setattr(stream_server, "CONNECTED_WITHIN_S", 1.0)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(StreamUnfit, match="handshake_first"):
            await opened_stream(setting_of([port]), "gateway")
    assert heard
    assert b"CONNECT" not in heard
    assert b"secret" not in heard
