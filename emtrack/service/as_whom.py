"""As whom the service works: never as root.

Root may start it, and then it becomes a system user of its own, for good: groups, ids, all capabilities and what a program with
special rights could give back are gone, and the program begins anew as that user, so that nothing that root read or opened is left in
it. Processes that it starts are that user's too.

The program itself may lie where only root may look (a checkout or a Python below /root). Then the service gets a view of its own of
the file system, in which the closed folder is empty but for the program, to be read and not written (`own_view`). Nothing of the
machine is changed for that, and the view ends with the service. Where the system allows no view, the service refuses to start.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import emtrack
from emtrack.db.embedded import Account, become_owner, closed_to, run_as
from emtrack.errors import MendableError
from emtrack.service.own_view import NoView, show_only
from emtrack.settings import Settings, handed_on

_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_MOST_CAPABILITIES = 64
PRIVATE = 0o077


class StaysRoot(MendableError):
    """Root started the service, and it cannot become another. The message says why, and what to do."""

    exit_code = 1


def leave_root(settings: Settings, data_dir: Path) -> None:
    """Returns at once for everybody but root. As root it does not return: the same command begins anew as the service's user.

    `data_dir`: what will belong to that user. Raises StaysRoot or EmbeddedServerError.
    """
    if os.geteuid() != 0:
        return
    account = become_owner(data_dir)
    _let_see_the_program(account)
    _begin_anew(account, handed_on(settings, home=data_dir, name=account.name))


def _let_see_the_program(account: Account) -> None:
    needed = [path for path in _program() if path.exists()]
    closed = {path: folder for path in needed if (folder := closed_to(account, path)) is not None}
    if closed:
        try:
            show_only(set(closed.values()), needed)
        except (OSError, NoView) as error:
            raise _cannot(
                account, f"may not enter {', '.join(map(str, sorted(set(closed.values()))))} ({error})"
            ) from error
    ran = run_as(account, [sys.executable, "-P", "-c", "import emtrack.cli.service"])
    if ran.returncode != 0:
        raise _cannot(account, f"cannot run {sys.executable}: {ran.stderr.decode(errors='replace').strip()[-300:]}")


def _program() -> list[Path]:
    """Python, its environment, and where modules are found."""
    ours = Path(emtrack.__file__).parent.parent
    return [Path(path) for path in dict.fromkeys([sys.prefix, sys.base_prefix, *sys.path[1:], str(ours)]) if path]


def _cannot(account: Account, why: str) -> StaysRoot:
    return StaysRoot(
        f"Root started this, and the service does not stay root: it becomes the user {account.name}, who {why}. "
        "Put the program and its Python where everybody may read them (for example /opt/emtrack), or start it as a normal user."
    )


def _begin_anew(account: Account, environment: dict[str, str]) -> NoReturn:
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(_MOST_CAPABILITIES):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    try:
        os.setgroups([])
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    except OSError as error:
        raise _cannot(account, f"the system does not let it become ({error.strerror})") from error
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.umask(PRIVATE)
    os.chdir(environment["HOME"])
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor < 3:
            continue
        with suppress(OSError):  # what root had open stays root's
            os.set_inheritable(descriptor, False)
    os.execve(sys.executable, [sys.executable, "-P", "-m", "emtrack", *sys.argv[1:]], environment)
