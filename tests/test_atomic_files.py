"""A file that is replaced is whole at every moment, and belongs to whom it should."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from emtrack.atomic_files import replace_file


def test_the_content_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    for content in (b"old", b"new"):
        replace_file(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_the_permissions_are_those_asked_for_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    before = os.umask(0o022)
    try:
        replace_file(path, b"", mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owner_and_group_are_those_asked_for(tmp_path: Path) -> None:
    replace_file(tmp_path / "both", b"", mode=0o640, uid=12_345, gid=23_456)
    replace_file(tmp_path / "group", b"", gid=23_456)
    owners = [(path.stat().st_uid, path.stat().st_gid) for path in (tmp_path / "both", tmp_path / "group")]
    assert owners == [(12_345, 23_456), (os.geteuid(), 23_456)]


def test_what_goes_wrong_names_the_file_and_leaves_what_was_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        replace_file(tmp_path / "nowhere" / "keys.json", b"")
    assert missing.value.filename == str(tmp_path / "nowhere" / "keys.json")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(folder, b"")
    assert list(tmp_path.iterdir()) == [folder]
