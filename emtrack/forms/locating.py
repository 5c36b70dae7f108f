"""Where in a JSON text something stands, for messages to people who mend files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from json import JSONDecoder

from emtrack.forms.errors import FormError

_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|\[\.\.\.\]")
_SPACE = re.compile(r"[ \t\r\n]*")


def form_error_at(text: str, name: str, path: str, what: str) -> FormError:
    line = text.count("\n", 0, _offset_of(text, path)) + 1
    shown = path.removeprefix("$").removeprefix(".") or "the whole file"
    return FormError(f"{name}: line {line}: {shown}: {what}")


def _offset_of(text: str, path: str) -> int:
    """Where in a JSON text the value at a path ($.requirements[0].from) begins, or the nearest one round it."""
    offset = _skip(text, 0)
    for step in _STEP.finditer(path):
        key, index = step.group(1), step.group(2)
        found = None
        if key is not None and text[offset] == "{":
            found = next((at for name, at in _members(text, offset) if name == key), None)
        elif index is not None and text[offset] == "[":
            found = next((at for number, at in enumerate(_items(text, offset)) if number == int(index)), None)
        if found is None:
            return offset
        offset = found
    return offset


def _skip(text: str, offset: int) -> int:
    match = _SPACE.match(text, offset)
    return match.end() if match else offset


def _after_value(text: str, offset: int) -> int:
    return JSONDecoder().raw_decode(text, offset)[1]


def _members(text: str, offset: int) -> Iterator[tuple[str, int]]:
    offset = _skip(text, offset + 1)
    while text[offset] == '"':
        name, offset = JSONDecoder().raw_decode(text, offset)
        offset = _skip(text, _skip(text, offset) + 1)
        yield name, offset
        offset = _skip(text, _after_value(text, offset))
        offset = _skip(text, offset + 1) if text[offset] == "," else offset


def _items(text: str, offset: int) -> Iterator[int]:
    offset = _skip(text, offset + 1)
    while text[offset] != "]":
        yield offset
        offset = _skip(text, _after_value(text, offset))
        offset = _skip(text, offset + 1) if text[offset] == "," else offset
