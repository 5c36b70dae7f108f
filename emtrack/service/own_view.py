"""A view of the file system for this process and those it starts (Linux, a mount namespace), in which closed folders hold nothing but
some paths, to be read."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _SLAVE = 1, 2, 4, 32, 4096, 16384, 1 << 19


class NoView(Exception):
    """It cannot be made for these paths."""


def show_only(closed: Collection[Path], shown: Sequence[Path]) -> None:
    """From here on each closed folder has nothing in it but those of the shown paths that lie there, as they are and read-only. Other
    processes see all as before. Raises NoView, or OSError where the system does not allow it."""
    inside = [path for path in _outermost(shown) if any(path.is_relative_to(folder) for folder in closed)]
    if bare := sorted(set(inside) & set(closed)):
        raise NoView(f"{bare[0]} itself is closed")
    libc = ctypes.CDLL(None, use_errno=True)
    with ExitStack() as opened:
        _checked(libc.unshare(_CLONE_NEWNS))
        _mount(libc, "none", "/", _REC | _SLAVE)  # what is mounted here is seen by nobody else
        places = {path: opened.enter_context(_place(path)) for path in inside}  # of this view, not of the one before
        for folder in sorted(closed):
            _mount(libc, "tmpfs", str(folder), _NOSUID | _NODEV, "tmpfs", "mode=0755,size=1m")
        for path, place in places.items():
            _stand_in(path, place)
            _mount(libc, f"/proc/self/fd/{place}", str(path), _BIND | _REC)
            if path.is_dir():
                _mount(libc, "none", str(path), _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
        for folder in sorted(closed):
            _mount(libc, "none", str(folder), _REMOUNT | _RDONLY | _NOSUID | _NODEV)


def _outermost(paths: Sequence[Path]) -> Iterator[Path]:
    """Without those that lie within another."""
    for path in dict.fromkeys(paths):
        if not any(other != path and path.is_relative_to(other) for other in paths):
            yield path


@contextmanager
def _place(path: Path) -> Iterator[int]:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        yield place
    finally:
        os.close(place)


def _stand_in(path: Path, place: int) -> None:
    """Something to mount on, of the same kind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.isdir(f"/proc/self/fd/{place}"):
        path.mkdir(exist_ok=True)
    else:
        path.touch()


def _mount(
    libc: ctypes.CDLL, source: str, target: str, flags: int, kind: str | None = None, data: str | None = None
) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, data)]
    _checked(libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]))


def _checked(answer: int) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
