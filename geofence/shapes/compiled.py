"""`@kernel`: numba's jit with a cache on disk that can never serve stale code.

Numba looks at the file of a function, not at those of the functions that it calls, so a helper that changed in another
file would go on being used as it was: evidence would be judged by old rules. Here the folder of the cache is named by a
hash of the sources of all kernels and of the version of numba, so that code from other sources is never even seen.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

_HERE = Path(__file__).parent
_PREFIX = "kernels-"


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
    """Where the compiled kernels of exactly these sources are kept: beside them, or else in the user's cache."""
    name = _PREFIX + sources_hash(_HERE)
    beside = _HERE / "__pycache__" / name
    try:
        beside.mkdir(parents=True, exist_ok=True)
        if os.access(beside, os.W_OK):
            _forget_others(beside)
            return beside
    except OSError:
        pass
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emtrack" / name


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
