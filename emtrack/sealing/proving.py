"""Making proofs out of the record: a row's canonical bytes and salt, with the hashes that lead from its leaf to the newest head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from emtrack.errors import MendableError
from emtrack.sealing.check import PLAIN_TEXT
from emtrack.sealing.proofs import Consistency, Inclusion
from emtrack.sealing.store import StoredHead, head_of_size, last_head, range_hashes
from emtrack.sealing.tree import consistency_ranges, inclusion_ranges

if TYPE_CHECKING:
    from datetime import datetime

    from emtrack.db.connect import Connection

PROVABLE: Final[Mapping[str, Sequence[str]]] = {
    "fact": (
        "raw_reports",
        "raw_requests",
        "positions",
        "future_positions",
        "device_events",
        "quarantine",
        "quarantine_releases",
    ),
    "finding": ("findings", "finding_versions"),
    "action": ("alert_actions",),
    "look": ("looks",),
    "disclosure": ("disclosures",),
    "order": ("order_changes",),
    "activation": ("activation_versions", "activation_versions closed"),
    "requirement": ("requirement_versions", "requirement_versions closed"),
    "removal": ("retention_removals",),
}
"""What can be asked for by its number, and of which kinds its rows are."""

# The newest leaf of each row with a key.
LEAVES_OF_KEY = """
SELECT DISTINCT ON (u.part) u.part, m.form, l.first_leaf + u.at - 1 AS leaf
FROM log_material m CROSS JOIN LATERAL unnest(m.keys, m.parts) WITH ORDINALITY AS u (key, part, at)
LEFT JOIN log_leaves l USING (material_no)
WHERE m.kind = $1 AND m.key_span @> $2::bigint AND u.key = $2 ORDER BY u.part, m.material_no DESC
"""
CONTENT_OF_KEY = """
SELECT format('SELECT (%s)::bigint AS part, r.salt, %s AS content FROM %I r WHERE %s = $1', k.part, content_of(k), k.of_table, k.key)
FROM sealed_kinds k WHERE k.kind = $1 AND k.form = $2
"""


# The request that is kept whole and brought a fact. It has at most 1,000 reports, under ids in a row.
REQUEST_OF = """
SELECT request_no FROM raw_requests WHERE request_no > $1::bigint - 1000 AND request_no <= $1 AND $1 < request_no + reports
"""


class NothingToProve(MendableError):
    """There is no such row, it is not in the log yet, or no such head."""

    exit_code = 1


class Leaf(NamedTuple):
    """Where a row is in the tree; `leaf` None: it waits."""

    kind: str
    form: int
    part: int
    leaf: int | None


async def prove_rows(connection: Connection, what: str, number: int) -> list[Inclusion]:
    """Proofs of all rows of `what` (of PROVABLE) with a number. Inside a transaction. Raises NothingToProve."""
    await connection.execute(PLAIN_TEXT)
    head = await last_head(connection)
    if head is None:
        raise NothingToProve("no head of the log is signed yet; the service signs one when it runs")
    keys = {kind: await _key(connection, kind, number) for kind in PROVABLE[what]}
    leaves = [leaf for kind, key in keys.items() for leaf in await _leaves(connection, kind, key)]
    proofs = [await _proof(connection, leaf, keys[leaf.kind], head) for leaf in leaves]
    found = [proof for proof in proofs if proof is not None]
    if not found:
        raise NothingToProve(
            f"there is no {what} {number}" if not leaves else f"{what} {number} was deleted; its leaves are left"
        )
    return found


async def _key(connection: Connection, kind: str, number: int) -> int:
    """The number of the row: of a request the first of its facts."""
    if kind != "raw_requests":
        return number
    request_no: int | None = await connection.fetchval(REQUEST_OF, number)
    return number if request_no is None else request_no


async def _leaves(connection: Connection, kind: str, number: int) -> list[Leaf]:
    rows = await connection.fetch(LEAVES_OF_KEY, kind, number)
    return [Leaf(kind, row["form"], row["part"], row["leaf"]) for row in rows]


async def _proof(connection: Connection, leaf: Leaf, number: int, head: StoredHead) -> Inclusion | None:
    """None: the row is gone."""
    statement = await connection.fetchval(CONTENT_OF_KEY, leaf.kind, leaf.form)
    rows = {row["part"]: row for row in await connection.fetch(statement, number)}
    row = rows.get(leaf.part)
    if row is None:
        return None
    if leaf.leaf is None or leaf.leaf >= head.size:
        raise NothingToProve(
            f"{leaf.kind} {number} is not under a head yet; the service puts it there within seconds"
        )
    path = await range_hashes(connection, inclusion_ranges(leaf.leaf, head.size))
    return Inclusion(
        leaf.leaf, leaf.kind, row["content"].decode(), row["salt"].hex(), [one.hex() for one in path], head.note
    )


async def prove_growth(connection: Connection, old: int, new: int) -> Consistency:
    """That the log of `new` leaves begins with that of `old`. Raises NothingToProve."""
    heads = [await head_of_size(connection, size) for size in (old, new)]
    before, after = heads
    if before is None or after is None:
        missing = old if before is None else new
        raise NothingToProve(f"no head of {missing} leaves was signed; take the size of a head (its second line)")
    if old > new:
        raise NothingToProve(f"the log does not shrink: {old} is more than {new}; give the older size first")
    path = await range_hashes(connection, consistency_ranges(old, new))
    return Consistency(before.note, after.note, [one.hex() for one in path])


# Rows of a table whose number is no key: by device and time, which is how they are found.
CONTENT_BY_TIME = """
SELECT format('SELECT r.salt, %s AS content FROM %I r WHERE r.device_no = $2 AND r.%I = $3 AND %s = $1',
              content_of(k), k.of_table, $3::text, k.key)
