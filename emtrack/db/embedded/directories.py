"""The folders of the data directory: made, given to their owners, or refused with what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from emtrack.atomic_files import belong_to_owner_of
from emtrack.db.embedded.account import Account, as_text, run_as
from emtrack.db.embedded.data_directory import DataDirectory
from emtrack.db.embedded.disks import FULL, disk_of
from emtrack.db.embedded.errors import EmbeddedServerError


@contextmanager
def told_clearly(directory: DataDirectory) -> Iterator[None]:
    """A refusal of the operating system on one of our paths, as an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            if error.errno in FULL:  # where writing failed it is not named
                raise EmbeddedServerError(f"{error.strerror}. {_advice(directory, error)}") from error
            raise
        path = Path(os.fsdecode(error.filename))
        if not path.is_relative_to(directory.data_dir) and path not in directory.data_dir.parents:
            raise
        raise EmbeddedServerError(f"{path}: {error.strerror}. {_advice(directory, error)}") from error


def _advice(directory: DataDirectory, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"The data directory {directory.data_dir} must belong to the user who runs this and be writable. Run "
            f"this as that user, or choose another directory (EMTRACK_DATA_DIR)."
        )
    if error.errno in FULL:
        return f"{disk_of(directory.data_dir)}. Make room there, then start again."
    return "Put that right, then start again."


def make_directories(directory: DataDirectory, account: Account) -> None:
    """The folders of the layout, each with its owner. Nothing above the data directory is changed."""
    directory.data_dir.parent.mkdir(parents=True, exist_ok=True)
    _refuse_unreachable(directory.data_dir.parent, account)
    _refuse_other_owner(directory, account)
    _own_directory(directory.data_dir, account)
    _refuse_links(directory, account)
    if not directory.root.exists():
        directory.root.mkdir(mode=0o700)
        belong_to_owner_of(directory.data_dir, directory.root)
    _own_directory(directory.root, account)
    for folder in (directory.log, directory.run):
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != account.uid:
            os.chown(folder, account.uid, account.gid, follow_symlinks=False)


def _refuse_links(directory: DataDirectory, account: Account) -> None:
    """Root changes nothing elsewhere for a service that was taken over and put links in its own folder."""
    for path in (directory.root, directory.log, directory.run):
        if account.switched and path.is_symlink():
            raise EmbeddedServerError(
                f"{path} is a symbolic link, and root does not follow it. Put the folder itself there."
            )


OURS: Final = {
    "emtrack.lock",
    "postgres",
    "use.lock",
    "zone-sets",
    "log.key",
    "log.head",
    "log.pub",
    "device-keys.json",
    "demo",
}
"""What is in a data directory of ours, each by itself enough to know one by."""


def give_over(directory: DataDirectory, account: Account) -> None:
    """As root, before the service becomes the account: the data directory and all that root made in it belong to the account, and
    nobody else enters. Once: what belongs to the account already is left as it is. Raises EmbeddedServerError.

    The server's own folders are the account's since they were made, and hold what others wrote: nothing in them is touched.
    """
    top = directory.data_dir
    top.parent.mkdir(parents=True, exist_ok=True)
    _refuse_unreachable(top.parent, account)
    _refuse_other_owner(directory, account)
    top.mkdir(mode=0o700, exist_ok=True)
    if top.stat().st_uid == account.uid:
        return
    names = set(os.listdir(top))
    if names and not names & OURS:
        raise EmbeddedServerError(
            f"The service works as the user {account.name} when root starts it, and {top} holds files that are not emtrack's. "
            "Choose an empty or new directory (EMTRACK_DATA_DIR)."
        )
    for path in _made_by_root(top, {directory.data, directory.log, directory.run, top / "demo"}):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    top.chmod(0o700)


def _made_by_root(top: Path, others: set[Path]) -> Iterator[Path]:
    """All there is, the folder itself last: an interruption leaves it root's, and the next start goes on."""
    for path in top.iterdir():
        if path in others:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _made_by_root(path, others)
        else:
            yield path
    yield top


def closed_to(account: Account, path: Path) -> Path | None:
    """The first folder on the way to `path`, itself among them, that the account may not enter."""
    return _first_closed([*reversed(path.parents), path], account)


def _refuse_other_owner(directory: DataDirectory, account: Account) -> None:
    if not directory.data.exists():
        return
    owner = directory.data.stat().st_uid
    if owner != account.uid:
        raise EmbeddedServerError(
            f"{directory.data} belongs to user id {owner}, but PostgreSQL runs as {account.name} (user id "
            f"{account.uid}). Run emtrack as the user that made it, or give it over while nothing runs on "
            f"it: chown -R {account.name} {directory.data} {directory.log} {directory.run}"
        )


def _own_directory(path: Path, account: Account) -> None:
    """A folder of ours that the server's user may pass through, but neither list nor write.

    An existing folder is changed only if it is empty or already ours, so that the home directory of somebody,
    named by mistake, is not opened.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        if not path.is_dir():
            raise EmbeddedServerError(
                f"{path} is not a directory. Move it, or choose another data directory."
            ) from None
    if not account.switched or _first_closed([path], account) is None:
        return
    names = set(os.listdir(path))
    if names and not names & OURS:
        raise EmbeddedServerError(
            f"The user {account.name}, as whom PostgreSQL runs, may not enter {path}, and there are files "
            "in it that are not emtrack's. Choose an empty or new directory (EMTRACK_DATA_DIR), or allow "
            f"it: chgrp {account.name} {path} && chmod g+x {path}"
        )
    os.chown(path, -1, account.gid)
    path.chmod(0o710)


def _refuse_unreachable(path: Path, account: Account) -> None:
    if not account.switched:
        return
    closed = _first_closed([*reversed(path.parents), path], account)
    if closed is not None:
        raise EmbeddedServerError(
            f"The user {account.name}, as whom PostgreSQL runs when emtrack is started by root, may not "
            f"enter {closed}, which lies above the data directory. Its permissions are left as they are. "
            "Choose a data directory elsewhere (EMTRACK_DATA_DIR, for example /var/lib/emtrack), or run "
            "emtrack as a normal user."
        )


def _first_closed(folders: Sequence[Path], account: Account) -> Path | None:
    """The first of these folders that the account may not enter. The system is asked: it knows of ACLs."""
    script = 'for d do test -x "$d" || { printf %s "$d"; exit; }; done'
    ran = run_as(account, ["/bin/sh", "-c", script, "sh", *map(str, folders)])
    if ran.returncode != 0:
        raise EmbeddedServerError(
            f"Programs cannot be run as the user {account.name} here: {as_text(ran.stderr)}. Run emtrack as "
            "a normal user, or use a PostgreSQL server of your own (EMTRACK_DATABASE_URL)."
        )
    return Path(os.fsdecode(ran.stdout)) if ran.stdout else None
