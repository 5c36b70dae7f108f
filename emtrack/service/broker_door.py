"""The door of devices that publish to an MQTT broker: the service is a client of it, takes reports, and publishes the answer after
the commit on a topic of the device.

A message stands with the broker until we have answered it: it is acknowledged (PUBACK) by hand, so that what was on the way when the
service ended is delivered again, and is a duplicate if it was stored. The broker gives us so many at a time and no more, which is the
back-pressure here. The client library has a thread of its own; all else is done in the loop of the service.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import structlog
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from emtrack.logs import origin_of
from emtrack.metrics import Metrics
from emtrack.service.intake import Intake, NotTaken, Outcome
from emtrack.service.keys import DeviceKeys
from emtrack.settings import BrokerSetting
from ingest import Acknowledgement, Submission, WireError, encode_answer, kept_body, read_request, signing_of
from ingest.protocols import ALL_REPORTS, Published, answers_of, read_published

PROTOCOL: Final = "mqtt"
AT_ONCE: Final = 64
"""So many messages the broker gives us before we have answered one of them."""
MOST_BYTES: Final = 1_048_576
MOST_ANSWERS: Final = 1_000
"""That wait for a broker that does not take them."""
KEPT_FOR_S: Final = 24 * 3_600
"""So long the broker keeps messages for us while we are away."""
RETRY_S: Final = (1, 30)
AT_LEAST_ONCE: Final = 1
"""QoS; what comes twice is a duplicate."""

log = structlog.get_logger()


class BrokerDoor:
    """Between the client's thread and the loop: `received` is called in the loop."""

    def __init__(self, client: Client, intake: Intake, keys: DeviceKeys) -> None:
        self._client = client
        self._intake = intake
        self._keys = keys
        self._in_hand: set[asyncio.Task[None]] = set()

    def received(self, message: MQTTMessage) -> None:
        if len(self._in_hand) >= AT_ONCE or len(message.payload) > MOST_BYTES:
            self._intake.count(PROTOCOL, Outcome.PUT_OFF)
            self._client.ack(message.mid, message.qos)  # no answer: the device sends it again
            return
        task = asyncio.get_running_loop().create_task(self._take(message))
        self._in_hand.add(task)
        task.add_done_callback(self._in_hand.discard)

    async def end(self) -> None:
        """What is not answered is delivered again."""
        for task in self._in_hand:
            task.cancel()
        if self._in_hand:
            await asyncio.wait(self._in_hand)

    async def _take(self, message: MQTTMessage) -> None:
        published = read_published(message.topic, bytes(message.payload))
        try:
            outcome, answer = await self._answer(published)
        except Exception as error:  # it must not stand in the way of those after it: not answered, it is sent again
            log.error("a message of the broker failed", error=type(error).__name__, where=origin_of(error).line)
            outcome, answer = Outcome.PUT_OFF, None
        self._intake.count(PROTOCOL, outcome)
        if answer is not None:
            self._client.publish(answers_of(published.device_id), answer, AT_LEAST_ONCE)
        self._client.ack(message.mid, message.qos)

    async def _answer(self, published: Published) -> tuple[Outcome, bytes | None]:
        """What became of it, and what the device is told; None: nothing."""
        try:
            await self._intake.fresh()
        except NotTaken as not_taken:  # whether it may be told anything is not known either
            return not_taken.outcome, None
        device_no = self._keys.device_no(published.device_id, published.key)
        if device_no is None:
            return Outcome.UNKNOWN_DEVICE, None
        try:
            answer = await self._committed(device_no, published)
        except NotTaken as not_taken:
            wait_s = max(5, round(not_taken.wait_s))
            return not_taken.outcome, _problem("not committed yet; send again", published, retry_after_s=wait_s)
        except WireError as error:
            return Outcome.UNREADABLE, _problem(str(error), published)
        return Outcome.COMMITTED, encode_answer(answer, published.content_type)

    async def _committed(self, device_no: int, published: Published) -> Acknowledgement:
        """Raises NotTaken, and WireError for a body that cannot be read, after it was kept."""
        unreadable: list[WireError] = []

        def read() -> Submission:
            done: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
            try:
                sent = read_request(published.body, published.content_type)
            except WireError as error:
                unreadable.append(error)
                kept = kept_body(published.body, str(error)) if error.keep else None
                return Submission(device_no, [], done, kept)
            signing = signing_of(published.device_id, sent.boot, sent.signature, self._keys.checked)
            return Submission.of(sent, device_no, done, signing)

        submission = await self._intake.submitted(device_no, len(published.body), read)
        for error in unreadable:
            raise error
        return submission.done.result()


def _problem(message: str, published: Published, **more: Any) -> bytes:
    encode = msgspec.json.encode if published.content_type == "application/json" else msgspec.msgpack.encode
    return encode({"error": message, **more})


@asynccontextmanager
async def broker_heard(
    setting: BrokerSetting | None, password: str | None, intake: Intake, keys: DeviceKeys, metrics: Metrics
) -> AsyncIterator[list[str]]:
    """As long as the block lasts; the client connects again by itself. Yields which broker is heard, in words."""
    if setting is None:
        yield []
        return
    client = _client(setting, password)
    door = BrokerDoor(client, intake, keys)
    loop = asyncio.get_running_loop()

    def on_message(_: Client, __: Any, message: MQTTMessage) -> None:
        loop.call_soon_threadsafe(door.received, message)

    def on_connect(client: Client, _: Any, __: Any, reason: ReasonCode, ___: Properties | None) -> None:
        if reason.is_failure:
            log.error("the broker does not let us in", why=str(reason))
            return
        client.subscribe(ALL_REPORTS, AT_LEAST_ONCE)
        metrics.broker_connected.set(1)
        log.info("the broker is heard", host=setting.host)

    def on_disconnect(_: Client, __: Any, ___: Any, reason: ReasonCode, ____: Properties | None) -> None:
        metrics.broker_connected.set(0)
        log.warning("the broker is not heard", why=str(reason))

    client.on_message, client.on_connect, client.on_disconnect = on_message, on_connect, on_disconnect
    _connect(client, setting)
    client.loop_start()
    try:
        yield [f"the MQTT broker at {setting.host}:{setting.port}"]
    finally:
        await door.end()
        await asyncio.to_thread(_leave, client)


def _client(setting: BrokerSetting, password: str | None) -> Client:
    is_5 = setting.version == "5"
    client = Client(
        CallbackAPIVersion.VERSION2, setting.client_id, clean_session=None if is_5 else False,
        protocol=MQTTProtocolVersion.MQTTv5 if is_5 else MQTTProtocolVersion.MQTTv311, manual_ack=True,
    )  # fmt: skip
    client.max_queued_messages_set(MOST_ANSWERS)
    client.reconnect_delay_set(*RETRY_S)
    if setting.user is not None:
        client.username_pw_set(setting.user, password)
    if setting.is_tls:
        client.tls_set()
    return client


def _connect(client: Client, setting: BrokerSetting) -> None:
    """When the thread runs. The session is kept: what comes while we are away waits for us."""
    if setting.version != "5":
        client.connect_async(setting.host, setting.port)
        return
    wanted: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    wanted.SessionExpiryInterval = KEPT_FOR_S
    wanted.ReceiveMaximum = AT_ONCE
    wanted.MaximumPacketSize = 2 * MOST_BYTES
    client.connect_async(setting.host, setting.port, clean_start=False, properties=wanted)


def _leave(client: Client) -> None:
    """It waits for the thread."""
    client.disconnect()
    client.loop_stop()
