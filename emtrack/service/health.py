"""How something is that `emtrack doctor` looks at."""

from __future__ import annotations

from enum import StrEnum


class Health(StrEnum):
    GOOD = "good"
    NOTE = "note"
    BAD = "bad"
