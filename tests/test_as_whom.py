"""As whom the service works: root may start it, and it does not stay root. The real command, and what the kernel says of it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from emtrack.db.embedded import DataDirectory, embedded_server
from emtrack.service.as_whom import StaysRoot, leave_root
from emtrack.settings import Settings, handed_on
from tests.command_line import emtrack, emtrack_process
from tests.db_fixtures import server_pid

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can stop being root")
SERVICE = "emtrack-postgres"
NO_CAPABILITIES = 0


class Status(NamedTuple):
    """Of a process, as the kernel tells it: ids (real, effective, saved, of files), groups, capabilities of all sets together."""

    users: set[int]
    groups: set[int]
    capabilities: int
    is_held: bool


def status_of(pid: int) -> Status:
    lines = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    groups = {*map(int, lines["Gid"].split()), *map(int, lines["Groups"].split())}
    sets = (int(lines[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    return Status(set(map(int, lines["Uid"].split())), groups, max(sets), lines["NoNewPrivs"].strip() == "1")


def family_of(pid: int) -> list[int]:
    """A process and all that it began, and these."""
    family = [pid]
    for member in family:
        family += map(int, Path(f"/proc/{member}/task/{member}/children").read_text().split())
    return family


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running(NamedTuple):
    process: subprocess.Popen[str]
    url: str


@contextmanager
def running(folder: Path, *arguments: str, ready: str, **settings: str) -> Iterator[Running]:
    """The command as root types it, once it says that it is ready; on the way out it is ended in order."""
    listen = f"127.0.0.1:{free_port()}"
    environment = {name: text for name, text in os.environ.items() if not name.startswith("EMTRACK_")}
    environment |= {"EMTRACK_DATA_DIR": str(folder), "EMTRACK_LISTEN": listen, **settings}
    process = subprocess.Popen(
        [Path(sys.executable).with_name("emtrack"), *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if ready in line:
                break
        else:
            raise AssertionError(said)
        yield Running(process, f"http://{listen}")
        process.terminate()
        assert process.wait(timeout=60) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def others_may_read(folder: Path) -> list[Path]:
    """What of a data directory an account that is neither root nor the service could reach."""
    if folder.stat().st_mode & 0o077 == 0:
        return []
    return [path for path in folder.rglob("*") if path.lstat().st_mode & 0o007]


@as_root
def test_root_starts_the_service_and_nothing_of_it_is_root(data_dir: Path) -> None:
    account = pwd.getpwnam(SERVICE)
    with running(data_dir, "serve", ready="listens on") as service:
        server = server_pid(data_dir)
        assert server is not None
        family = family_of(service.process.pid)
        assert server in family, "the database server that it began is of the family"
        for pid in family:
            assert status_of(pid) == ({account.pw_uid}, {account.pw_gid}, NO_CAPABILITIES, True)
        owners = {path.lstat().st_uid for path in [data_dir, *data_dir.rglob("*")]}
        assert owners == {account.pw_uid}
        assert stat.S_IMODE((data_dir / "log.key").stat().st_mode) == 0o600
        assert others_may_read(data_dir) == []
    assert server_pid(data_dir) is None


@as_root
def test_processes_that_judge_for_it_are_that_user_too(data_dir: Path) -> None:
    """The processes for readers, and the one beside the turns, are begun by the first who needs them: here by a question."""
    account = pwd.getpwnam(SERVICE)
    with running(data_dir, "serve", ready="listens on", EMTRACK_LOG_LEVEL="warning") as service:
        settings = {"EMTRACK_DATA_DIR": str(data_dir)}
        token = emtrack("tokens", "add", "reader", "--role", "operator", **settings).stdout.split()[-1]
        before = set(family_of(service.process.pid))
        asked = urllib.request.Request(
            f"{service.url}/v1/findings?wearer=W1&until=2026-01-01T00:00:00Z",
            headers={"Authorization": f"Bearer {token}"},
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert answer.status == 200
        judges = [
            pid
            for pid in set(family_of(service.process.pid)) - before
            if b"emtrack.reading.apart_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        assert judges
        for pid in judges:
            assert status_of(pid) == ({account.pw_uid}, {account.pw_gid}, NO_CAPABILITIES, True)


@as_root
def test_a_directory_that_root_began_becomes_the_services(data_dir: Path) -> None:
    """As it is after commands of root, and after versions that stayed root."""
    settings = {"EMTRACK_DATA_DIR": str(data_dir)}
    assert emtrack_process("users", "add", "ada", "--role", "operator", **settings).returncode == 0
    (data_dir / "zone-sets").mkdir()
    (data_dir / "log.key").write_bytes(bytes(32))
    (data_dir / "log.key").chmod(0o600)
    uid = pwd.getpwnam(SERVICE).pw_uid
    with running(data_dir, "serve", ready="listens on"):
        assert {path.lstat().st_uid for path in [data_dir, *data_dir.rglob("*")]} == {uid}
        assert emtrack_process("audit", "rotate-key", **settings).returncode == 0
        assert (data_dir / "log.key").stat().st_uid == uid, "what root leaves there is the service's"
        listed = emtrack_process("users", "list", **settings)
        assert "ada" in listed.stdout
    assert "ada" in emtrack_process("users", "list", **settings).stdout
    assert {path.lstat().st_uid for path in data_dir.rglob("*")} == {uid}


@as_root
async def test_a_server_that_an_earlier_version_left_running_lets_the_service_in(data_dir: Path) -> None:
    async with embedded_server(data_dir, program="an earlier version", exclusive=False):
        logins = DataDirectory(data_dir).root / "pg_ident.conf"
        logins.write_text("".join(line + "\n" for line in logins.read_text().splitlines() if SERVICE not in line))
        before = server_pid(data_dir)
        assert before is not None
        os.kill(before, signal.SIGHUP)
        with running(data_dir, "serve", ready="listens on"):
            assert server_pid(data_dir) == before
    assert server_pid(data_dir) is None


@as_root
def test_the_demo_does_not_stay_root(data_dir: Path) -> None:
    account = pwd.getpwnam(SERVICE)
    data_dir.chmod(0o711)  # above its own folder the service may pass through, as anybody may
    arguments = ("demo", "--wearers", "3", "--long", "0", "--hours", "0.2")
    with running(data_dir, *arguments, ready="Ctrl-C ends it") as demo:
        assert all(status_of(pid).users == {account.pw_uid} for pid in family_of(demo.process.pid))
        keys = data_dir / "demo" / "device-keys.json"
        assert (keys.stat().st_uid, stat.S_IMODE(keys.stat().st_mode)) == (account.pw_uid, 0o600)


@as_root
def test_a_folder_of_somebody_else_is_not_given_to_the_service(data_dir: Path) -> None:
    (data_dir / "letter.txt").write_text("Dear …")
    ran = emtrack_process("serve", EMTRACK_DATA_DIR=str(data_dir))
    assert ran.returncode == 1
    assert "holds files that are not emtrack's" in ran.stderr
    assert data_dir.stat().st_uid == 0


@as_root
def test_links_in_the_services_folder_lead_root_nowhere(data_dir: Path, tmp_path: Path) -> None:
    with running(data_dir, "serve", ready="listens on"):
        pass
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    start_log = data_dir / "postgres" / "start.log"
    start_log.unlink()
    start_log.symlink_to(victim)
    shutil.rmtree(data_dir / "postgres" / "run")
    (data_dir / "postgres" / "run").symlink_to(tmp_path)
    refused = emtrack_process("users", "list", EMTRACK_DATA_DIR=str(data_dir))
    assert "root does not follow it" in refused.stderr
    (data_dir / "postgres" / "run").unlink()
    assert emtrack_process("users", "list", EMTRACK_DATA_DIR=str(data_dir)).returncode == 0
    assert (victim.read_text(), victim.stat().st_uid, tmp_path.stat().st_uid) == ("as it was", 0, 0)


@as_root
def test_where_the_service_cannot_become_another_it_does_not_start(data_dir: Path) -> None:
    """A container that was left no capabilities."""
    ran = subprocess.run(
        ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", sys.executable, "-m", "emtrack", "serve"],
        env=os.environ | {"EMTRACK_DATA_DIR": str(data_dir)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 1
    assert "normal user" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_who_is_not_root_is_left_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    leave_root(Settings(data_dir=tmp_path / "data"), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_the_new_user_gets_whole_paths_and_nothing_of_sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(data_dir=tmp_path / "d", retention_rules=Path("rules.json"))
    given = {"SUDO_UID": "1000", "XDG_DATA_HOME": "/root/x", "HOME": "/root", "LANG": "C", "EMTRACK_TLS": "off"}
    found = handed_on(settings, home=tmp_path / "d", name="service", environment=given)
    assert found["EMTRACK_RETENTION_RULES"] == str(tmp_path / "rules.json")
    assert (found["HOME"], found["XDG_CACHE_HOME"]) == (str(tmp_path / "d"), str(tmp_path / "d" / "cache"))
    assert (found["LANG"], found["EMTRACK_TLS"]) == ("C", "off")
    assert not {"SUDO_UID", "XDG_DATA_HOME"} & set(found)


def test_the_refusal_is_an_exit_code_of_one() -> None:
    assert StaysRoot.exit_code == 1
