"""Which system user the server runs as: our own, or as root one that is made for it.

Two programs that start at the same moment on a fresh machine may both find no user yet. `useradd` looks for the name
before it locks /etc/passwd, and not again afterwards: the second one then gives the same name another id, and the id
that the first program was told belongs to nobody. So a lock of the whole machine is held from the look-up to the end of
`useradd`. What is found without the lock was made under it, or by a person, and stays as it is.

A cache of names (nscd, sssd) can still say for a moment that there is no such user. The server's programs look
themselves up, so they are not started before that works.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import subprocess
import time
from pathlib import Path
from typing import Final

from emtrack.db.embedded.account import Account, as_text, run_as
from emtrack.db.embedded.errors import EmbeddedServerError
from emtrack.db.embedded.locks import POLL_S, lock_file

SERVER_ACCOUNT: Final = "emtrack-postgres"
# Only root can open files there, so nobody else can hold this lock.
ACCOUNT_LOCK: Final = Path("/run/emtrack-account.lock")
LOOK_UP_PATIENCE_S: Final = 10.0


def server_account() -> Account:
    """Our own user; as root, which PostgreSQL refuses, a system user of the server's own."""
    uid = os.geteuid()
    if uid == 0:
        return _switched_account()
    try:
        return Account(uid, os.getegid(), pwd.getpwuid(uid).pw_name, switched=False)
    except KeyError:
        raise EmbeddedServerError(
            f"PostgreSQL cannot run as user id {uid}, which has no entry in /etc/passwd. Add one, run as "
            "another user, or use a PostgreSQL server of your own (EMTRACK_DATABASE_URL)."
        ) from None


def _switched_account() -> Account:
    """The server's own user, made if need be, once programs that run as this user can look it up."""
    deadline = time.monotonic() + LOOK_UP_PATIENCE_S
    while True:
        entry = find_user(SERVER_ACCOUNT) or _make_server_user()
        account = Account(entry.pw_uid, entry.pw_gid, entry.pw_name, switched=True)
        said = _look_up_fault(account)
        if said is None:
            return account
        if time.monotonic() > deadline:
            raise EmbeddedServerError(
                f"Programs that run as the user {account.name} (user id {account.uid}) cannot look themselves up: "
                f"{said}. Check /etc/passwd and /etc/nsswitch.conf, and restart nscd or sssd if they run."
            )
        time.sleep(POLL_S)


def _look_up_fault(account: Account) -> str | None:
    """Why a program that runs as the account does not find its user; None if it does, or cannot be asked."""
    ran = run_as(account, ["id", "-un"])
    return as_text(ran.stderr) if ran.returncode == 1 else None


def find_user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _make_server_user() -> pwd.struct_passwd:
    """The user, made by the first of all programs on this machine that come here. Raises EmbeddedServerError."""
    try:
        with lock_file(ACCOUNT_LOCK) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return find_user(SERVER_ACCOUNT) or _add_server_user()
    except OSError as error:
        raise _not_made(str(error)) from error


def _add_server_user() -> pwd.struct_passwd:
    ran = subprocess.run(_useradd_command(), capture_output=True, text=True, check=False)
    # Whatever useradd answered: a person may have made the user at the same moment.
    entry = find_user(SERVER_ACCOUNT)
    if entry is None:
        raise _not_made(ran.stderr.strip())
    return entry


def _useradd_command() -> list[str]:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    return [*command, "--shell", "/usr/sbin/nologin", SERVER_ACCOUNT]


def _not_made(said: str) -> EmbeddedServerError:
    return EmbeddedServerError(
        f"PostgreSQL does not run as root, and its own system user {SERVER_ACCOUNT} could not be made: "
        f"{said}. Create it (`{' '.join(_useradd_command())}`), run this program as a normal user, or use a "
        "PostgreSQL server of your own (EMTRACK_DATABASE_URL)."
    )
