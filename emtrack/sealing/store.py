"""The tree in the database: what waits for it, the nodes that are kept, and its heads. Functions take the caller's connection.

Numbers of material are taken before their transactions commit, so that a lower one can appear after a higher one. Nothing here goes
by "greater than the last": a pass takes in all that is visible and not in the tree yet, above `settled`. That number moves up only
when every transaction has ended that ran when it was the highest one seen (a row of material always comes after a row that its
transaction wrote, so its transaction has a number by then).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from emtrack.db.connect import Connection
from emtrack.sealing.tree import Growing, Node, Range, fold, hashes_in, kept_nodes, node_hash, nodes_of

MOST_MATERIAL: Final = 500
MOST_LEAVES: Final = 20_000
"""So much of what waits is taken in at once; a statement that added more rows than that is taken in alone."""

# That $1 bounds the leaves too keeps a join, of whichever kind, from reading those of the whole log.
WAITS = "material_no > $1 AND NOT EXISTS (SELECT FROM log_leaves l WHERE l.material_no = m.material_no AND l.material_no > $1)"
# What is not in the tree, from the lowest number on.
WAITING = f"""
SELECT material_no, hashes FROM log_material m
WHERE {WAITS}
ORDER BY material_no LIMIT $2
"""  # noqa: S608  a constant made of constants
LOWEST_WAITING = f"""
SELECT material_no FROM log_material m
WHERE {WAITS}
ORDER BY material_no LIMIT 1
"""  # noqa: S608  a constant made of constants
WAITING_LEAVES = f"""
SELECT coalesce(sum(length(hashes) / 32), 0)::bigint FROM log_material m
WHERE {WAITS}
"""  # noqa: S608  a constant made of constants
# Who took a number up to the highest that is seen has a number of transaction below that of this statement, which is made after.
FENCE = """
SELECT (SELECT max(material_no) FROM log_material) AS highest, pg_current_xact_id()::text::bigint AS until
"""
ENDED_BEFORE = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
PLACE = "INSERT INTO log_leaves (material_no, first_leaf) SELECT * FROM unnest($1::bigint[], $2::bigint[])"
KEEP_NODES = (
    "INSERT INTO log_nodes (level, node_no, hash) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])"
)
NEW_HEAD = "INSERT INTO log_heads (size, root, settled, signed_at, note) VALUES ($1, $2, $3, $4, $5)"
LAST_HEAD = "SELECT size, root, settled, note FROM log_heads ORDER BY head_no DESC LIMIT 1"
HEAD_OF_SIZE = "SELECT size, root, settled, note FROM log_heads WHERE size = $1 ORDER BY head_no DESC LIMIT 1"
NODES = """
SELECT n.level, n.node_no, n.hash FROM unnest($1::bigint[], $2::bigint[]) AS w (level, node_no)
JOIN log_nodes n USING (level, node_no)
"""
# The material in which leaves of [begin, end) stand.
LEAVES = """
SELECT l.first_leaf, m.hashes FROM log_leaves l JOIN log_material m USING (material_no)
WHERE l.first_leaf < $2 AND l.first_leaf >= coalesce((SELECT max(first_leaf) FROM log_leaves WHERE first_leaf <= $1), 0)
ORDER BY l.first_leaf
"""


class StoredHead(NamedTuple):
    """A head that was published. `note`: as it was signed."""

    size: int
    root: bytes
    settled: int
    note: str


class Material(NamedTuple):
    """Hashes that wait."""

    material_no: int
    hashes: bytes


class Fence(NamedTuple):
    """`highest`: number of material seen; all below it is settled once every transaction before `until` has ended."""

    highest: int
    until: int


async def last_head(connection: Connection) -> StoredHead | None:
    row = await connection.fetchrow(LAST_HEAD)
    return None if row is None else StoredHead(*row)


async def head_of_size(connection: Connection, size: int) -> StoredHead | None:
    row = await connection.fetchrow(HEAD_OF_SIZE, size)
    return None if row is None else StoredHead(*row)


async def waiting(connection: Connection, settled: int) -> list[Material]:
    """What is taken in next, within the bounds."""
    taken: list[Material] = []
    leaves = 0
    for row in await connection.fetch(WAITING, settled, MOST_MATERIAL):
        leaves += len(row["hashes"]) // 32
        if taken and leaves > MOST_LEAVES:
            break
        taken.append(Material(row["material_no"], row["hashes"]))
    return taken


async def lowest_waiting(connection: Connection, settled: int) -> int | None:
    """The lowest number of material that is visible and not in the tree."""
    number: int | None = await connection.fetchval(LOWEST_WAITING, settled)
    return number


async def waiting_leaves(connection: Connection, settled: int) -> int:
    count: int = await connection.fetchval(WAITING_LEAVES, settled)
    return count


async def fence(connection: Connection) -> Fence:
    """A fence at what is seen now. Outside of transactions."""
    row = await connection.fetchrow(FENCE)
    assert row is not None, "one row"
    return Fence(row["highest"] or 0, row["until"])


async def ended_before(connection: Connection) -> int:
    """The number of a transaction before which every other has ended."""
    number: int = await connection.fetchval(ENDED_BEFORE)
    return number


async def place(
    connection: Connection, taken: Iterable[Material], first_leaf: int, nodes: Mapping[Node, bytes]
) -> None:
    """Say where material stands, and keep the nodes that it completed. Inside a transaction."""
    numbers, places = [], []
    for material in taken:
        numbers.append(material.material_no)
        places.append(first_leaf)
        first_leaf += len(material.hashes) // 32
    await connection.execute(PLACE, numbers, places)
    await connection.execute(
        KEEP_NODES, [node.level for node in nodes], [node.number for node in nodes], list(nodes.values())
    )


async def publish(connection: Connection, head: StoredHead, at: datetime) -> None:
    await connection.execute(NEW_HEAD, head.size, head.root, head.settled, at, head.note)


async def fetch_nodes(connection: Connection, wanted: set[Node]) -> dict[Node, bytes]:
    """Kept nodes, and leaves (level 0), of a tree that is stored."""
    above = [node for node in wanted if node.level]
    rows = await connection.fetch(NODES, [node.level for node in above], [node.number for node in above])
    found = {Node(row["level"], row["node_no"]): row["hash"] for row in rows}
    for begin, end in _runs(sorted(node.number for node in wanted if not node.level)):
        found |= await _leaves(connection, begin, end)
    return found


def _runs(numbers: list[int]) -> list[Range]:
    """Numbers that follow one another, as ranges."""
    runs: list[Range] = []
    for number in numbers:
        if runs and runs[-1].end == number:
            runs[-1] = Range(runs[-1].begin, number + 1)
        else:
            runs.append(Range(number, number + 1))
    return runs


async def _leaves(connection: Connection, begin: int, end: int) -> dict[Node, bytes]:
    found = {}
    for row in await connection.fetch(LEAVES, begin, end):
        for leaf, hashed in enumerate(hashes_in(row["hashes"]), start=row["first_leaf"]):
            if begin <= leaf < end:
                found[Node(0, leaf)] = hashed
    return found


async def range_hashes(connection: Connection, ranges: list[Range]) -> list[bytes]:
    """Of each range of leaves of the stored tree."""
    parts = [list(nodes_of([one])) for one in ranges]
    kept = await fetch_nodes(connection, kept_nodes(node for part in parts for node in part))
    return [fold([node_hash(node, kept) for node in part]) for part in parts]


async def stored_tree(connection: Connection, size: int) -> Growing:
    """The tree as it was published, ready to grow."""
    nodes = list(nodes_of([Range(0, size)]))
    kept = await fetch_nodes(connection, kept_nodes(nodes))
    return Growing(size, [node_hash(node, kept) for node in nodes])
