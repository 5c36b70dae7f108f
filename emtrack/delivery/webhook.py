"""Webhooks, signed as Standard Webhooks has it (https://www.standardwebhooks.com): HMAC-SHA256 over id, time and body.

    webhook-id           of the delivery, the same at each attempt: who has it already leaves it
    webhook-timestamp    seconds of the machine's clock: what is older than some minutes is a replay
    webhook-signature    v1, and base64 of the HMAC by the secret of the channel

An address is an administrator's; its host may still come to mean another machine. So each address it resolves to is checked and the
connection made to what was checked; redirects are not followed, and of an answer only the status is read.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import socket
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from alerts import Attempt
from emtrack.delivery.errors import NotDelivered
from emtrack.delivery.wording import shown_fields
from geofence import format_instant

WITHIN_S: Final = 10.0
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Forbidden(OSError):
    """An address to which nothing may be sent."""


def signature_of(secret: str, delivery_id: str, at_s: int, body: bytes) -> str:
    """As it stands in `webhook-signature`."""
    key = b64decode(secret.removeprefix("whsec_"))
    signed = hmac.new(key, f"{delivery_id}.{at_s}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{b64encode(signed).decode()}"


def body_of(attempt: Attempt, base_url: str) -> bytes:
    messages = [shown_fields(fields, base_url) for fields in attempt.messages]
    return msgspec.json.encode(
        {"type": "emtrack.messages", "timestamp": format_instant(attempt.made_ms), "data": {"messages": messages}}
    )


def may_be_reached(address: Address, allowed: Sequence[Network]) -> bool:
    """A public address, or one of the networks that the deployment names."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.is_site_local or address.teredo is not None:
            return False
        address = address.ipv4_mapped or address.sixtofour or address  # what it is sent to in the end
    if any(address in network for network in allowed if network.version == address.version):
        return True
    return address.is_global and not address.is_multicast and not address.is_reserved


NAMES: Final = ThreadPoolExecutor(8, thread_name_prefix="names of webhooks")
"""Names are looked up by threads of their own: a server of names that does not answer keeps nobody else's work waiting."""


async def _looked_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(NAMES, socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
    return [
        ResolveResult(hostname=host, host=str(address[0]), port=port, family=kind, proto=protocol, flags=0)
        for kind, _, protocol, _, address in found
    ]


class CheckedResolver(AbstractResolver):
    """Gives only addresses that may be reached: the connection is made to what it gives."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await _looked_up(host, port, family)
        if not found or not all(may_be_reached(ipaddress.ip_address(one["host"]), self._allowed) for one in found):
            raise Forbidden
        return found

    async def close(self) -> None:
        return


class WebhookSender:
    """Sends to https, and to http in networks that the deployment names: nothing goes over a public network as it is."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed

    async def send(self, attempt: Attempt, base_url: str) -> None:
        """Raises NotDelivered."""
        body, at_s, delivery_id = body_of(attempt, base_url), int(time.time()), str(attempt.delivery_id)
        assert attempt.channel.secret is not None, "a webhook has a secret"
        headers = {
            "content-type": "application/json", "user-agent": "emtrack", "webhook-id": delivery_id, "webhook-timestamp": str(at_s),
            "webhook-signature": signature_of(attempt.channel.secret, delivery_id, at_s, body),
        }  # fmt: skip
        allowed = LOOPBACK if attempt.channel.is_canary else self._allowed
        _refuse_forbidden(attempt.channel.target, allowed)
        status = await _status(attempt.channel.target, body, headers, allowed)
        if not 200 <= status < 300:
            raise NotDelivered(f"The webhook answered {status}")


FORBIDDEN: Final = (
    "The webhook's host is in a private network that the service may not reach: an administrator can allow it"
)


def _refuse_forbidden(target: str, allowed: Sequence[Network]) -> None:
    """What no resolver is asked: an address that is a number, and one without TLS."""
    parts = urlsplit(target)
    host = parts.hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if parts.scheme != "https":
            raise NotDelivered("The webhook is not https") from None
        return
    if not may_be_reached(address, allowed):
        raise NotDelivered(FORBIDDEN)
    if parts.scheme != "https" and address.is_global:
        raise NotDelivered("The webhook is not https")


async def _status(target: str, body: bytes, headers: dict[str, str], allowed: Sequence[Network]) -> int:
    connector = aiohttp.TCPConnector(resolver=CheckedResolver(allowed), use_dns_cache=False, force_close=True)
    limit = aiohttp.ClientTimeout(total=WITHIN_S)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=limit, cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.post(target, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, Forbidden):
            raise NotDelivered(FORBIDDEN) from error
        raise NotDelivered("The webhook could not be reached") from error
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise NotDelivered(f"The webhook could not be reached ({type(error).__name__})") from error
