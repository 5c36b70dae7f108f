"""Into how many shards the wearers are divided, and which is whose. A shard is what one worker owns at a time; one process alone has
them all."""

from __future__ import annotations

from typing import NamedTuple

from emtrack.db.connect import Connection

COUNT = "SELECT shards FROM shard_count"
WEARERS = "SELECT wearer_no FROM wearers WHERE wearer_no % $1 = ANY ($2::bigint[]) ORDER BY wearer_no"


class Shards(NamedTuple):
    """Some shards of `total`."""

    total: int
    owned: frozenset[int]

    @classmethod
    def all_of(cls, total: int) -> Shards:
        return cls(total, frozenset(range(total)))

    def of(self, wearer_no: int) -> int:
        """The shard of a wearer."""
        return wearer_no % self.total

    def have(self, wearer_no: int) -> bool:
        """Whether the wearer is in one of them."""
        return wearer_no % self.total in self.owned

    @property
    def are_all(self) -> bool:
        return len(self.owned) == self.total


async def shard_count(connection: Connection) -> int:
    """Into how many the wearers are divided."""
    count: int = await connection.fetchval(COUNT)
    return count


async def wearers_of(connection: Connection, shards: Shards) -> list[int]:
    """Everybody in some shards."""
    rows = await connection.fetch(WEARERS, shards.total, sorted(shards.owned))
    return [row["wearer_no"] for row in rows]
