"""Which system user the server runs as: our own, or as root one that is made for it."""

from __future__ import annotations

import os
import pwd
import subprocess
from typing import Final

from emtrack.db.embedded.account import Account
from emtrack.db.embedded.errors import EmbeddedServerError

SERVER_ACCOUNT: Final = "emtrack-postgres"


def server_account() -> Account:
    """Our own user; as root, which PostgreSQL refuses, a system user of the server's own."""
    uid = os.geteuid()
    if uid == 0:
        entry = find_user(SERVER_ACCOUNT) or _add_server_user()
        return Account(entry.pw_uid, entry.pw_gid, entry.pw_name, switched=True)
    try:
        return Account(uid, os.getegid(), pwd.getpwuid(uid).pw_name, switched=False)
    except KeyError:
        raise EmbeddedServerError(
            f"PostgreSQL cannot run as user id {uid}, which has no entry in /etc/passwd. Add one, run as "
            "another user, or use a PostgreSQL server of your own (EMTRACK_DATABASE_URL)."
        ) from None


def find_user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _add_server_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", SERVER_ACCOUNT]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        said = ran.stderr.strip()
    except OSError as error:
        said = str(error)
    # Whatever useradd answered: another program may have made the user at the same moment.
    entry = find_user(SERVER_ACCOUNT)
    if entry is None:
        raise EmbeddedServerError(
            f"PostgreSQL does not run as root, and its own system user {SERVER_ACCOUNT} could not be made: "
            f"{said}. Create it (`{' '.join(command)}`), run this program as a normal user, or use a "
            "PostgreSQL server of your own (EMTRACK_DATABASE_URL)."
        )
    return entry
