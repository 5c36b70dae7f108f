"""A script of a shift, for those who learn: what happens when, what to look at, and what to do. It is a file that a trainer writes;
the demonstration writes one of its own."""

from __future__ import annotations

from pathlib import Path

import msgspec

from emtrack.settings import SettingsError
from geofence import NotAnInstant, parse_instant

LARGEST = 200_000
MOST_STEPS = 100


class GuideStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`at`: when it happens. `look_at`: a page of ours."""

    at: str
    title: str
    text: str
    look_at: str | None = None

    @property
    def at_ms(self) -> int:
        return parse_instant(self.at)


class Guide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    steps: list[GuideStep]

    def reached(self, now_ms: int) -> int:
        """How many of its steps have begun."""
        return sum(step.at_ms <= now_ms for step in self.steps)


def read_guide(path: Path | None) -> Guide | None:
    """None: there is none. Raises SettingsError, which says what is wrong with the file."""
    if path is None:
        return None
    try:
        if path.stat().st_size > LARGEST:
            raise SettingsError(f"EMTRACK_GUIDE: {path} is larger than {LARGEST:,} bytes")
        guide = msgspec.json.decode(path.read_bytes(), type=Guide)
        if not 1 <= len(guide.steps) <= MOST_STEPS:
            raise SettingsError(f"EMTRACK_GUIDE: {path} has {len(guide.steps)} steps; expected 1 to {MOST_STEPS}")
        steps = sorted(guide.steps, key=lambda step: step.at_ms)
    except (OSError, msgspec.DecodeError, NotAnInstant) as error:
        raise SettingsError(f"EMTRACK_GUIDE: {path} cannot be used: {error}") from error
    foreign = next((s.look_at for s in steps if s.look_at and not is_ours(s.look_at)), None)
    if foreign is not None:
        raise SettingsError(f"EMTRACK_GUIDE: {path}: look_at is {foreign[:60]!r}; expected a page such as /alerts")
    return Guide(guide.title, steps)


def is_ours(path: str) -> bool:
    return path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
