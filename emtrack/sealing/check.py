"""The whole record against the log: each row against its leaf, the leaves against the tree, the tree against its signed heads.

Run it in one transaction that sees one state. Statements for a kind are put together by the server, out of `sealed_kinds`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence, Set
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from emtrack.sealing.heads import LogKey, log_keys
from emtrack.sealing.notes import Head, UnfitHead, name_of_log, read_note
from emtrack.sealing.store import fetch_nodes
from emtrack.sealing.tree import Growing, Node, hashes_in

if TYPE_CHECKING:
    import asyncpg

    from emtrack.db.connect import Connection

PLAIN_TEXT = """
SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex';
SET LOCAL intervalstyle = 'postgres'
"""
KINDS_NAMED = "SELECT DISTINCT kind FROM sealed_kinds ORDER BY kind"
# Rows of a kind whose newest leaf is not that of the row, rows without a leaf, and leaves without a row, with the run of
# retention that took it. Where several forms of a kind were in use, a row is hashed under the form of its leaf.
MISFITS = """
SELECT format($query$
WITH told AS (
    SELECT DISTINCT ON (u.key, u.part) u.key, u.part, m.form, substr(m.hashes, (32 * u.at - 31)::int, 32) AS hash
    FROM log_material m CROSS JOIN unnest(m.keys, m.parts) WITH ORDINALITY AS u (key, part, at)
    WHERE m.kind = %1$L AND m.why IS NOT NULL ORDER BY u.key, u.part, m.material_no DESC
), added AS (
    SELECT u.key, u.part, m.form, substr(m.hashes, (32 * u.at - 31)::int, 32) AS hash
    FROM log_material m CROSS JOIN unnest(m.keys, m.parts) WITH ORDINALITY AS u (key, part, at)
    WHERE m.kind = %1$L AND m.why IS NULL
), leaves AS (
    SELECT key, part, coalesce(t.form, a.form) AS form, coalesce(t.hash, a.hash) AS hash
    FROM added a FULL JOIN told t USING (key, part)
), gone AS (
    SELECT u.key, u.part, min(r.run_no) AS run_no FROM retention_removals r CROSS JOIN unnest(r.keys, r.parts) AS u (key, part)
    WHERE r.kind = %2$L GROUP BY 1, 2
), rows AS (SELECT %3$s AS key, (%4$s)::bigint AS part, %5$s AS hashes FROM %2$I r %6$s)
SELECT key, part, l.hash IS NULL AS is_new, r.hashes IS NULL AS is_gone, g.run_no
FROM leaves l FULL JOIN rows r USING (key, part) LEFT JOIN gone g USING (key, part)
WHERE l.form IS NULL OR r.hashes IS NULL OR l.hash IS DISTINCT FROM (r.hashes)[l.form]
ORDER BY key, part
$query$, n.kind, n.of_table, n.key, n.part,
         (SELECT 'ARRAY[' || string_agg(coalesce(leaf_of(k), 'NULL'), ', ' ORDER BY f.form) || ']'
          FROM generate_series(1, (SELECT max(form) FROM sealed_kinds WHERE kind = n.kind)) AS f (form)
          LEFT JOIN sealed_kinds k ON k.kind = n.kind AND k.form = f.form),
         CASE WHEN n.closes THEN 'WHERE NOT upper_inf(r.recorded)' ELSE '' END)
