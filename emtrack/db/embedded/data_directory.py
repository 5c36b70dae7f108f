"""What lies where below one data directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataDirectory:
    """The paths below one data directory."""

    data_dir: Path

    @classmethod
    def at(cls, data_dir: Path) -> DataDirectory:
        """The real path, as rights are asked for along it, and a server is known by it."""
        return cls(data_dir.resolve())

    @property
    def lock(self) -> Path:
        return self.data_dir / "emtrack.lock"

    @property
    def root(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def start_log(self) -> Path:
        return self.root / "start.log"

    @property
    def socket_note(self) -> Path:
        return self.root / "socket-directory"
