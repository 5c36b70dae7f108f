"""The form key of a session as it stands on a page: another text each time, that the session's key is read out of.

Pages are compressed, and what is compressed is the shorter the more often a text stands in it. Who can make somebody's browser ask
for a page, put a guess into it and see its length, would find out a key that is the same each time (BREACH, 2013).
"""

from __future__ import annotations

import secrets

SEPARATOR = "."


def masked(key: str) -> str:
    """The key under a mask that is drawn anew, and the mask."""
    content = key.encode()
    mask = secrets.token_bytes(len(content))
    return f"{mask.hex()}{SEPARATOR}{_both(content, mask).hex()}"


def is_key(sent: str, key: str) -> bool:
    """Whether what was sent with a form is a key that stood on a page of the session."""
    mask, _, covered = sent.partition(SEPARATOR)
    try:
        found = _both(bytes.fromhex(mask), bytes.fromhex(covered))
    except ValueError:
        return False
    return secrets.compare_digest(found, key.encode())


def _both(one: bytes, other: bytes) -> bytes:
    """Raises ValueError for lengths that differ."""
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
