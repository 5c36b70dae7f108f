"""The service as a program of its own, on an embedded database in a temporary folder, for as long as a benchmark takes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emtrack.logs import configure_logs
from emtrack.settings import Settings


@contextmanager
def served(folder: Path | None = None, **more: str) -> Iterator[Settings]:
    """How it is reached, once it says that it listens. `folder`: a data directory that is there. `more`: settings by their variables,
    such as EMTRACK_TLS."""
    configure_logs("warning")
    folder = folder or Path(tempfile.mkdtemp(prefix="emtrack-benchmark-"))
    settings = Settings(data_dir=folder, listen=f"127.0.0.1:{_free_port()}")
    environment = {
        **os.environ,
        "EMTRACK_DATA_DIR": str(folder),
        "EMTRACK_LISTEN": settings.listen,
        "EMTRACK_LOG_LEVEL": "warning",
        **more,
    }
    environment.pop("EMTRACK_CLOCK", None)
    service = subprocess.Popen([sys.executable, "-m", "emtrack", "serve"], env=environment, stderr=subprocess.PIPE)
    try:
        assert service.stderr is not None
        for line in service.stderr:
            print(line.decode().strip(), file=sys.stderr)
            if b"listens" in line:
                break
        yield settings
    finally:
        service.terminate()
        service.wait(timeout=60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
