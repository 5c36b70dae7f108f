"""Signed requests: the higher grade of evidence.

A device signs with Ed25519 what nobody else can have written: its id, the boot, and the reports exactly as their bytes stand in the
request. The grade is kept with the bytes and the signature, so that anybody can check it again with the public key. It says who wrote
the reports, and nothing of when: the order of arrival proves nothing, and a request that is sent again is signed as well as the first
time.

    message = device id + "\\n" + boot in decimal + "\\n" + bytes of `reports`
"""

from __future__ import annotations

import base64
import binascii
import codecs
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

SIGNATURE_BYTES = 64


class SentSignature(msgspec.Struct, frozen=True):
    """What a request says. `signature`: empty where it is none that can be read. `reports`: the bytes that it is over."""

    signature: bytes
    reports: bytes


class Checked(NamedTuple):
    """What came of a signature. `key_no`: which key made it; None: none that is good."""

    key_no: int | None


class Signing(msgspec.Struct, frozen=True):
    """A request with a signature that was checked. `key_no`: which key made it; None: none that is good."""

    key_no: int | None
    boot: int
    signature: bytes
    reports: bytes


class _Bytes(msgspec.Struct):
    """A request, of which only the bytes of its reports are wanted."""

    reports: msgspec.Raw


_DECODERS = {
    "application/json": msgspec.json.Decoder(_Bytes).decode,
    "application/msgpack": msgspec.msgpack.Decoder(_Bytes).decode,
}


def sent_signature(request: dict[str, Any], body: bytes, content_type: str) -> SentSignature | None:
    """Of a request that was read from `body`; None: it is not signed. Never raises."""
    if request.get("signature") is None:
        return None
    try:
        reports = bytes(_DECODERS[content_type](body.removeprefix(codecs.BOM_UTF8)).reports)
    except msgspec.DecodeError:
        reports = b""
    return SentSignature(_signature_of(request["signature"]), reports)


def _signature_of(sent: Any) -> bytes:
    """Of 64 bytes, or of their base64; anything else is no signature."""
    try:
        found = sent if isinstance(sent, bytes) else base64.b64decode(sent, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return b""
    return found if len(found) == SIGNATURE_BYTES else b""


Check = Callable[[str, bytes, bytes], Checked | None]
"""(device id, message, signature) -> what came of it; None: the device never had a key to sign with."""


def signing_of(device_id: str, boot: int, sent: SentSignature | None, check: Check) -> Signing | None:
    """Of a request; None: it is not signed, or there is no key to check it by."""
    if sent is None:
        return None
    found = check(device_id, signed_message(device_id, boot, sent.reports), sent.signature)
    return None if found is None else Signing(found.key_no, boot, sent.signature, sent.reports)


def signed_message(device_id: str, boot: int, reports: bytes) -> bytes:
    """What is signed. No device id holds a line feed, so that two requests never have one message."""
    return b"%b\n%d\n%b" % (device_id.encode(), boot, reports)
