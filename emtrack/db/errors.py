"""Whose an error is."""

from __future__ import annotations

import asyncpg


def is_of_the_database(error: Exception) -> bool:
    """Whether the database could not do what it was asked, and not: would not have a value that we made, or gave one that we cannot
    read."""
    if isinstance(error, asyncpg.DataError | asyncpg.IntegrityConstraintViolationError | ValueError):
        return False
    return isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError | OSError)
