"""JSON and MessagePack read strictly: what is said twice is not read at all.

Of a key that stands twice in one object, decoders keep the last and say nothing: a position can so become another. Looking for it
costs nearly nothing where it is not there. In JSON without a backslash every text has two quotation marks, so keys and texts can be
counted on both sides; and MessagePack that is the same when it is written again has lost nothing. Only where that proves nothing
the bytes are walked through.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

import msgspec

DEEPEST = 64
"""Lists and objects in one another. A report has one of them in another, a set of zones in orders nine."""
_TOO_DEEP = f"it is nested too deeply; expected at most {DEEPEST} lists and objects in one another"
_HALF = re.compile(rb"\\u[dD][89abAB]")


_AT_BYTE = re.compile(r"\(byte ([0-9]+)\)")


class UnreadableText(ValueError):
    """Bytes that are not the JSON or MessagePack that they should be. `line`: where, if that is known; the message says what is
    wrong."""

    def __init__(self, what: str, line: int | None = None) -> None:
        super().__init__(what)
        self.line = line


def read_json(body: bytes) -> Any:
    """What a JSON text says. A byte-order mark before it is left out. Raises UnreadableText."""
    body = body.removeprefix(codecs.BOM_UTF8)
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnreadableText("it is in UTF-16; write it in UTF-8")
    try:
        read = msgspec.json.decode(body)
        texts = _texts_in(read, DEEPEST)
        if b"\\" in body or body.count(b'"') != 2 * texts:
            json.loads(body, object_pairs_hook=_refuse_repetition)
    except UnreadableText:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise _why_unreadable(body, error) from error
    return read


def read_msgpack(body: bytes) -> Any:
    """What a MessagePack body says. Raises UnreadableText."""
    try:
        read = msgspec.msgpack.decode(body)
        _texts_in(read, DEEPEST)
        if msgspec.msgpack.encode(read) != body:
            _Maps(body).refuse_repetition()
    except UnreadableText:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, OverflowError, ValueError) as error:
        raise UnreadableText(f"this is not MessagePack: {error}") from error
    return read


def _repeated(key: object) -> UnreadableText:
    return UnreadableText(f"the field {str(key)[:60]!r} stands twice in one object; keep one of them")


def _why_unreadable(body: bytes, error: Exception) -> UnreadableText:
    """The standard library names the line."""
    if isinstance(error, RecursionError):
        return UnreadableText(_TOO_DEEP)
    try:
        text = body.decode()
        json.loads(text)
    except UnicodeDecodeError as no_text:
        return UnreadableText(f"it is not in UTF-8 ({no_text.reason} at byte {no_text.start})")
    except json.JSONDecodeError as no_json:
        return UnreadableText(f"this is not JSON: {no_json.msg}", no_json.lineno)
    except (RecursionError, ValueError) as other:
        return UnreadableText(f"this is not JSON: {other}")
    at = _AT_BYTE.search(str(error))
    if (at is None or "surrogate" in str(error)) and _HALF.search(body):
        return UnreadableText("it holds half of a surrogate pair (\\ud800 or the like), which is no text")
    line = 1 if at is None else body.count(b"\n", 0, int(at[1])) + 1
    return UnreadableText(f"this is not JSON: {error}", line)


def _texts_in(value: Any, deeper: int) -> int:
    """How many keys and texts there are in it. Raises UnreadableText where lists and objects stand in one another more than so often:
    who reads it further goes into them as deep."""
    kind = type(value)
    if kind is str:
        return 1
    if kind is not dict and kind is not list:
        return 0
    if deeper == 0:
        raise UnreadableText(_TOO_DEEP)
    inner = value.values() if kind is dict else value
    kinds = list(map(type, inner))
    count = kinds.count(str) + (len(value) if kind is dict else 0)
    if dict in kinds or list in kinds:
        count += sum(
            _texts_in(one, deeper - 1) for one, of in zip(inner, kinds, strict=True) if of is dict or of is list
        )
    return count


def _refuse_repetition(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        seen: set[str] = set()  # each key is looked at once: a body may have a hundred thousand
        raise _repeated(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]


class _Maps:
    """Walks through MessagePack that is known to be whole."""

    _SIZES = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
              0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}  # fmt: skip
    """Bytes after the first, of numbers and of extensions of a fixed length."""
    _LENGTHS = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1),
                0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}  # fmt: skip
    """Bytes of the length, and what is not counted in it, of bytes, extensions and texts."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def refuse_repetition(self) -> None:
        first = self._body[self._at]
        self._at += 1
        if first >> 4 == 0x8 or first in (0xDE, 0xDF):
            self._walk_map(first & 15 if first >> 4 == 0x8 else self._number(2 if first == 0xDE else 4))
        elif first >> 4 == 0x9 or first in (0xDC, 0xDD):
            for _ in range(first & 15 if first >> 4 == 0x9 else self._number(2 if first == 0xDC else 4)):
                self.refuse_repetition()
        elif 0xA0 <= first <= 0xBF:
            self._at += first & 31
        elif first in self._LENGTHS:
            width, more = self._LENGTHS[first]
            length = self._number(width)
            self._at += length + more
        else:
            self._at += self._SIZES.get(first, 0)

    def _walk_map(self, size: int) -> None:
        seen: set[Any] = set()
        for _ in range(size):
            begin = self._at
            self.refuse_repetition()
            key = msgspec.msgpack.decode(self._body[begin : self._at])
            if key in seen:
                raise _repeated(key)
            seen.add(key)
            self.refuse_repetition()

    def _number(self, width: int) -> int:
        number = int.from_bytes(self._body[self._at : self._at + width])
        self._at += width
        return number
