"""A disk that is full, told so that a person knows which."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Final

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
SAYS_FULL: Final = "No space left on device"
"""PostgreSQL's own words, which name a file within its directory, if any."""


def disk_of(path: Path) -> str:
    """Which disk holds a path (or what there is of it), and how much of it is free, in a sentence."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    mount = next(folder for folder in (there, *there.parents) if folder.is_mount())
    usage = shutil.disk_usage(there)
    free_mb, all_mb = (round(count / 1_000_000) for count in (usage.free, usage.total))
    return f"{path} lies on the disk mounted at {mount}, of which {free_mb:,} of {all_mb:,} MB are free"


def room_needed(said: str, path: Path) -> str:
    """Which disk a server that ended means, if it said that one is full; else nothing."""
    return f"{disk_of(path)}. " if SAYS_FULL in said else ""
