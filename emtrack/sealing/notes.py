"""Signed heads: checkpoints of a log in signed notes, as C2SP has both, so that witnesses of others can read them.

emtrack-0f5c2a91            the name of the log
48213                       how many leaves it has
x8fK…=                      the root, in base64
at 2026-03-02T19:00:00Z     when it was signed, by the machine's clock

— emtrack-0f5c2a91 Az3J…=   four bytes that name the key, and the Ed25519 signature of the text before the empty line
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from emtrack.errors import MendableError
from emtrack.sealing.tree import HASH_BYTES

ED25519: Final = b"\x01"
SIGNATURE_BEGINS: Final = "— "
KEY_BYTES: Final = 32


class UnfitHead(MendableError, ValueError):
    """A head or a key that cannot be read, or a signature that is not of the key."""

    exit_code = 1


class Head(NamedTuple):
    """What a log says of itself."""

    log: str
    size: int
    root: bytes
    at: str


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def name_of_log(first_key: bytes) -> str:
    """A log is called after its first public key."""
    return f"emtrack-{hashlib.sha256(first_key).hexdigest()[:8]}"


def key_id(log: str, public: bytes) -> bytes:
    return hashlib.sha256(f"{log}\n".encode() + ED25519 + public).digest()[:4]


def told_key(log: str, public: bytes) -> str:
    """A public key in a line, as verifiers of signed notes take it."""
    return f"{log}+{key_id(log, public).hex()}+{_base64(ED25519 + public)}"


def read_key(line: str) -> tuple[str, bytes]:
    """The name of the log, and the 32 bytes of its key. Raises UnfitHead."""
    log, _, rest = line.strip().partition("+")
    _, _, encoded = rest.partition("+")
    held = _from_base64(encoded)
    if held is None or held[:1] != ED25519 or len(held) != KEY_BYTES + 1 or told_key(log, held[1:]) != line.strip():
        raise UnfitHead("this is no public key of a log; expected one line NAME+ID+KEY, as in the file log.pub")
    return log, held[1:]


def signed_note(head: Head, key: Ed25519PrivateKey) -> str:
    text = f"{head.log}\n{head.size}\n{_base64(head.root)}\nat {head.at}\n"
    signature = key_id(head.log, public_bytes(key)) + key.sign(text.encode())
    return f"{text}\n{SIGNATURE_BEGINS}{head.log} {_base64(signature)}\n"


def read_note(note: str, log: str, public: bytes) -> Head:
    """The head of a note that `public` signed. Raises UnfitHead."""
    text, _, signatures = note.partition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        name, _, encoded = line.removeprefix(SIGNATURE_BEGINS).rpartition(" ")
        held = _from_base64(encoded)
        if name == log and held is not None and held[:4] == key_id(log, public):
            try:
                Ed25519PublicKey.from_public_bytes(public).verify(held[4:], text.encode())
            except InvalidSignature:
                raise UnfitHead("the signature of the head is not of this key, or the head was changed") from None
            return _head_in(text, log)
    raise UnfitHead("the head is not signed by this key")


def _head_in(text: str, log: str) -> Head:
    lines = text.splitlines()
    root = _from_base64(lines[2]) if len(lines) == 4 else None
    if root is None or len(root) != HASH_BYTES or lines[0] != log or not lines[1].isdigit():
        raise UnfitHead(
            "this is no head of the log; expected its name, its size, its root and its time in four lines"
        )
    return Head(log, int(lines[1]), root, lines[3].removeprefix("at "))


def _base64(held: bytes) -> str:
    return base64.b64encode(held).decode()


def _from_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
