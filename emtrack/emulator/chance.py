"""Chance that can be repeated: every purpose has a source of its own."""

from __future__ import annotations

from random import Random
from typing import TypeVar

T = TypeVar("T")


def dice(seed: int, purpose: str, *numbers: int) -> Random:
    """A source of chance of its own for each purpose, so that one more draw here moves nothing there."""
    return Random(f"{seed}/{purpose}/{'/'.join(map(str, numbers))}")


def draw(rng: Random, weighted: tuple[tuple[float, T], ...]) -> T:
    """One of `weighted` (weight, thing)."""
    return rng.choices([thing for _, thing in weighted], [weight for weight, _ in weighted])[0]
