"""Which versions of orders and activations were held at an instant: by these numbers they are proved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

OF_REQUIREMENTS = """
SELECT version_no FROM requirement_versions WHERE wearer_no = $1 AND entry_no = ANY($2::bigint[]) AND recorded @> $3::timestamptz
"""
OF_ACTIVATIONS = """
SELECT version_no FROM activation_versions WHERE wearer_no = $1 AND activation_no = ANY($2::bigint[]) AND recorded @> $3::timestamptz
"""


async def requirement_versions(
    connection: Connection, wearer_no: int, entry_nos: Sequence[int], held_at_ms: int
) -> list[int]:
    """Of entries of requirements."""
    rows = await connection.fetch(OF_REQUIREMENTS, wearer_no, list(entry_nos), datetime_of(held_at_ms))
    return [row["version_no"] for row in rows]


async def activation_versions(
    connection: Connection, wearer_no: int, activation_nos: Sequence[int], held_at_ms: int
) -> list[int]:
    """Of activations."""
    rows = await connection.fetch(OF_ACTIVATIONS, wearer_no, list(activation_nos), datetime_of(held_at_ms))
    return [row["version_no"] for row in rows]
