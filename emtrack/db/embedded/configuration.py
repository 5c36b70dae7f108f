"""The server's settings, written anew at each start: defaults, the operator's, then those that always hold."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Mapping
from typing import Final

from emtrack.db.embedded.account import Account
from emtrack.db.embedded.data_directory import DataDirectory
from emtrack.db.embedded.roles import ROLES, SUPERUSER
from emtrack.db.embedded.sockets import PORT, choose_socket_directory, clear_stale_socket
from emtrack.db.embedded.system_user import SERVER_ACCOUNT
from emtrack.db.embedded.text_files import write_lines

ROOT: Final = "root"

# An operator may change these in local.conf.
TUNABLE: Final[Mapping[str, str]] = {
    "shared_buffers": "256MB",
    "max_connections": "40",
    "wal_compression": "on",
}

# These hold whatever local.conf says. Log lines carry neither statements nor values: both name people.
FIXED: Final[Mapping[str, str]] = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "logging_collector": "on",
    "log_destination": "stderr",
    "log_filename": "postgres-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_file_mode": "0600",
    "log_line_prefix": "%m [%p] %q%a ",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}

_HBA_LINES: Final = (
    f"local all {','.join(ROLES)},{SUPERUSER} peer map=emtrack",
    "local replication emtrack_backup peer map=emtrack",
)


def write_configuration(directory: DataDirectory, account: Account, settings: Mapping[str, str]) -> None:
    run = choose_socket_directory(directory, account)
    clear_stale_socket(directory, run)
    paths = {
        "unix_socket_directories": str(run),
        "hba_file": str(directory.root / "pg_hba.conf"),
        "ident_file": str(directory.root / "pg_ident.conf"),
        "log_directory": str(directory.log),
    }
    lines = ["# Written by emtrack at each start. Your own settings belong into local.conf, beside this file."]
    lines += [f"include {_quoted(str(directory.data / 'postgresql.conf'))}", *_assignments(TUNABLE)]
    lines += [f"include_if_exists {_quoted(str(directory.root / 'local.conf'))}"]
    lines += [*_assignments(FIXED), *_assignments(paths), *_assignments(settings)]
    write_lines(directory.root / "postgresql.conf", lines, account)
    write_lines(directory.root / "pg_hba.conf", _HBA_LINES, account)
    write_logins(directory, account, [*ROLES, SUPERUSER])


def superuser_may_log_in(directory: DataDirectory) -> bool:
    """Whether the map of logins has the superuser: then the server is not made ready yet."""
    return f'" {SUPERUSER}\n' in (directory.root / "pg_ident.conf").read_text()


def write_logins(directory: DataDirectory, account: Account, roles: Iterable[str]) -> None:
    """As which roles accounts of the machine may log in: we; where root works, root and the account that its service becomes."""
    names = {pwd.getpwuid(os.geteuid()).pw_name, account.name}
    if account.name == SERVER_ACCOUNT:
        names.add(ROOT)
    lines = [f'emtrack "{name}" {role}' for name in sorted(names) for role in roles]
    write_lines(directory.root / "pg_ident.conf", lines, account)


def lets_in(directory: DataDirectory, account: Account) -> bool:
    """Whether the map of logins has the account: one that an earlier version wrote has only who started it."""
    try:
        return f'"{account.name}"' in (directory.root / "pg_ident.conf").read_text()
    except FileNotFoundError:
        return True


def _assignments(settings: Mapping[str, str]) -> list[str]:
    return [f"{name} = {_quoted(value)}" for name, value in settings.items()]


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
