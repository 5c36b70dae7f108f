"""An area as pages take it: a town, a quarter, a street, the first half of a postcode; never a house."""

from __future__ import annotations

import re

from emtrack.web.guard import Problem

AREA = re.compile(r"([A-Za-z][A-Za-z' .-]*)?|[A-Za-z]{1,2}[0-9][0-9A-Za-z]?")
"""No house number: whoever could ask for one could find out an address by guessing."""
LONGEST = 200


def read_area(text: str | None) -> str | None:
    """Raises Problem."""
    area = (text or "").strip()[:LONGEST]
    if AREA.fullmatch(area) is None:
        raise Problem(
            400, "An area is a town, a quarter or a street, or the first half of a postcode; never a house number."
        )
    return area or None
