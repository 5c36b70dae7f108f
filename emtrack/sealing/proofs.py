"""Files of proofs, and their check: with a head and a public key alone, on a machine that has neither database nor service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from emtrack.errors import MendableError
from emtrack.sealing.notes import Head, read_key, read_note
from emtrack.sealing.tree import is_consistent, leaf_hash, root_by_inclusion

LARGEST_FILE = 16 * 1024 * 1024


class NotProved(MendableError, ValueError):
    """A proof that does not hold, or cannot be read. The message says where it ends."""

    exit_code = 1


class Inclusion(msgspec.Struct, frozen=True, tag="inclusion", tag_field="proof"):
    """That a row is in the log. `content`: the canonical bytes of the row, as text; `salt`, `path`: in hex. `head`: the signed note
    under which it is."""

    leaf: int
    kind: str
    content: str
    salt: str
    path: list[str]
    head: str


class Consistency(msgspec.Struct, frozen=True, tag="consistency", tag_field="proof"):
    """That the log of the head `head` begins with the log of the head `old`."""

    old: str
    head: str
    path: list[str]


Proof = Inclusion | Consistency


def written(proofs: Sequence[Proof]) -> bytes:
    """A file of proofs."""
    return msgspec.json.format(msgspec.json.encode(proofs), indent=1) + b"\n"


def read_proofs(content: bytes) -> list[Proof]:
    """Raises NotProved."""
    try:
        return msgspec.json.decode(content, type=list[Proof])
    except msgspec.DecodeError as error:
        raise NotProved(f"this is no file of `emtrack audit prove`: {error}") from error


def read_small_file(path: Path) -> bytes:
    """Raises NotProved for a file that is too large to be a proof, a head or a key."""
    with path.open("rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise NotProved(f"{path}: it has more than {LARGEST_FILE:,} bytes; no proof is so large")
    return content


def verify(proof: Proof, key_line: str, trusted: str | None = None) -> str:
    """What is proved, in a sentence. `trusted`: a head from elsewhere (a witness, a print) that must be the one of the proof. Raises
    NotProved or UnfitHead."""
    log, public = read_key(key_line)
    head = read_note(proof.head, log, public)
    if trusted is not None and read_note(trusted, log, public)[:3] != head[:3]:
        raise NotProved(
            f"the proof is for the head of {head.size:,} leaves, and another head was given; `emtrack audit prove --consistency` "
            "shows whether one log grew out of the other"
        )
    return _included(proof, head) if isinstance(proof, Inclusion) else _grown(proof, head, log, public)


def _included(proof: Inclusion, head: Head) -> str:
    hashed = leaf_hash(_hex(proof.salt) + proof.content.encode())
    if not 0 <= proof.leaf < head.size:
        raise NotProved(f"leaf {proof.leaf} is not in a log of {head.size:,}")
    if root_by_inclusion(proof.leaf, head.size, hashed, [_hex(one) for one in proof.path]) != head.root:
        raise NotProved(
            f"the row is not leaf {proof.leaf:,} of the log of {head.at}: the row, its salt or the path was changed"
        )
    return f"in the log since before {head.at}: leaf {proof.leaf:,} of {head.size:,}, {proof.kind}: {proof.content}"


def _grown(proof: Consistency, head: Head, log: str, public: bytes) -> str:
    old = read_note(proof.old, log, public)
    if not is_consistent(old.size, old.root, head.size, head.root, [_hex(one) for one in proof.path]):
        raise NotProved(
            f"the log of {head.at} ({head.size:,} leaves) does not begin with the one of {old.at} ({old.size:,})"
        )
    return f"nothing was changed or taken away between {old.at} ({old.size:,} leaves) and {head.at} ({head.size:,})"


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise NotProved("a hash or a salt of the proof is not hexadecimal") from None
