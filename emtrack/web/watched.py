"""What pages say of the service's own watching."""

from __future__ import annotations

from typing import Protocol


class Watched(Protocol):
    """Asked for every page."""

    def trouble(self) -> str | None:
        """Why nobody is watched now; None: all is well."""

    def late(self) -> str | None:
        """What of the watching is late; None: nothing is."""
