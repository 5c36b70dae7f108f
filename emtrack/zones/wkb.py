"""Geometries out of WKB, as they were drawn: no library that gives up at the first ring that is not closed."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

_NAMES = {1: "Point", 2: "LineString", 3: "Polygon", 4: "MultiPoint", 5: "MultiLineString", 6: "MultiPolygon",
          7: "GeometryCollection", 8: "CircularString", 9: "CompoundCurve", 10: "CurvePolygon", 11: "MultiCurve",
          12: "MultiSurface", 15: "PolyhedralSurface", 16: "TIN", 17: "Triangle", 101: "LinearRing"}  # fmt: skip
_DEEPEST = 8


class NoArea(ValueError):
    """A geometry that is no area. The message says what it is."""


class Drawn(NamedTuple):
    """`polygons`: lists of rings of [x, y]. `has_heights`: a third number was left out."""

    polygons: list[Any]
    has_heights: bool


def read_wkb(wkb: bytes) -> Drawn:
    """The polygons of a geometry. Raises NoArea."""
    if not wkb:
        raise NoArea("its geometry is of a kind by itself, such as a LinearRing; only areas can be zones")
    reader = _Reader(wkb)
    try:
        polygons = reader.polygons(0)
    except (struct.error, ValueError) as error:
        if isinstance(error, NoArea):
            raise
        raise NoArea("its geometry is cut off") from error
    return Drawn(polygons, reader.has_heights)


class _Reader:
    def __init__(self, wkb: bytes) -> None:
        self._wkb = wkb
        self._at = 0
        self.has_heights = False

    def polygons(self, depth: int) -> list[Any]:
        order, kind, dimensions = self._head()
        if kind == 3:
            return [[self._ring(order, dimensions) for _ in range(self._count(order))]]
        if kind not in (6, 7) or depth > _DEEPEST:
            raise NoArea(f"its geometry is {_NAMES.get(kind, f'of type {kind}')}; only areas can be zones")
        return [polygon for _ in range(self._count(order)) for polygon in self.polygons(depth + 1)]

    def _head(self) -> tuple[str, int, int]:
        order = "<" if self._wkb[self._at : self._at + 1] == b"\1" else ">"
        (code,) = struct.unpack_from(order + "I", self._wkb, self._at + 1)
        self._at += 5
        if code & 0x20000000:  # a number of the coordinate system follows
            self._at += 4
        has_z = bool(code & 0x80000000) or (code & 0xFFFF) // 1000 in (1, 3)
        has_m = bool(code & 0x40000000) or (code & 0xFFFF) // 1000 in (2, 3)
        self.has_heights |= has_z
        return order, (code & 0xFFFF) % 1000, 2 + has_z + has_m

    def _count(self, order: str) -> int:
        (count,) = struct.unpack_from(order + "I", self._wkb, self._at)
        self._at += 4
        if count > len(self._wkb):
            raise ValueError("more parts than bytes")
        return int(count)

    def _ring(self, order: str, dimensions: int) -> list[list[float]]:
        count = self._count(order)
        numbers = np.frombuffer(self._wkb, np.dtype(order + "f8"), count * dimensions, self._at)
        self._at += 8 * count * dimensions
        corners: list[list[float]] = numbers.reshape(count, dimensions)[:, :2].tolist()
        return corners
