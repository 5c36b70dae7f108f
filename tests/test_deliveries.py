"""Messages reach their targets, over a real mail server and real webhooks, or stand where people see that they did not."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Any

import pytest
from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope
from standardwebhooks import Webhook

from alerts import (
    Attempt,
    Channel,
    NewChannel,
    NewMessage,
    Undelivered,
    UnfitChannel,
    add_channel,
    attempts_due,
    channels_now,
    end_channel,
    gather,
    post,
    see_to,
    try_now,
    undelivered,
    was_delivered,
    was_not_delivered,
)
from alerts.channels import ChannelKind
from emtrack.db.connect import connect
from emtrack.db.rights import RunTime, run_time_dsn
from emtrack.delivery.errors import NotDelivered
from emtrack.delivery.webhook import WebhookSender, may_be_reached
from emtrack.settings import MailSetting
from geofence import parse_instant
from tests.office import BEGINS, Office, open_office, strap
from tests.visitor import Visitor

FROM_MS = parse_instant(BEGINS)
LOOPBACK = ("127.0.0.0/8",)
MINUTE_MS = 60_000


class Inbox:
    """A mail server on this machine. `refuses`: so many messages are put off first."""

    def __init__(self, refuses: int = 0) -> None:
        self.mails: list[EmailMessage] = []
        self.refuses = refuses

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:
        if self.refuses:
            self.refuses -= 1
            return "451 try again"
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"


@asynccontextmanager
async def mail_server(inbox: Inbox) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(inbox, hostname="localhost", loop=loop), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


class Hook:
    """A receiver of webhooks. `answers`: the statuses it gives, the last of them for ever."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers) or [204]
        self.got: list[tuple[dict[str, str], bytes]] = []

    async def receive(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:1/"} if status == 302 else {})


@asynccontextmanager
async def hook_server(hook: Hook) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/hook", hook.receive)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


async def until(found: Any, seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not found():  # noqa: ASYNC110  what is waited for is in another program's hands
            await asyncio.sleep(0.05)


def mail_settings(port: int) -> dict[str, Any]:
    smtp = MailSetting("127.0.0.1", port, implicit_tls=False, user=None)
    return {"smtp": smtp, "mail_from": "alerts@centre.example", "webhook_networks": LOOPBACK}


async def test_a_strap_that_is_cut_reaches_a_mailbox_and_a_webhook_within_seconds(
    database_url: str, data_dir: Any
) -> None:
    inbox, hook = Inbox(), Hook()
    async with (
        mail_server(inbox) as port,
        hook_server(hook) as address,
        open_office(database_url, data_dir, **mail_settings(port)) as office,
    ):
        connection = office.connection
        duty = NewChannel("duty", ChannelKind.EMAIL, "duty@centre.example", severity_from=1)
        await add_channel(connection, duty, "test", FROM_MS)
        secret = await add_channel(
            connection, NewChannel("hook", ChannelKind.WEBHOOK, address, severity_from=2), "test", FROM_MS
        )
        await office.report("D1", strap("19:59", 1))
        await until(lambda: inbox.mails and hook.got)
    mail, (headers, body) = inbox.mails[0], hook.got[0]
    assert mail["To"] == "duty@centre.example"
    assert mail["Subject"].startswith("emtrack: critical alert")
    text = mail.get_content()
    assert "/alerts/" in text
    told = Webhook(secret or "").verify(body, {key.lower(): value for key, value in headers.items()})
    (message,) = told["data"]["messages"]
    assert message["severity"] == "critical"
    assert message["kind"] == "TAMPER"
    for secret_word in ("Ann", "Other", "W1", "53.", "-2.1"):  # no name, no place, no coordinate
        assert secret_word not in text
        assert secret_word not in body.decode()
    with pytest.raises(Exception, match="signature"):
        Webhook(secret or "").verify(body + b" ", {key.lower(): value for key, value in headers.items()})


async def test_a_mail_server_that_puts_off_is_asked_again_with_the_same_id(database_url: str, data_dir: Any) -> None:
    inbox = Inbox(refuses=1)
    async with (
        mail_server(inbox) as port,
        open_office(database_url, data_dir, **mail_settings(port)) as office,
    ):
        duty = NewChannel("duty", ChannelKind.EMAIL, "duty@centre.example", severity_from=1)
        await add_channel(office.connection, duty, "test", FROM_MS)
        await office.report("D1", strap("19:59", 1))
        await until(lambda: inbox.mails)
        delivery_id = await office.connection.fetchval("SELECT delivery_id FROM deliveries")
    assert str(delivery_id) in inbox.mails[0]["Message-ID"]
    assert len(inbox.mails) == 1


async def test_a_webhook_that_is_down_keeps_no_mail_waiting(database_url: str, data_dir: Any) -> None:
    inbox, hook = Inbox(), Hook(500)
    async with (
        mail_server(inbox) as port,
        hook_server(hook) as address,
        open_office(database_url, data_dir, **mail_settings(port)) as office,
    ):
        for name, kind, target in [
            ("hook", ChannelKind.WEBHOOK, address),
            ("duty", ChannelKind.EMAIL, "duty@centre.example"),
        ]:
            await add_channel(office.connection, NewChannel(name, kind, target, severity_from=1), "test", FROM_MS)
        await office.report("D1", strap("19:59", 1))
        await until(lambda: inbox.mails and len(hook.got) > 1)
        found = await undelivered(office.connection, FROM_MS + 10 * 60 * MINUTE_MS, 10)
        assert [(one.channel, one.last_error) for one in found] == [("hook", "The webhook answered 500")]


# ------------------------------------------------------------------------------------- without a service


@pytest.fixture
async def still(office: Office) -> Office:
    """An office in which nobody but this test delivers: it holds the tables until it ends."""
    await office.connection.execute("BEGIN; LOCK TABLE deliveries, messages IN EXCLUSIVE MODE")
    return office


async def one_channel(office: Office, name: str = "duty", **more: Any) -> Channel:
    await add_channel(
        office.connection, NewChannel(name, ChannelKind.EMAIL, f"{name}@centre.example", **more), "test", FROM_MS
    )
    return next(channel for channel in await channels_now(office.connection) if channel.name == name)


async def post_to(office: Office, channel_no: int | None, *keys: str) -> int:
    fields = {"topic": "test", "subject": "a test"}
    return await post(office.connection, [NewMessage(channel_no, key, fields) for key in keys], FROM_MS)


async def tried(office: Office, at_ms: int) -> list[Attempt]:
    await gather(office.connection, at_ms)
    return await attempts_due(office.connection, at_ms, 10)


async def not_arrived(office: Office, at_ms: int) -> list[Undelivered]:
    return await undelivered(office.connection, at_ms, 10)


async def test_a_flood_is_one_message(still: Office) -> None:
    channel = await one_channel(still)
    await post_to(still, channel.channel_no, *(f"alert {number}" for number in range(1_200)))
    sizes = []
    for second in range(5):
        for attempt in await tried(still, FROM_MS + second * 1_000):
            sizes.append(len(attempt.messages))
            await was_delivered(still.connection, attempt.delivery_no, FROM_MS + second * 1_000)
    assert sizes == [500, 500, 200]


async def test_nobody_is_told_twice_of_one_thing(still: Office) -> None:
    channel = await one_channel(still)
    assert await post_to(still, channel.channel_no, "alert 1", "alert 2") == 2
    assert await post_to(still, channel.channel_no, "alert 2", "alert 3") == 1
    (attempt,) = await tried(still, FROM_MS)
    assert len(attempt.messages) == 3


async def test_an_attempt_that_nothing_was_heard_of_is_made_again(still: Office) -> None:
    """As after a crash in the middle of it."""
    channel = await one_channel(still)
    await post_to(still, channel.channel_no, "alert 1")
    (first,) = await tried(still, FROM_MS)
    assert await tried(still, FROM_MS + 1_000) == []
    (second,) = await tried(still, FROM_MS + MINUTE_MS)
    assert (second.delivery_id, second.tries) == (first.delivery_id, 2)


async def test_what_does_not_arrive_for_a_day_is_given_up_and_stays_in_sight(still: Office) -> None:
    channel = await one_channel(still)
    await post_to(still, channel.channel_no, "alert 1")
    at_ms, tries = FROM_MS, 0
    while (found := await tried(still, at_ms)) or at_ms < FROM_MS + 26 * 60 * MINUTE_MS:
        for attempt in found:
            tries += 1
            await was_not_delivered(still.connection, attempt.delivery_no, "The mail server answered 451")
        at_ms += MINUTE_MS
    (left,) = await not_arrived(still, at_ms)
    assert (left.next_try_ms, left.last_error, 25 < tries < 45) == (None, "It was tried for a day", True)
    assert await try_now(still.connection, left.delivery_no, at_ms)
    assert len(await tried(still, at_ms)) == 1
    assert await see_to(still.connection, left.delivery_no, "Ann", at_ms)
    assert await not_arrived(still, at_ms) == []


async def test_nothing_goes_to_a_channel_that_was_ended(still: Office) -> None:
    channel = await one_channel(still)
    await post_to(still, channel.channel_no, "alert 1")
    await end_channel(still.connection, "duty", "test", FROM_MS)
    assert await tried(still, FROM_MS) == []
    (left,) = await not_arrived(still, FROM_MS)
    assert left.last_error == "The channel was ended"


async def test_when_a_channel_is_back_what_waits_for_it_goes_at_once(still: Office) -> None:
    channel = await one_channel(still)
    for number in range(4):
        await post_to(still, channel.channel_no, f"alert {number}")
        await tried(still, FROM_MS + number)
    pending = await still.connection.fetchval("SELECT count(*) FROM deliveries WHERE next_try_at IS NOT NULL")
    assert pending == 4
    later = FROM_MS + 30_000
    (first,) = await tried(still, later)
    await was_delivered(still.connection, first.delivery_no, later)
    assert len(await tried(still, later)) == 1


# ------------------------------------------------------------------------------------- targets


@pytest.mark.parametrize(
    "target",
    [
        "duty",
        "a@b@c",
        "a@b\r\nBcc: x@y",
        "a b@c.example",
        "ä@c.example",
        f"{'a' * 300}@c.example",
        "a@c.example,b@c.example",
    ],
)
async def test_what_is_no_mail_address_is_refused(office: Office, target: str) -> None:
    with pytest.raises(UnfitChannel):
        await add_channel(office.connection, NewChannel("x", ChannelKind.EMAIL, target), "test", FROM_MS)


@pytest.mark.parametrize(
    "target",
    ["ftp://a.example", "https://", "https://u:p@a.example", "https://a.example/ x", "https://a.example:99999", "//a.example",
     "https://[::1", "https://a.example/\r\nX: y"],
)  # fmt: skip
async def test_what_is_no_webhook_is_refused(office: Office, target: str) -> None:
    with pytest.raises(UnfitChannel):
        await add_channel(office.connection, NewChannel("x", ChannelKind.WEBHOOK, target), "test", FROM_MS)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[::ffff:127.0.0.1]", "[fe80::1]", "0.0.0.0", "224.0.0.1",
     "localhost", "[64:ff9b::7f00:1]", "[fec0::1]", "[2002:7f00:1::]", "[2002:a00:1::1]", "[2001:0:7f00:1::]"],
)  # fmt: skip
async def test_a_webhook_does_not_reach_into_private_networks(host: str) -> None:
    sender = WebhookSender([])
    with pytest.raises(NotDelivered, match=r"private network|not https"):
        await sender.send(attempt_to(f"https://{host}:1/"), "https://em.example")