FROM sealed_kinds n WHERE n.kind = $1 ORDER BY n.form DESC LIMIT 1
"""
# Hashes of rows that do not fit any more are taken as they are, for a reason that is on record.
SEAL_AGAIN = """
SELECT format($query$
WITH changed AS (SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS u (key, part))
INSERT INTO log_material (kind, form, why, keys, parts, hashes, key_span)
SELECT %1$L, %2$s, $3, array_agg(c.key), array_agg(c.part), string_agg(%3$s, ''::bytea), int8range(min(c.key), max(c.key), '[]')
FROM %4$I r JOIN changed c ON c.key = %5$s AND c.part = (%6$s)::bigint HAVING count(*) > 0
$query$, n.kind, n.form, leaf_of(n), n.of_table, n.key, n.part)
FROM sealed_kinds n WHERE n.kind = $1 ORDER BY n.form DESC LIMIT 1
"""
IN_THE_TREE = """
SELECT l.first_leaf, m.material_no, m.kind, m.hashes FROM log_leaves l JOIN log_material m USING (material_no) ORDER BY l.first_leaf
"""
NOT_IN_THE_TREE = """
SELECT coalesce(sum(length(hashes) / 32), 0)::bigint FROM log_material m
WHERE NOT EXISTS (SELECT FROM log_leaves l WHERE l.material_no = m.material_no)
"""
UNKNOWN_FORMS = """
SELECT DISTINCT kind, form FROM log_material m WHERE NOT EXISTS (SELECT FROM sealed_kinds k WHERE (k.kind, k.form) = (m.kind, m.form))
"""
HEADS = "SELECT head_no, size, root, note FROM log_heads ORDER BY size, head_no"


CHANGED: Final = "was changed"


class Misfit(NamedTuple):
    """A row that does not fit. `what`: in which way."""

    kind: str
    key: int
    part: int
    what: str


class Checked(NamedTuple):
    """Of the tree: what does not fit, how many leaves there are, and how many wait for it."""

    troubles: list[str]
    leaves: int
    heads: int
    waiting: int


async def misfits_of(connection: Connection, kind: str) -> AsyncIterator[tuple[Misfit, int | None]]:
    """Rows of a kind that are not as they were sealed, each with the run of retention that took it, if one did."""
    statement = await connection.fetchval(MISFITS, kind)
    async for row in connection.cursor(statement):
        if row["is_gone"]:
            what = "is gone" if row["run_no"] is None else f"deleted by retention run {row['run_no']}"
        else:
            what = "is not in the log" if row["is_new"] else CHANGED
        yield Misfit(kind, row["key"], row["part"], what), row["run_no"] if row["is_gone"] else None


async def kinds(connection: Connection) -> list[str]:
    return [row["kind"] for row in await connection.fetch(KINDS_NAMED)]


async def changed_rows(connection: Connection) -> set[Misfit]:
    """Rows that are not as they were sealed."""
    await connection.execute(PLAIN_TEXT)
    return {m for kind in await kinds(connection) async for m, _ in misfits_of(connection, kind) if m.what == CHANGED}


async def seal_again(connection: Connection, why: str, but: Set[Misfit]) -> int:
    """Put rows that do not fit any more into the log as they are now; how many. Inside the transaction that changed them. `but`:
    those that did not fit before, which stay what they are."""
    by_kind: dict[str, list[Misfit]] = defaultdict(list)
    for row in await changed_rows(connection) - but:
        by_kind[row.kind].append(row)
    for kind, rows in by_kind.items():
        statement = await connection.fetchval(SEAL_AGAIN, kind)
        await connection.execute(statement, [row.key for row in rows], [row.part for row in rows], why)
    return sum(map(len, by_kind.values()))


async def check_tree(connection: Connection, seen: Sequence[Head] = ()) -> Checked:
    """The leaves against the nodes and the signed heads. `seen`: heads from elsewhere, such as of a witness."""
    heads, keys = await connection.fetch(HEADS), await log_keys(connection)
    signed = sorted([(row["size"], row["root"]) for row in heads] + [(head.size, head.root) for head in seen])
    walk = Walk(signed)
    async for row in connection.cursor(IN_THE_TREE):
        if row["first_leaf"] != walk.tree.size:
            walk.troubles.append(f"leaf {walk.tree.size} is missing: the next one there is {row['first_leaf']}")
            break
        made = walk.go_on(hashes_in(row["hashes"]))
        walk.compare(made, await fetch_nodes(connection, set(made)))
    unknown = [
        f"there are leaves of {kind}/{form}, and no such form" for kind, form in await connection.fetch(UNKNOWN_FORMS)
    ]
    troubles = [
        *walk.end(),
        *unknown,
        *_trouble_of_keys(keys),
        *(t for row in heads for t in _trouble_of_note(row, keys)),
    ]
    return Checked(troubles, walk.tree.size, len(heads), await connection.fetchval(NOT_IN_THE_TREE))


class Walk:
    """Grows the tree anew, and compares it with `signed` heads (size, root), in order of size, and with nodes that were kept."""

    def __init__(self, signed: Sequence[tuple[int, bytes]]) -> None:
        self.tree = Growing(0, [])
        self.troubles: list[str] = []
        self._left = list(reversed(signed))
        self._compare_heads()

    def go_on(self, leaves: Sequence[bytes]) -> dict[Node, bytes]:
        """The nodes that these complete."""
        made: dict[Node, bytes] = {}
        begin = 0
        while begin < len(leaves):
            ahead = self._left[-1][0] - self.tree.size if self._left else len(leaves)
            end = min(len(leaves), begin + ahead)
            made |= self.tree.append(leaves[begin:end])
            self._compare_heads()
            begin = end
        return made

    def compare(self, made: Mapping[Node, bytes], kept: Mapping[Node, bytes]) -> None:
        for node, hashed in made.items():
            if kept.get(node) != hashed:
                first = node.number << node.level
                self.troubles.append(
                    f"leaves {first} to {first + (1 << node.level) - 1} are not those that were sealed"
                )

    def end(self) -> list[str]:
        """All that does not fit."""
        return self.troubles + [
            f"a head of {size} leaves was signed: {self.tree.size} are there" for size, _ in self._left
        ]

    def _compare_heads(self) -> None:
        while self._left and self._left[-1][0] == self.tree.size:
            size, root = self._left.pop()
            if root != self.tree.root:
                self.troubles.append(f"the head of {size} leaves is not that of the leaves that are there")


def _trouble_of_keys(keys: Sequence[LogKey]) -> list[str]:
    return [
        f"the key of {key.since:%Y-%m-%d %H:%M} ({key.entered_by}) was not named by the one before"
        for before, key in pairwise(keys)
        if not _is_named(key, before)
    ]


def _is_named(key: LogKey, before: LogKey) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(before.public).verify(key.named_by or b"", key.public)
    except InvalidSignature:
        return False
    return True


def _trouble_of_note(head: asyncpg.Record, keys: Sequence[LogKey]) -> list[str]:
    log = name_of_log(keys[0].public) if keys else ""
    for key in reversed(keys):
        try:
            told = read_note(head["note"], log, key.public)
        except UnfitHead:
            continue
        fits = (told.size, told.root) == (head["size"], head["root"])
        return [] if fits else [f"head {head['head_no']} says another thing than its note"]
    return [f"head {head['head_no']} ({head['size']} leaves) is signed by no key of the log"]
