"""Which streams are refused before anything is sent there."""

from __future__ import annotations

from pathlib import Path

import pytest

from emtrack.service.stream_setting import usable_stream
from emtrack.settings import SettingsError, read_settings


def given(tmp_path: Path, stream: str, *, passwords: bool) -> dict[str, str]:
    (tmp_path / "password").write_text("secret\n")
    files = ("EMTRACK_STREAM_PASSWORD_FILE", "EMTRACK_STREAM_SYSTEM_PASSWORD_FILE")
    named = dict.fromkeys(files, str(tmp_path / "password")) if passwords else {}
    return {"EMTRACK_STREAM": stream, "EMTRACK_DATABASE_URL": "postgresql://emtrack@db/emtrack"} | named


@pytest.mark.parametrize("stream", ["tls://emtrack@one.example", "tls://one.example", "tls://127.0.0.1,one.example"])
def test_a_stream_elsewhere_without_a_password_is_refused(tmp_path: Path, stream: str) -> None:
    with pytest.raises(SettingsError, match="without a user or a password"):
        usable_stream(read_settings(given(tmp_path, stream, passwords=False)))


def test_a_stream_elsewhere_without_a_user_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="without a user or a password"):
        usable_stream(read_settings(given(tmp_path, "tls://one.example", passwords=True)))


def test_with_both_it_is_used_and_on_this_machine_neither_is_needed(tmp_path: Path) -> None:
    assert usable_stream(read_settings(given(tmp_path, "tls://emtrack@one.example", passwords=True))).is_tls
    assert not usable_stream(read_settings(given(tmp_path, "nats://127.0.0.1", passwords=False))).is_tls
