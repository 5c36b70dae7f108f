"""Devices that publish to an MQTT broker: a real one, Mosquitto, started here; the answer comes after the commit."""

from __future__ import annotations

import asyncio
import getpass
import json
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from emtrack.service.app import password_of_broker
from emtrack.settings import BrokerSetting, Settings, SettingsError, read_settings
from ingest.protocols import answers_of, read_published
from tests.service_world import Door, assert_conserved, event, position
from tests.test_trackers import Tracked, tracked

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
WITHIN_S = 15


@contextmanager
def broker(folder: Path, port: int, *rules: str) -> Iterator[None]:
    """Mosquitto on this machine, which lets everybody in, or goes by other rules."""
    if MOSQUITTO is None:
        pytest.skip("Mosquitto is not here; `make broker` installs it where it can")
    settings = folder / "mosquitto.conf"
    said = (
        f"user {getpass.getuser()}",
        f"listener {port} 127.0.0.1",
        "persistence false",
        *(rules or ("allow_anonymous true",)),
    )
    settings.write_text("\n".join(said) + "\n")
    process = subprocess.Popen([MOSQUITTO, "-c", settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not is_open(port):
            assert process.poll() is None, "Mosquitto ended before it listened"
        yield
    finally:
        process.terminate()
        process.wait()


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Device:
    """D1 or D2, at the other side of the broker."""

    def __init__(self, port: int, device_id: str, version: MQTTProtocolVersion, user: str | None = None) -> None:
        self.device_id = device_id
        self.heard: asyncio.Queue[bytes] = asyncio.Queue()
        self.is_ready = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=version)
        self.client.reconnect_delay_set(1, 1)
        if user is not None:
            self.client.username_pw_set(user, user)
        self.client.on_message = self._on_message
        self.client.on_connect = lambda client, *_: client.subscribe(answers_of(device_id), 1)
        self.client.on_subscribe = lambda *_: self._loop.call_soon_threadsafe(self.is_ready.set)
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()

    def _on_message(self, _: Client, __: Any, message: MQTTMessage) -> None:
        self._loop.call_soon_threadsafe(self.heard.put_nowait, bytes(message.payload))

    def publishes(self, key: str, body: bytes) -> None:
        self.client.publish(f"emtrack/devices/{self.device_id}/reports", f"Bearer {key}\n".encode() + body, 1)

    async def hears(self) -> bytes:
        async with asyncio.timeout(WITHIN_S):
            return await self.heard.get()

    async def leaves(self) -> None:
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)


@asynccontextmanager
async def device(
    port: int, device_id: str, version: MQTTProtocolVersion, user: str | None = None
) -> AsyncIterator[Device]:
    one = Device(port, device_id, version, user)
    try:
        async with asyncio.timeout(WITHIN_S):
            await one.is_ready.wait()
        yield one
    finally:
        await one.leaves()


def said(boot: int, *reports: dict[str, Any]) -> bytes:
    return json.dumps({"boot": boot, "reports": list(reports)}).encode()


async def until_heard(door: Door) -> None:
    async with asyncio.timeout(WITHIN_S):
        while "emtrack_broker_connected 1.0" not in await door.metrics():
            pass  # the service is asked again


@pytest.mark.parametrize(
    ("ours", "theirs"), [("5", MQTTProtocolVersion.MQTTv311), ("3.1.1", MQTTProtocolVersion.MQTTv5)]
)
async def test_what_a_device_publishes_is_answered_on_its_topic_after_the_commit(
    database_url: str, tmp_path: Path, ours: str, theirs: MQTTProtocolVersion
) -> None:
    port = free_port()
    setting = BrokerSetting("127.0.0.1", port, False, None, "emtrack", ours)
    with broker(tmp_path, port):
        async with tracked(database_url, trackers=(), mqtt=setting) as world, device(port, "D1", theirs) as tag:
            await until_heard(world.door)
            key = world.door.keys["D1"]
            reports = [position(1, "11:59"), event(2, "12:00", "STRAP_TAMPER")]
            for _ in range(2):
                tag.publishes(key, said(1, *reports))
                assert json.loads(await tag.hears()) == {"ack": [1, 2], "refused": []}
            assert await world.stored() == ["11:59 position", "12:00 STRAP_TAMPER"]

            tag.publishes(key, msgspec.msgpack.encode({"boot": 1, "reports": [position(3, "12:00")]}))
            assert msgspec.msgpack.decode(await tag.hears()) == {"ack": [3], "refused": []}
            tag.publishes(key, said(1, position(4, "12:01", lat_deg=99)))
            assert json.loads(await tag.hears())["refused"][0]["reason"] == "bad_coordinate"

            await who_shows_another_key_hears_nothing(world, tag)
            tag.publishes(key, b'{"boot": 1')
            assert "cannot be read" in json.loads(await tag.hears())["error"]
            kept = await world.connection.fetchval("SELECT body FROM quarantine WHERE seq IS NULL")
            assert key.encode() not in kept
            assert (await assert_conserved(world.connection))["D1"] == 7


