"""`@kernel`: numba's jit with a cache on disk that can never serve stale code.

Numba looks at the file of a function, not at those of the functions that it calls, so a helper that changed in another
file would go on being used as it was: evidence would be judged by old rules. Here the folder of the cache is named by a
hash of the sources of all kernels and of the version of numba, so that code from other sources is never even seen.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

_HERE = Path(__file__).parent
_PREFIX = "kernels-"
_PRIVATE, _READABLE = 0o700, 0o755
"""A service that root starts works as another, who takes along what root compiled."""


def kernel(function: Callable[..., Any]) -> Any:
    """Compile `function` when it is first called, without the interpreter's lock, or take it from the cache.

    Kernels own no memory: without numba's run time, arrays that are handed on to other kernels are not counted, which would
    put atomic operations into hot loops (twice as slow on personal zones). NUMBA_DISABLE_JIT=1 leaves plain Python.
    """
    return _jitted(function, cache=True)


def piece(function: Callable[..., Any]) -> Any:
    """As `kernel`, for what kernels are made of. It has no place of its own on the disk, because it is compiled into them: sixty
    of those would cost half a second at each start."""
    return _jitted(function, cache=False)


def _jitted(function: Callable[..., Any], *, cache: bool) -> Any:
    config: Any = numba.config
    jit: Any = numba.njit
    before = config.CACHE_DIR
    config.CACHE_DIR = str(cache_folder())  # looked at while the decorator runs, and by nobody after it
    try:
        return jit(cache=cache, nogil=True, _nrt=False)(function)
    finally:
        config.CACHE_DIR = before


@cache
def cache_folder() -> Path:
    """Where the compiled kernels of exactly these sources are kept: beside them, or else in the user's cache, or else in a folder
    that ends with the program. What lies in it is run, so it is a place that nobody else may write to."""
    name = _PREFIX + sources_hash(_HERE)
    return chosen_folder(_HERE / "__pycache__" / name, _users_cache() / "emtrack" / name)


def chosen_folder(beside: Path, users: Path) -> Path:
    """The first of the two that can be made and is ours alone. What was compiled beside the sources by somebody whom we believe is
    taken along to the second."""
    if _is_made(beside) and os.access(beside, os.W_OK):
        _forget_others(beside)
        return beside
    if not users.exists() and _is_believed(beside):
        _take_along(beside, users)
    if _is_made(users) and os.access(users, os.W_OK):
        return users
    folder = Path(tempfile.mkdtemp(prefix="emtrack-kernels-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _users_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())


def _is_made(folder: Path) -> bool:
    """Whether it is there, made if need be, and believed. One of ours that others could write to is made anew."""
    try:
        if folder.is_dir() and folder.lstat().st_uid == os.geteuid() and not _is_believed(folder):
            shutil.rmtree(folder)
        folder.parent.mkdir(mode=_READABLE, parents=True, exist_ok=True)
        folder.mkdir(mode=_mode(), exist_ok=True)
    except OSError:
        return False
    return _is_believed(folder)


def _mode() -> int:
    """Of a new folder. What numba puts in it has the modes of the process: where those let others write, they may not enter."""
    lax = os.umask(0o077)
    os.umask(lax)
    return _READABLE if os.geteuid() == 0 and lax & 0o022 == 0o022 else _PRIVATE


def _is_believed(folder: Path) -> bool:
    """Whether only we or root can have put anything into the folder, or another in its place. Of a folder that others may not even
    enter it does not matter what is open inside."""
    ours = {0, os.geteuid()}
    try:
        top, above = folder.lstat(), folder.parent.stat()
        if not {top.st_uid, above.st_uid} <= ours or not stat.S_ISDIR(top.st_mode) or above.st_mode & stat.S_IWOTH:
            return False
        inside = [top, *(path.lstat() for path in folder.rglob("*"))]
    except OSError:
        return False
    if stat.S_IMODE(top.st_mode) == _PRIVATE:
        return True
    return all(each.st_uid in ours and not stat.S_ISLNK(each.st_mode) and not each.st_mode & 0o022 for each in inside)


def _take_along(beside: Path, users: Path) -> None:
    """A copy that appears whole or not at all."""
    try:
        users.parent.mkdir(mode=_READABLE, parents=True, exist_ok=True)
        copy = Path(tempfile.mkdtemp(prefix="new-", dir=users.parent))
        shutil.copytree(beside, copy, dirs_exist_ok=True)
        copy.rename(users)
    except OSError:  # it is compiled again
        return


def sources_hash(folder: Path, *more: str) -> str:
    """16 hexadecimal digits that change when any kernel, or numba, or one of some more files does."""
    digest = hashlib.blake2b(numba.__version__.encode(), digest_size=8)
    for path in [*sorted(folder.glob("kernels*.py")), *(folder / name for name in more)]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _forget_others(folder: Path) -> None:
    """Caches of what stood here before: nothing can ever use them."""
    for other in folder.parent.glob(_PREFIX + "*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
