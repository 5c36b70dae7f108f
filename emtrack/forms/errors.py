"""A form that does not fit, told so that a person can mend it."""

from __future__ import annotations

from typing import Any

from emtrack.errors import MendableError


class FormError(MendableError, ValueError):
    """A file or body that does not fit its form. The message names the line, the field and what was expected. `overlaps`: where
    two entries hold at one time, the other of them, for programs."""

    overlaps: dict[str, Any] | None = None
