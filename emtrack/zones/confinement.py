"""Takes from this process what reading a file does not need: other files, the network, other programs, memory and time without end.

The kernel holds it (Linux): limits of resources, no capabilities, a Landlock rule for files and ports, and a filter of system calls.
What a kernel does not have is left out; the others hold. It cannot be taken back.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ADDRESS_SPACE_BYTES = 2 << 30
CPU_S = 60
LARGEST_FILE_BYTES = 200_000_000
OPEN_FILES = 128

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
_LIBRARIES = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/dev/null",
    "/dev/urandom",
    "/proc/self",
    "/sys/devices/system/cpu",
)


class Held(NamedTuple):
    """What holds besides the limits of resources."""

    files: bool
    calls: bool


def confine(folder: Path) -> Held:
    """From here on: files of `folder`, and the program's own to read; no sockets, no other programs."""
    _limit_resources()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return Held(files=False, calls=False)
    files = _confine_files(libc, folder)
    _drop_capabilities(libc)
    return Held(files=files, calls=_filter_calls(libc))


def _limit_resources() -> None:
    for limit, most in (
        (resource.RLIMIT_AS, ADDRESS_SPACE_BYTES),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, LARGEST_FILE_BYTES),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(limit)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))


# ---------------------------------------------------------------------------------------------- files: Landlock

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_FILE, _READ_DIR, _EXECUTE = 1 << 2, 1 << 3, 1 << 0
_FILE_ONLY = _EXECUTE | 1 << 1 | _READ_FILE | 1 << 14 | 1 << 15
_RIGHTS_OF_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_NEWEST_RIGHTS = (1 << 16) - 1
_BIND_AND_CONNECT = 3


def _confine_files(libc: ctypes.CDLL, folder: Path) -> bool:
    abi = libc.syscall(_CREATE_RULESET, None, 0, 1)
    if abi < 1:
        return False
    rights = _RIGHTS_OF_ABI.get(abi, _NEWEST_RIGHTS)
    ruleset = struct.pack("QQ", rights, _BIND_AND_CONNECT) if abi >= 4 else struct.pack("Q", rights)
    rules = libc.syscall(_CREATE_RULESET, ruleset, len(ruleset), 0)
    if rules < 0:
        return False
    _allow(libc, rules, [folder], rights & ~_EXECUTE)
    _allow(
        libc,
        rules,
        map(Path, (*_LIBRARIES, sys.prefix, sys.base_prefix, *_own_paths())),
        _READ_FILE | _READ_DIR | _EXECUTE,
    )
    is_held: bool = libc.syscall(_RESTRICT_SELF, rules, 0) == 0
    os.close(rules)
    return is_held


def _own_paths() -> list[str]:
    """Where modules are found: the program may stand outside its environment."""
    return [path for path in sys.path if path]


def _allow(libc: ctypes.CDLL, rules: int, paths: Iterable[Path], rights: int) -> None:
    for path in paths:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # not on this machine
            continue
        fitting = rights if path.is_dir() else rights & _FILE_ONLY
        libc.syscall(_ADD_RULE, rules, 1, struct.pack("=Qi", fitting, place), 0)
        os.close(place)


# ---------------------------------------------------------------------------------------------- capabilities


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Root without them is an owner of its files, and nothing more."""
    version_3, of_this_process = 0x20080522, 0
    libc.capset(struct.pack("Ii", version_3, of_this_process), struct.pack("6I", *([0] * 6)))


# ---------------------------------------------------------------------------------------------- system calls: seccomp


class _Numbers(NamedTuple):
    """Of a machine: its mark in `seccomp_data`, `clone`, `clone3`, and calls that are refused."""

    mark: int
    clone: int
    refused: tuple[int, ...]


_CLONE3 = 435
_NEWER = (424, 425, 428, 429, 430, 431, 432, 434, 438, 442)
"""The same on all: pidfd_send_signal, io_uring_setup, open_tree and others of mounts, pidfd_open, pidfd_getfd, mount_setattr."""
_MACHINES = {
    # socket, socketpair, connect, fork, vfork, execve, kill, ptrace, mount, keyctl, process_vm_*, execveat, bpf, userfaultfd, unshare
    "x86_64": _Numbers(
        0xC000003E, 56, (41, 53, 42, 57, 58, 59, 62, 101, 165, 250, 310, 311, 322, 321, 323, 272, *_NEWER)
    ),
    "aarch64": _Numbers(
        0xC00000B7, 220, (198, 199, 203, 221, 129, 117, 40, 219, 270, 271, 281, 280, 282, 97, *_NEWER)
    ),
}
_LOAD, _JUMP_EQUAL, _JUMP_SET, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _EPERM, _ENOSYS, _KILL = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
_NUMBER_AT, _MARK_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_CLONE_THREAD = 0x00010000


def _filter_calls(libc: ctypes.CDLL) -> bool:
    numbers = _MACHINES.get(platform.machine())
    if numbers is None:
        return False
    program = _program(numbers)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))

    class _Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    filled = _Program(len(program), ctypes.cast(code, ctypes.c_void_p))
    is_held: bool = libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(filled), 0, 0) == 0
    return is_held


def _program(numbers: _Numbers) -> list[tuple[int, int, int, int]]:
    """Lines of BPF: code, jump if so, jump if not, value. A thread may be begun, a process may not; libraries fall back from
    `clone3`, whose flags a filter cannot see, to `clone`."""
    lines = [
        (_LOAD, 0, 0, _MARK_AT), (_JUMP_EQUAL, 1, 0, numbers.mark), (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ENOSYS),
        (_JUMP_EQUAL, 0, 4, numbers.clone), (_LOAD, 0, 0, _FIRST_ARGUMENT_AT), (_JUMP_SET, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _EPERM),
    ]  # fmt: skip
    for number in numbers.refused:
        lines += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _EPERM)]
    return [*lines, (_RETURN, 0, 0, _ALLOW)]