async def test_a_webhook_follows_no_redirect() -> None:
    from ipaddress import ip_network

    hook = Hook(302)
    async with hook_server(hook) as address:
        with pytest.raises(NotDelivered, match="answered 302"):
            await WebhookSender([ip_network("127.0.0.0/8")]).send(attempt_to(address), "https://em.example")
    assert len(hook.got) == 1


async def test_a_network_that_the_deployment_names_is_reached() -> None:
    from ipaddress import ip_address, ip_network

    assert may_be_reached(ip_address("10.1.2.3"), [ip_network("10.1.0.0/16")])
    assert not may_be_reached(ip_address("10.2.2.3"), [ip_network("10.1.0.0/16")])
    assert may_be_reached(ip_address("93.184.216.34"), [])


def attempt_to(address: str) -> Attempt:
    from datetime import UTC, datetime
    from uuid import uuid4

    channel = Channel(
        1, "hook", ChannelKind.WEBHOOK, address, "whsec_" + "A" * 43 + "=", None, 1, is_outside=False, is_fallback=False,
        is_canary=False, is_for_wearers=False, entered_at=datetime.now(UTC), entered_by="test",
    )  # fmt: skip
    return Attempt(1, uuid4(), channel, FROM_MS, 1, [{"topic": "test", "subject": "x"}])


