"""What stands behind a report, as files that leave the service say it (docs/decisions/0046): `authenticated`.

yes: a key of the device, or a private network into which only devices of the deployment come. no: nothing but an identifier that
others may know, such as an IMEI, or a telephone that checks in. Such evidence is judged like any other.
"""

from __future__ import annotations

from typing import Final

AUTHENTICATED: Final = "authenticated"
"""The name of the column, property or field."""


def authenticated_word(is_authenticated: bool) -> str:
    """As tables and GPX have it; JSON and Parquet have a boolean."""
    return "yes" if is_authenticated else "no"
