"""A disk that is full at the start: the message names it, so that somebody can make room."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from emtrack.db.connect import DatabaseUnavailable, told_which_disk
from emtrack.db.embedded import EmbeddedServerError, disk_of, embedded_server
from tests.test_embedded import start_and_stop


@pytest.fixture
def small_disk(data_dir: Path) -> Iterator[Path]:
    """A data directory on a disk of its own with 200 MB, where this machine lets us have one."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m,mode=755", "none", data_dir], check=False)
    if mounted.returncode != 0:
        pytest.skip("no disk of its own can be mounted here")
    try:
        yield data_dir
    finally:
        subprocess.run(["umount", data_dir], check=True)


def fill(disk: Path, left_bytes: int = 0) -> None:
    with (disk / "filler").open("wb") as file:
        try:
            while file.write(b"\0" * 65_536):
                file.flush()
        except OSError:
            pass
    with (disk / "filler").open("r+b") as file:
        file.truncate((disk / "filler").stat().st_size - left_bytes)


@pytest.mark.parametrize(
    "left_bytes", [0, 65_536, 4_000_000], ids=["nothing left", "for a file", "for some of initdb"]
)
async def test_a_new_directory_on_a_full_disk_says_which_disk_and_how_full(small_disk: Path, left_bytes: int) -> None:
    fill(small_disk, left_bytes)
    with pytest.raises(EmbeddedServerError, match=_named(small_disk)):
        await start_and_stop(small_disk)


async def test_a_server_that_finds_no_room_says_which_disk(small_disk: Path) -> None:
    await start_and_stop(small_disk)
    fill(small_disk)
    with pytest.raises(EmbeddedServerError, match=_named(small_disk)):
        await start_and_stop(small_disk)


async def test_a_statement_that_finds_no_room_says_which_disk(small_disk: Path) -> None:
    async def grow() -> None:
        async with embedded_server(small_disk, program="test", exclusive=True) as dsn:
            with told_which_disk(lambda: disk_of(small_disk)):
                connection = await asyncpg.connect(dsn)
                try:
                    fill(small_disk, 1_000_000)
                    await connection.execute(
                        "CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 9000)"
                    )
                finally:
                    (small_disk / "filler").unlink()
                    await connection.close()

    with pytest.raises(DatabaseUnavailable, match=_named(small_disk)):
        await grow()


def _named(disk: Path) -> str:
    return rf"(?s)the disk mounted at {disk}, of which \d+ of 210 MB are free"