FROM sealed_kinds k WHERE k.kind = $1 AND k.form = $2
"""
TIME_OF: Final[Mapping[str, str]] = {"positions": "fix_time", "device_events": "event_time"}


class SealedRow(NamedTuple):
    """A row by its kind and number; of one that is found by device and time, both. `parts`: only these of it."""

    kind: str
    number: int
    device_no: int | None = None
    own_at: datetime | None = None
    parts: frozenset[int] | None = None


async def prove_some(connection: Connection, rows: Sequence[SealedRow]) -> tuple[list[Inclusion], list[SealedRow]]:
    """Proofs of rows, and the rows that no head covers yet. Inside a transaction."""
    await connection.execute(PLAIN_TEXT)
    head = await last_head(connection)
    proofs: list[Inclusion] = []
    waiting: list[SealedRow] = []
    for row in rows:
        leaves = [
            leaf
            for leaf in await _leaves(connection, row.kind, row.number)
            if row.parts is None or leaf.part in row.parts
        ]
        found = [leaf for leaf in leaves if leaf.leaf is not None and head is not None and leaf.leaf < head.size]
        if head is None or not found:
            waiting.append(row)
            continue
        for leaf in found:
            proof = await (
                _proof(connection, leaf, row.number, head)
                if row.own_at is None
                else _timed(connection, leaf, row, head)
            )
            proofs += [] if proof is None else [proof]
    return proofs, waiting


async def _timed(connection: Connection, leaf: Leaf, sealed: SealedRow, head: StoredHead) -> Inclusion | None:
    statement = await connection.fetchval(CONTENT_BY_TIME, leaf.kind, leaf.form, TIME_OF[leaf.kind])
    row = await connection.fetchrow(statement, sealed.number, sealed.device_no, sealed.own_at)
    if row is None or leaf.leaf is None:
        return None
    path = await range_hashes(connection, inclusion_ranges(leaf.leaf, head.size))
    return Inclusion(
        leaf.leaf, leaf.kind, row["content"].decode(), row["salt"].hex(), [one.hex() for one in path], head.note
    )
