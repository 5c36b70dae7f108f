"""Lines of a vector tile (Mapbox Vector Tile 2.1: protocol buffers), with their kind and name. A tile comes from a file of the
deployment, so what does not fit the format is an error and never a loop.

    tile     3: layer ...
    layer    1: name, 2: feature ..., 3: key ..., 4: value ..., 5: extent
    feature  2: tags (pairs of numbers of a key and a value), 3: type (2: lines), 4: geometry (commands)
    value    1: text
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final, NamedTuple

LINES: Final = 2
MOVE, LINE = 1, 2
DEFAULT_EXTENT: Final = 4096
VARINT, FIXED_64, BYTES, FIXED_32 = 0, 1, 2, 5


class UnfitTile(ValueError):
    """Bytes that are no vector tile."""


class TileLine(NamedTuple):
    """`points`: across and down, 0 to 1 within the tile, and beyond its edges a little. `tags`: those of its attributes that are
    texts."""

    layer: str
    tags: dict[str, str]
    points: list[tuple[float, float]]


def lines_of(tile: bytes, layers: Container[str]) -> Iterator[TileLine]:
    """Of some layers. Raises UnfitTile."""
    try:
        for number, content in _fields(tile):
            if number == 3 and isinstance(content, bytes):
                yield from _of_layer(content, layers)
    except (IndexError, UnicodeDecodeError, ZeroDivisionError) as error:
        raise UnfitTile(f"it ends, or says something, where it should not: {type(error).__name__}") from error


def _of_layer(layer: bytes, layers: Container[str]) -> Iterator[TileLine]:
    name, extent = "", DEFAULT_EXTENT
    keys: list[str] = []
    values: list[str | None] = []
    features: list[bytes] = []
    for number, content in _fields(layer):
        if number == 5 and isinstance(content, int):
            extent = content
        elif isinstance(content, bytes):
            if number == 1:
                name = content.decode()
                if name not in layers:
                    return
            elif number == 2:
                features.append(content)
            elif number == 3:
                keys.append(content.decode())
            elif number == 4:
                values.append(_text_of(content))
    for feature in features:
        tags, kind, commands = _feature(feature)
        if kind == LINES:
            said = {
                keys[k]: text for k, v in zip(tags[::2], tags[1::2], strict=False) if (text := values[v]) is not None
            }
            for points in _paths(commands):
                yield TileLine(name, said, [(x / extent, y / extent) for x, y in points])


def _text_of(value: bytes) -> str | None:
    return next(
        (content.decode() for number, content in _fields(value) if number == 1 and isinstance(content, bytes)), None
    )


def _feature(feature: bytes) -> tuple[list[int], int, list[int]]:
    tags: list[int] = []
    kind = 0
    commands: list[int] = []
    for number, content in _fields(feature):
        if number == 2 and isinstance(content, bytes):
            tags = _numbers(content)
        elif number == 3 and isinstance(content, int):
            kind = content
        elif number == 4 and isinstance(content, bytes):
            commands = _numbers(content)
    return tags, kind, commands


def _paths(commands: list[int]) -> Iterator[list[tuple[int, int]]]:
    """Each command says how many steps of it follow; a step is relative to the point before."""
    x, y, place = 0, 0, 0
    path: list[tuple[int, int]] = []
    while place < len(commands):
        command, count = commands[place] & 7, commands[place] >> 3
        place += 1
        if command not in (MOVE, LINE):
            raise UnfitTile(f"a line has the command {command}")
        for _ in range(min(count, (len(commands) - place) // 2)):
            x, y = x + _signed(commands[place]), y + _signed(commands[place + 1])
            place += 2
            if command == MOVE:
                if len(path) > 1:
                    yield path
                path = []
            path.append((x, y))
    if len(path) > 1:
        yield path


def _signed(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers of fields with what they hold; what has no place in a tile is passed over."""
    place = 0
    while place < len(data):
        head, place = _varint(data, place)
        number, wire = head >> 3, head & 7
        if wire == VARINT:
            value, place = _varint(data, place)
            yield number, value
        elif wire == BYTES:
            length, place = _varint(data, place)
            if place + length > len(data):
                raise UnfitTile("a field is longer than the tile")
            yield number, data[place : place + length]
            place += length
        elif wire in (FIXED_64, FIXED_32):
            place += 8 if wire == FIXED_64 else 4
        else:
            raise UnfitTile(f"a field of the kind {wire}")


def _numbers(data: bytes) -> list[int]:
    found, place = [], 0
    while place < len(data):
        number, place = _varint(data, place)
        found.append(number)
    return found


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where it ends; at most ten groups."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, place
    raise UnfitTile("a number of more than ten bytes")
