"""The Merkle tree of RFC 6962: append-only, SHA-256, a leaf is hashed with 0x00 before it and a pair with 0x01.

A *range* `[begin, end)` of leaves that a proof names begins at a multiple of the largest power of two below its length, so it falls
into complete subtrees, the largest first. A *node* is a complete subtree: (level, number) covers the 2**level leaves from
number * 2**level on. Nodes of every eighth level are kept (`KEPT_LEVELS`); those between follow from at most 256 kept ones below.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

HASH_BYTES: Final = 32
STEP: Final = 8
"""Every so many levels nodes are kept."""
EMPTY_ROOT: Final = hashlib.sha256().digest()


class Node(NamedTuple):
    """A complete subtree."""

    level: int
    number: int


class Range(NamedTuple):
    """Leaves `[begin, end)`."""

    begin: int
    end: int


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def pair_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two below `size`, which is 2 or more."""
    return 1 << ((size - 1).bit_length() - 1)


# ------------------------------------------------------------------ which ranges a proof is made of


def inclusion_ranges(leaf: int, size: int) -> list[Range]:
    """PATH(m, D[n]) of section 2.1.1, from the leaf up. Raises ValueError for a leaf that is not in the tree."""
    if not 0 <= leaf < size:
        raise ValueError(f"leaf {leaf} is not in a tree of {size}")
    path, begin, end = [], 0, size
    while end - begin > 1:
        middle = begin + split(end - begin)
        if leaf < middle:
            path.append(Range(middle, end))
            end = middle
        else:
            path.append(Range(begin, middle))
            begin = middle
    return path[::-1]


def consistency_ranges(old: int, size: int) -> list[Range]:
    """PROOF(m, D[n]) of section 2.1.2. Empty where `old` is 0 or `size`. Raises ValueError for a tree that shrinks."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {old} does not grow to {size}")
    if old in (0, size):
        return []
    path, begin, end, is_whole = [], 0, size, True
    while old != end:
        middle = begin + split(end - begin)
        if old <= middle:
            path.append(Range(middle, end))
            end = middle
        else:
            path.append(Range(begin, middle))
            begin, is_whole = middle, False
    return ([] if is_whole else [Range(begin, end)]) + path[::-1]


def nodes_of(ranges: Iterable[Range]) -> Iterator[Node]:
    """The complete subtrees of which ranges consist, from left to right."""
    for begin, end in ranges:
        while begin < end:
            level = (end - begin).bit_length() - 1
            yield Node(level, begin >> level)
            begin += 1 << level


def kept_nodes(nodes: Iterable[Node]) -> set[Node]:
    """Of which kept nodes (leaves are those of level 0) these follow."""
    kept = set()
    for level, number in nodes:
        above = level % STEP
        kept |= {Node(level - above, child) for child in range(number << above, (number + 1) << above)}
    return kept


def node_hash(node: Node, kept: Mapping[Node, bytes]) -> bytes:
    """Of a complete subtree. Raises KeyError if a kept node is missing."""
    above = node.level % STEP
    row = [kept[Node(node.level - above, child)] for child in range(node.number << above, (node.number + 1) << above)]
    while len(row) > 1:
        row = [pair_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]


def range_hash(of: Range, kept: Mapping[Node, bytes]) -> bytes:
    """MTH of the leaves of a range."""
    return fold([node_hash(node, kept) for node in nodes_of([of])])


def fold(complete: Sequence[bytes]) -> bytes:
    """The root over complete subtrees that stand side by side, the largest first."""
    if not complete:
        return EMPTY_ROOT
    root = complete[-1]
    for left in reversed(complete[:-1]):
        root = pair_hash(left, root)
    return root


# ------------------------------------------------------------------ growing


class Growing:
    """A tree to which leaves are appended. `frontier`: its complete subtrees, the largest first."""

    def __init__(self, size: int, frontier: Sequence[bytes]) -> None:
        if len(frontier) != size.bit_count():
            raise ValueError(f"a tree of {size} has {size.bit_count()} complete subtrees, not {len(frontier)}")
        self.size = size
        self._frontier = list(frontier)

    @property
    def root(self) -> bytes:
        return fold(self._frontier)

    def append(self, leaves: Iterable[bytes]) -> dict[Node, bytes]:
        """Take in leaf hashes; the nodes to keep (of levels 8, 16, …) that were completed by them."""
        completed: dict[Node, bytes] = {}
        stack, size, sha256 = self._frontier, self.size, hashlib.sha256
        for leaf in leaves:
            level, number = 0, size
            while number & 1:
                leaf = sha256(b"\x01" + stack.pop() + leaf).digest()
                level, number = level + 1, number >> 1
                if level % STEP == 0:
                    completed[Node(level, number)] = leaf
            stack.append(leaf)
            size += 1
        self.size = size
        return completed


def hashes_in(joined: bytes) -> list[bytes]:
    """Leaf hashes that stand one after another."""
    return [joined[at : at + HASH_BYTES] for at in range(0, len(joined), HASH_BYTES)]


# ------------------------------------------------------------------ checking (RFC 9162, sections 2.1.3.2 and 2.1.4.2)


def root_by_inclusion(leaf: int, size: int, hashed: bytes, path: Sequence[bytes]) -> bytes | None:
    """The root that a path leads to; None: the path has not the length of one."""
    number, last, root = leaf, size - 1, hashed
    for beside in path:
        if last == 0:
            return None
        if number & 1 or number == last:
            root = pair_hash(beside, root)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            root = pair_hash(root, beside)
        number, last = number >> 1, last >> 1
    return root if last == 0 else None


def is_consistent(old: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> bool:
    """Whether a tree of `size` begins with the tree of `old`."""
    if old == size:
        return not path and old_root == root
    if old == 0:
        return not path and old_root == EMPTY_ROOT
    found = _roots_by_consistency(old, size, [old_root, *path] if old & (old - 1) == 0 else list(path))
    return found == (old_root, root)


def _roots_by_consistency(old: int, size: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    if not path or not 0 < old < size:
        return None
    number, last = old - 1, size - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    before = after = path[0]
    for beside in path[1:]:
        if last == 0:
            return None
        if number & 1 or number == last:
            before, after = pair_hash(beside, before), pair_hash(beside, after)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            after = pair_hash(after, beside)
        number, last = number >> 1, last >> 1
    return (before, after) if last == 0 else None
