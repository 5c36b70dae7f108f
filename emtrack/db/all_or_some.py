"""Questions that are asked of everybody, or of some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg

from emtrack.db.connect import Connection


class AllOrSome(NamedTuple):
    """A question of all, and the same of some. As one statement (`$1 IS NULL OR wearer_no = ANY($1)`) it gets one plan for both as
    soon as the server keeps one, and that reads everybody's rows for each few who are asked for."""

    of_all: str
    of_some: str

    @classmethod
    def of(cls, statement: str, some: str) -> AllOrSome:
        """`statement`: with `{some}` where the condition goes; `some`: begins with AND or WHERE, its last parameter is the list."""
        return cls(statement.format(some=""), statement.format(some=some))

    async def fetch(
        self, connection: Connection, numbers: Sequence[int] | None, *before: Any
    ) -> list[asyncpg.Record]:
        """`numbers` None: of all. `before`: the parameters before the list."""
        if numbers is None:
            return await connection.fetch(self.of_all, *before)
        return await connection.fetch(self.of_some, *before, list(numbers))
