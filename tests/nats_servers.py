"""Real NATS servers for tests: one, or three that are a cluster, each in a process of its own, its files in a folder of the test."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emtrack.settings import StreamSetting
from tests.db_fixtures import temporary_data_dir

SERVER = Path(sys.executable).with_name("nats-server")
CONFIG = """
listen: 127.0.0.1:{port}
server_name: {name}
max_payload: 8MB
jetstream {{ store_dir: "{folder}", max_file_store: 2GB, {sync} }}
accounts {{
  EMTRACK {{ jetstream: enabled, users: [{{user: emtrack, password: stream-secret}}] }}
  SYS {{ users: [{{user: system, password: system-secret}}] }}
}}
system_account: SYS
{cluster}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """One of them."""

    def __init__(self, folder: Path, name: str, port: int, cluster: str, sync: str) -> None:
        self.name, self.port = name, port
        self._folder = folder
        self._config = folder / f"{name}.conf"
        self._config.write_text(CONFIG.format(port=port, name=name, folder=folder / name, sync=sync, cluster=cluster))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen([str(SERVER), "-c", str(self._config)], stdout=log, stderr=log)
        for _ in range(400):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert self.process.poll() is None, (self._folder / f"{self.name}.log").read_text()
            time.sleep(0.025)  # another process: there is nothing to wait on but its port
        raise AssertionError("the NATS server did not start")

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait()

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Servers:
    def __init__(self, folder: Path, all_of_them: list[Server]) -> None:
        self.folder = folder
        self.all = all_of_them
        (folder / "password").write_text("stream-secret\n")
        (folder / "system-password").write_text("system-secret\n")

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{server.port}" for server in self.all)
        return f"nats://emtrack@{places}?replicas={len(self.all)}&megabytes=512"

    @property
    def environment(self) -> dict[str, str]:
        """For programs."""
        return {
            "EMTRACK_STREAM": self.url,
            "EMTRACK_STREAM_PASSWORD_FILE": str(self.folder / "password"),
            "EMTRACK_STREAM_SYSTEM_PASSWORD_FILE": str(self.folder / "system-password"),
        }

    @property
    def setting(self) -> StreamSetting:
        places = tuple(f"nats://127.0.0.1:{server.port}" for server in self.all)
        return StreamSetting(
            places, "emtrack", "stream-secret", "system", "system-secret", len(self.all), 512 * 1024**2
        )


@contextmanager
def nats_servers(count: int = 1, sync: str = "sync_interval: always") -> Iterator[Servers]:
    """`sync`: how they write."""
    with temporary_data_dir("emtrack-test-nats-") as folder:
        folder.chmod(0o755)  # programs that left root read the passwords
        with _running(folder, count, sync) as servers:
            yield servers


@contextmanager
def _running(folder: Path, count: int, sync: str) -> Iterator[Servers]:
    ports, routes = [free_port() for _ in range(count)], [free_port() for _ in range(count)]
    found = []
    for place in range(count):
        others = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in routes)
        cluster = (
            f"cluster {{ name: test, listen: 127.0.0.1:{routes[place]}, routes: [{others}] }}" if count > 1 else ""
        )
        found.append(Server(folder, f"n{place + 1}", ports[place], cluster, sync))
    try:
        for server in found:
            server.start()
        yield Servers(folder, found)
    finally:
        for server in found:
            server.end()
