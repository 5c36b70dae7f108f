"""Of the people of the demonstration what the map of their town is made from."""

from __future__ import annotations

import msgspec

Place = tuple[float, float]


class People(msgspec.Struct, frozen=True):
    """Where invented people live and go: points in metres of the emulator's frame. `angle_rad`: how far the streets are turned;
    `street_m`: how far apart they lie."""

    seed: int
    angle_rad: float
    street_m: float
    places: list[Place]
