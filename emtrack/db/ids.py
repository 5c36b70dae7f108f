"""Ids out of the sequences of the database, taken in blocks."""

from __future__ import annotations

from collections import deque

from emtrack.db.connect import Connection

BLOCK = 1000
NEXT_BLOCKS = "SELECT nextval($1::regclass) AS first FROM generate_series(1, $2)"


class IdBlocks:
    """Hands out ids of a sequence that counts in blocks. Those that are not used are lost, which harms nobody."""

    def __init__(self, sequence: str) -> None:
        self._sequence = sequence
        self._left: deque[int] = deque()

    @property
    def held(self) -> int:
        """How many can be taken without asking the database."""
        return len(self._left)

    async def hold(self, connection: Connection, count: int) -> None:
        """At least `count` are held from now on."""
        if len(self._left) < count:
            blocks = -(-(count - len(self._left)) // BLOCK)
            for row in await connection.fetch(NEXT_BLOCKS, self._sequence, blocks):
                self._left.extend(range(row["first"], row["first"] + BLOCK))

    def take_held(self, count: int) -> list[int]:
        """`count` of those that are held, ascending within a block."""
        assert count <= len(self._left), "they were not held"
        return [self._left.popleft() for _ in range(count)]

    async def take(self, connection: Connection, count: int) -> list[int]:
        """`count` ids, ascending within a block."""
        await self.hold(connection, count)
        return self.take_held(count)
