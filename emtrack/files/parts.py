"""Positions of many wearers, kept apart on the disk: so memory holds those of some at a time, in whatever order they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from emtrack.files.columns import FIXES, Fixes
from geofence.sweep import Received


class Parts:
    """Positions on the disk, a file for so many wearers."""

    def __init__(self, folder: Path, at_once: int) -> None:
        self._folder = folder
        self._at_once = at_once

    def add(self, fixes: Fixes) -> None:
        if not len(fixes):
            return
        part = fixes["activation"] // self._at_once
        order = np.argsort(part, kind="stable")
        numbers, begins = np.unique(part[order], return_index=True)
        for number, some in zip(numbers, np.split(fixes[order], begins[1:]), strict=True):
            with self._file(number).open("ab") as file:
                some.tofile(file)

    def taken(self, first: int) -> Fixes:
        """Those of the wearers from `first` on; their file is deleted."""
        path = self._file(first // self._at_once)
        if not path.exists():
            return np.empty(0, FIXES)
        fixes = np.fromfile(path, FIXES)
        path.unlink()
        return fixes

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.fixes"


def received_of(fixes: Fixes, first: int) -> Received:
    """In columns; wearers are called by the number of their plan less `first`."""
    return Received(
        (fixes["activation"] - first).astype(np.int32), fixes["mechanism"].astype(np.int8),
        *(fixes[name].copy() for name in ("fix_ms", "received_ms", "lat_deg", "lon_deg", "precision_m")),
    )  # fmt: skip
