"""The map of a page, read back: what emtrack/web/packed.py says of its form, and no more."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

TYPES = {"f8": "<f8", "f4": "<f4", "u1": "u1"}


def unpacked(body: bytes) -> dict[str, Any]:
    """As one would have written it in JSON; None where nothing is known."""
    (length,) = struct.unpack_from("<I", body)
    head: dict[str, Any] = json.loads(body[4 : 4 + length])
    count, described, words = (head.pop(name) for name in ("count", "columns", "words"))
    at, columns = 4 + length, {}
    for name, kind in described:
        assert at % 8 == 0, "a browser reads numbers where they are aligned only"
        values = np.frombuffer(body, TYPES[kind], count, at)
        at += -(-values.nbytes // 8) * 8
        columns[name] = [known(value, words.get(name)) for value in values.tolist()]
    assert at == len(body)
    return head | {"points": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]}


def known(value: float, words: list[str] | None) -> Any:
    if words is not None:
        return None if value == 255 else words[int(value)]
    return None if value != value else value