async def test_the_secret_of_a_webhook_is_shown_to_no_page(office: Office) -> None:
    await add_channel(
        office.connection,
        NewChannel("x", ChannelKind.WEBHOOK, "https://a.example/", severity_from=1),
        "test",
        FROM_MS,
    )
    connection = await connect(await run_time_dsn(office.settings.database_url or "", RunTime.PAGES))
    try:
        with pytest.raises(Exception, match="permission denied"):
            await connection.fetch("SELECT secret FROM channels")
    finally:
        await connection.close()


async def test_a_message_to_a_wearer_goes_to_who_brings_it_and_to_nobody_else(
    database_url: str, data_dir: Any
) -> None:
    hook, other = Hook(), Hook()
    async with (
        hook_server(hook) as address,
        hook_server(other) as other_address,
        open_office(database_url, data_dir, **mail_settings(1)) as office,
    ):
        await office.report("D1", strap("19:59", 1))
        visitor = Visitor(office)
        await visitor.log_in(await office.account())
        key, number = await visitor.form_key(), None
        while number is None:
            number = await office.connection.fetchval("SELECT alert_no FROM alerts")
        wish = {"form_key": key, "action": "messaged", "message": "charge", "note": "second time"}
        status, page = await visitor.post(f"/alerts/{number}/actions", **wish)
        assert (status, "No channel brings messages to wearers" in page) == (422, True)
        for name, target, brings in [("vendor", address, True), ("room", other_address, False)]:
            new = NewChannel(
                name, ChannelKind.WEBHOOK, target, severity_from=None if brings else 1, is_for_wearers=brings
            )
            await add_channel(office.connection, new, "test", FROM_MS)
        status, where = await visitor.post(f"/alerts/{number}/actions", **wish)
        assert (status, where) == (303, f"/alerts/{number}?done=messaged")
        await until(lambda: hook.got)
        await visitor.http.close()
        status, _ = await office.post(f"/v1/alerts/{number}/actions", {"action": "messaged", "note": "pay me"})
        assert status == 422
        note = "SELECT note FROM alert_actions WHERE action = 'messaged'"
        assert await office.connection.fetchval(note) == "Charge your tag now. second time"
    (message,) = json.loads(hook.got[0][1])["data"]["messages"]
    assert {message[field] for field in ("device", "text")} == {"D1", "Charge your tag now."}
    # The room is told of the alert itself where the watch looks at it only after the room was entered: of nothing else.
    elsewhere = [told for _, body in other.got for told in json.loads(body)["data"]["messages"]]
    assert [told for told in elsewhere if "text" in told or told["what"] != "raised"] == []
