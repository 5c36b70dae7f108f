"""Ids out of the sequences of the database, taken in blocks."""

from __future__ import annotations

from emtrack.db.connect import Connection

BLOCK = 1000
NEXT_BLOCKS = "SELECT nextval($1::regclass) AS first FROM generate_series(1, $2)"


class IdBlocks:
    """Hands out ids of a sequence that counts in blocks. Those that are not used are lost, which harms nobody."""

    def __init__(self, sequence: str) -> None:
        self._sequence = sequence
        self._left: list[int] = []

    async def take(self, connection: Connection, count: int) -> list[int]:
        """`count` ids, ascending within a block."""
        if len(self._left) < count:
            blocks = -(-(count - len(self._left)) // BLOCK)
            for row in await connection.fetch(NEXT_BLOCKS, self._sequence, blocks):
                self._left.extend(range(row["first"], row["first"] + BLOCK))
        taken, self._left = self._left[:count], self._left[count:]
        return taken