async def who_shows_another_key_hears_nothing(world: Tracked, tag: Device) -> None:
    for key in ("x", world.door.keys["D2"], ""):
        tag.publishes(key, said(1, position(9, "12:02")))
    tag.publishes(world.door.keys["D1"], said(1))
    assert json.loads(await tag.hears()) == {"ack": [], "refused": []}, "the answer to what came after them"
    assert await world.counted("mqtt", "unknown device") == 3


@pytest.mark.long
async def test_a_broker_that_was_gone_is_heard_again_and_nothing_acknowledged_is_lost(
    database_url: str, tmp_path: Path
) -> None:
    port = free_port()
    setting = BrokerSetting("127.0.0.1", port, False, None, "emtrack", "5")
    async with tracked(database_url, trackers=(), mqtt=setting) as world:
        for boot in (1, 2):
            with broker(tmp_path, port):
                async with device(port, "D1", MQTTProtocolVersion.MQTTv5) as tag:
                    await until_heard(world.door)
                    tag.publishes(world.door.keys["D1"], said(boot, position(1, f"12:0{boot}")))
                    assert json.loads(await tag.hears()) == {"ack": [1], "refused": []}
        assert await world.stored() == ["12:01 position", "12:02 position"]


def give_passwords(file: Path, *users: str) -> None:
    """To each its own name."""
    maker = shutil.which("mosquitto_passwd")
    if maker is None:
        pytest.skip("mosquitto_passwd is not here")
    file.touch(mode=0o600)
    for user in users:
        subprocess.run([maker, "-b", file, user, user], check=True)


@pytest.mark.long
async def test_with_the_rules_of_the_documentation_no_device_speaks_for_another_or_reads_its_answers(
    database_url: str, tmp_path: Path
) -> None:
    port, acl, passwords, secret = free_port(), tmp_path / "acl", tmp_path / "passwords", tmp_path / "secret"
    page = (Path(__file__).parent.parent / "docs" / "protocols.md").read_text()
    acl.write_text(re.search(r"( +pattern write .*?)\n\n", page, re.DOTALL)[1].replace("      ", ""))  # type: ignore[index]
    give_passwords(passwords, "D1", "D2", "emtrack")
    secret.write_text("emtrack\n")
    setting = BrokerSetting("127.0.0.1", port, False, "emtrack", "emtrack", "5")
    rules = ("allow_anonymous false", f"password_file {passwords}", f"acl_file {acl}")
    with broker(tmp_path, port, *rules):
        async with (
            tracked(database_url, trackers=(), mqtt=setting, mqtt_password_file=secret) as world,
            device(port, "D1", MQTTProtocolVersion.MQTTv5, "D1") as own,
            device(port, "D1", MQTTProtocolVersion.MQTTv5, "D2") as other,
        ):
            await until_heard(world.door)
            key = world.door.keys["D1"]
            other.publishes(key, said(1, position(1, "11:59")))
            own.publishes(key, said(1, position(2, "12:00")))
            assert json.loads(await own.hears()) == {"ack": [2], "refused": []}
            assert await world.stored() == ["12:00 position"]
            assert other.heard.empty()


# ---------------------------------------------------------------------------------------------- without a broker


@given(st.text(max_size=60), st.binary(max_size=80) | st.binary(max_size=40).map(lambda tail: b"Bearer " + tail))
def test_no_message_raises_and_what_shows_no_key_has_none(topic: str, payload: bytes) -> None:
    published = read_published(topic, payload)
    if not payload.startswith(b"Bearer "):
        assert published.key == ""


def test_the_key_is_the_first_line_and_no_part_of_the_body() -> None:
    published = read_published("emtrack/devices/D 1/reports", b'Bearer K\n{"boot": 1}')
    assert published == ("D 1", "K", b'{"boot": 1}', "application/json")
    assert read_published("emtrack/devices/D1/reports", b"Bearer K\n\x82").content_type == "application/msgpack"
    assert read_published("emtrack/devices/D1/reports", b"Bearer " + b"K" * 500 + b"\n{}").key == ""


def test_a_broker_is_read_from_its_address() -> None:
    read = read_settings({"EMTRACK_MQTT": "mqtts://us@broker.example?version=3.1.1&client=two"}).mqtt
    assert read == BrokerSetting("broker.example", 8883, True, "us", "two", "3.1.1")
    for text in ("broker.example", "mqtt://us:secret@h", "mqtt://h/topic", "mqtt://h?version=4", "mqtt://h:99999"):
        with pytest.raises(SettingsError, match="expected mqtts"):
            read_settings({"EMTRACK_MQTT": text})


def test_keys_go_over_nobodys_network_as_they_are(tmp_path: Path) -> None:
    def asked(host: str, *networks: str) -> str | None:
        broker = BrokerSetting(host, 1883, False, None, "emtrack", "5")
        return password_of_broker(Settings(tmp_path, mqtt=broker, private_networks=networks))

    with pytest.raises(SettingsError, match="as they are"):
        asked("192.0.2.1")
    assert (asked("127.0.0.1"), asked("10.1.2.3", "10.0.0.0/8")) == (None, None)
