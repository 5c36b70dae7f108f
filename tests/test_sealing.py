"""A record that shows if it was touched: leaves, heads, proofs, and the check of everything."""

from __future__ import annotations

import asyncio
import hashlib
import random
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from emtrack.cli.audit import checked, proofs_of, rotated
from emtrack.db.connect import connect
from emtrack.db.rights import RunTime, grant_rights, run_time_dsn
from emtrack.metrics import Metrics
from emtrack.people.looks import commander
from emtrack.sealing import store
from emtrack.sealing.check import PLAIN_TEXT, check_tree, kinds, misfits_of
from emtrack.sealing.keys import UnfitKeyFile, read_or_make_key
from emtrack.sealing.notes import Head, UnfitHead, public_bytes, read_key, read_note, signed_note, told_key
from emtrack.sealing.proofs import Inclusion, NotProved, read_proofs, verify, written
from emtrack.sealing.proving import NothingToProve, prove_growth, prove_rows
from emtrack.sealing.store import last_head
from emtrack.sealing.tree import (
    Growing,
    Node,
    Range,
    consistency_ranges,
    inclusion_ranges,
    is_consistent,
    kept_nodes,
    leaf_hash,
    node_hash,
    nodes_of,
    pair_hash,
    range_hash,
    root_by_inclusion,
)
from emtrack.service.sealer import Sealer
from emtrack.service.witness import Witness
from emtrack.settings import ClockSetting, Settings
from tests.command_line import emtrack_aside
from tests.db_fixtures import SUPERUSER, with_user
from tests.service_world import ms, position, serving

ANN = commander("Ann (command line)", "COURT")


# ------------------------------------------------------------------ the tree, beside the text of the RFC


def by_the_rfc(data: list[bytes]) -> bytes:
    """MTH of section 2.1, word for word."""
    if not data:
        return hashlib.sha256().digest()
    if len(data) == 1:
        return hashlib.sha256(b"\x00" + data[0]).digest()
    k = 1
    while k * 2 < len(data):
        k *= 2
    return hashlib.sha256(b"\x01" + by_the_rfc(data[:k]) + by_the_rfc(data[k:])).digest()


def entries(count: int) -> list[bytes]:
    return [f"row {number}".encode() for number in range(count)]


def kept_of(data: list[bytes]) -> dict[Node, bytes]:
    leaves = [leaf_hash(one) for one in data]
    return Growing(0, []).append(leaves) | {Node(0, number): leaf for number, leaf in enumerate(leaves)}


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 8, 13, 255, 256, 257, 700])
def test_the_root_is_that_of_the_rfc_however_the_leaves_come(size: int) -> None:
    data = entries(size)
    at_once, one_by_one = Growing(0, []), Growing(0, [])
    at_once.append(map(leaf_hash, data))
    for one in data:
        one_by_one.append([leaf_hash(one)])
    assert at_once.root == one_by_one.root == by_the_rfc(data)


def test_every_path_of_every_small_tree_leads_to_the_root_and_no_other_leaf_does() -> None:
    for size in range(1, 40):
        data = entries(size)
        kept, root = kept_of(data), by_the_rfc(data)
        for leaf in range(size):
            path = [range_hash(one, kept) for one in inclusion_ranges(leaf, size)]
            assert root_by_inclusion(leaf, size, leaf_hash(data[leaf]), path) == root
            assert root_by_inclusion(leaf, size, leaf_hash(b"another"), path) != root
            assert root_by_inclusion(leaf, size, leaf_hash(data[leaf]), [*path, root]) != root


def test_every_small_tree_grows_out_of_every_smaller_one_and_of_no_other() -> None:
    for size in range(40):
        data = entries(size)
        kept, root = kept_of(data), by_the_rfc(data)
        for old in range(size + 1):
            path = [range_hash(one, kept) for one in consistency_ranges(old, size)]
            assert is_consistent(old, by_the_rfc(data[:old]), size, root, path)
            assert not is_consistent(old, by_the_rfc([b"x", *data[1:old]] if old else [b"x"]), size, root, path)


def test_a_proof_in_a_large_tree_needs_few_kept_nodes() -> None:
    nodes = kept_nodes(nodes_of(inclusion_ranges(3_000_000, 5_000_001)))
    assert len(nodes) < 3 * 256 + 64
    data = entries(70_000)
    kept = kept_of(data)
    wanted = kept_nodes(nodes_of([Range(0, 65_536)]))
    assert wanted == {Node(16, 0)}
    assert node_hash(Node(16, 0), kept) == by_the_rfc(data[:65_536])


def test_another_program_makes_the_same_tree_and_accepts_our_paths() -> None:
    """pymerkle, in its RFC 6962 form: 0x00 before entries, 0x01 before pairs."""
    import pymerkle

    data = entries(300)
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    for one in data:
        theirs.append_entry(one)
    kept, ours = kept_of(data), Growing(0, [])
    ours.append(map(leaf_hash, data))
    assert theirs.get_root() == ours.root
    for leaf in (0, 1, 127, 128, 255, 299):
        path = [range_hash(one, kept) for one in inclusion_ranges(leaf, 300)]
        proof = theirs.prove_inclusion(leaf + 1)
        pymerkle.verify_inclusion(leaf_hash(data[leaf]), ours.root, proof)
        assert path == list(proof.path)[1:]
    for old in (1, 2, 100, 256, 299):
        pymerkle.verify_consistency(by_the_rfc(data[:old]), ours.root, theirs.prove_consistency(old, 300))


# ------------------------------------------------------------------ heads


def test_a_head_is_read_with_its_key_and_with_no_other() -> None:
    key = Ed25519PrivateKey.generate()
    head = Head("emtrack-1", 5, bytes(32), "2026-03-02T19:00:00Z")
    note = signed_note(head, key)
    assert read_note(note, "emtrack-1", public_bytes(key)) == head
    with pytest.raises(UnfitHead):
        read_note(note, "emtrack-1", public_bytes(Ed25519PrivateKey.generate()))
    for at in range(len(note) - 1):
        changed = note[:at] + chr(ord(note[at]) ^ 1) + note[at + 1 :]
        with suppress(UnfitHead):
            assert read_note(changed, "emtrack-1", public_bytes(key)) == head
            # Base64 of a signature has bits that say nothing: another letter there is the same signature.
            assert at > len(note) - 6, note[at]


def test_the_key_is_made_once_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    key = read_or_make_key(tmp_path)
    assert public_bytes(read_or_make_key(tmp_path)) == public_bytes(key)
    assert stat.S_IMODE((tmp_path / "log.key").stat().st_mode) == 0o600
    (tmp_path / "log.key").chmod(0o644)
    with pytest.raises(UnfitKeyFile, match="mode 644"):
        read_or_make_key(tmp_path)


# ------------------------------------------------------------------ a record


class Sealed:
    """A migrated record with a sealer that the test drives. `connection`: of the owner."""

    def __init__(self, connection: Any, settings: Settings, sealer: Sealer, own: Any) -> None:
        self.connection = connection
        self.settings = settings
        self.sealer = sealer
        self.own = own

    async def seal(self) -> None:
        while await self.sealer.pass_once(self.own):
            pass

    async def misfits(self) -> list[str]:
        async with self.connection.transaction():
            await self.connection.execute(PLAIN_TEXT)
            return [
                f"{row.kind} {row.key} {row.what}"
                for kind in await kinds(self.connection)
                async for row, _ in misfits_of(self.connection, kind)
            ]

    async def troubles(self) -> list[str]:
        async with self.connection.transaction():
            return (await check_tree(self.connection)).troubles

    async def add_positions(self, first: int, count: int) -> None:
        await self.connection.execute(ADD_POSITIONS, first, count)


ADD_POSITIONS = """
INSERT INTO positions (fact_id, device_no, fix_time, mechanism, lat_deg, lon_deg, precision_m, received_at, hdop)
SELECT n, n % 7, '2026-03-02T12:00:00Z'::timestamptz + n * interval '1 ms', 'GPS', 53 + n / 1e6,
       -2.123456789, 6, '2026-03-02T12:00:01.5Z', 1.1
FROM generate_series($1::bigint, $1 + $2::bigint - 1) n
"""
ADD_LOOK = """
INSERT INTO looks (looked_at, looked_by, role, door, what, purpose) VALUES (now(), $1, 'x', 'page', 'queue', 'COURT')
"""


@pytest.fixture
async def sealed(database_url: str, tmp_path: Path) -> AsyncIterator[Sealed]:
    connection = await connect(database_url)
    await grant_rights(connection)
    await connection.execute("SELECT make_positions_day('2026-03-02')")
    settings = Settings(data_dir=tmp_path, database_url=database_url)
    metrics = Metrics()
    own = await connect(await run_time_dsn(database_url, RunTime.WORKER))
    sealer = Sealer(database_url, settings, metrics, Witness((), metrics))
    await sealer.load(own)
    yield Sealed(connection, settings, sealer, own)
    await own.close()
    await connection.close()


async def test_what_was_added_is_sealed_whole_and_nothing_is_found(sealed: Sealed) -> None:
    await sealed.add_positions(1, 700)
    await sealed.connection.execute(ADD_LOOK, "Ann")
    await sealed.seal()
    head = await last_head(sealed.connection)
    assert head is not None
    leaves = await sealed.connection.fetchval("SELECT sum(cardinality(keys)) FROM log_material")
    assert head.size == leaves >= 702
    assert await sealed.misfits() == await sealed.troubles() == []
    assert sealed.settings.head_file.read_text() == head.note
    assert stat.S_IMODE(sealed.settings.head_file.stat().st_mode) == 0o644


async def test_a_sealer_that_starts_again_goes_on_where_the_tree_ended(sealed: Sealed) -> None:
    for first in (1, 400, 1000):
        await sealed.add_positions(first, 300)
        await sealed.seal()
        again = Sealer("", sealed.settings, Metrics(), Witness((), Metrics()))
        await again.load(sealed.own)
        sealed.sealer = again
    assert await sealed.troubles() == []


async def test_what_is_committed_late_under_a_lower_number_is_sealed_too(sealed: Sealed) -> None:
    slow = await connect(sealed.settings.database_url or "")
    transaction = slow.transaction()
    await transaction.start()
    await slow.execute(ADD_LOOK, "slow")
    for first in (1, 100, 200, 300):  # passes enough to move the fence, if it could be moved
        await sealed.add_positions(first, 5)
        await sealed.seal()
        await sealed.seal()
    await transaction.commit()
    await slow.close()
    await sealed.seal()
    assert (
        await sealed.connection.fetchval(
            "SELECT count(*) FROM log_material m WHERE NOT EXISTS (SELECT FROM log_leaves l WHERE l.material_no = m.material_no)"
        )
        == 0
    )
    for _ in range(3):
        await sealed.seal()
    assert sealed.sealer._settled == await sealed.connection.fetchval("SELECT max(material_no) FROM log_material")


ROWS_READ = """
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables
WHERE relname IN ('log_material', 'log_leaves')
"""


async def _rows_read(sealed: Sealed) -> int:
    for connection in (sealed.own, sealed.connection):
        await connection.execute("SELECT pg_stat_force_next_flush()")
    return int(await sealed.connection.fetchval(ROWS_READ))


async def test_of_a_large_import_each_row_is_looked_at_a_few_times_however_many_passes_it_takes(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_MATERIAL", 10)
    await sealed.own.execute("SET enable_seqscan = off")
    many = 1_500
    async with sealed.connection.transaction():
        for n in range(many):
            await sealed.connection.execute(ADD_LOOK, f"Ann {n}")
    await sealed.connection.execute("ANALYZE")
    before = await _rows_read(sealed)
    await sealed.seal()
    assert await _rows_read(sealed) - before < 100 * many
    assert await sealed.misfits() == await sealed.troubles() == []


async def test_while_much_waits_what_is_in_the_tree_is_settled(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for what may still come under a lower number."""
    monkeypatch.setattr(store, "MOST_MATERIAL", 2)
    await sealed.seal()
    for n in range(4):
        await sealed.connection.execute(ADD_LOOK, f"before {n}")
    slow = await connect(sealed.settings.database_url or "")
    transaction = slow.transaction()
    await transaction.start()
    await slow.execute(ADD_LOOK, "slow")
    slow_no = await slow.fetchval("SELECT max(material_no) FROM log_material WHERE kind = 'looks'")
    for n in range(20):
        await sealed.connection.execute(ADD_LOOK, f"after {n}")
    for _ in range(6):
        assert await sealed.sealer.pass_once(sealed.own)
    assert sealed.sealer._settled < slow_no
    await transaction.commit()
    await slow.close()
    for _ in range(4):
        assert await sealed.sealer.pass_once(sealed.own), "more waits"
    placed = await sealed.connection.fetchval("SELECT count(*) FROM log_leaves WHERE material_no <= $1", slow_no)
    assert sealed.sealer._settled >= slow_no
    assert placed == await sealed.connection.fetchval(
        "SELECT count(*) FROM log_material WHERE material_no <= $1", slow_no
    )
    await sealed.seal()
    assert await sealed.troubles() == []


async def test_rows_that_are_rolled_back_are_no_leaves(sealed: Sealed) -> None:
    transaction = sealed.connection.transaction()
    await transaction.start()
    await sealed.add_positions(1, 10)
    await transaction.rollback()
    await sealed.seal()
    assert await sealed.misfits() == []


async def test_run_time_roles_cannot_write_what_waits_nor_change_the_tree(sealed: Sealed) -> None:
    await sealed.add_positions(1, 3)
    await sealed.seal()
    for role in RunTime:
        session = await connect(await run_time_dsn(sealed.settings.database_url or "", role))
        for statement in (
            "INSERT INTO log_material (kind, form, keys, parts, hashes, key_span) VALUES ('looks', 1, '{1}', '{0}', '', '[1,1]')",
            "UPDATE log_heads SET size = 1",
            "DELETE FROM log_leaves",
            "UPDATE log_nodes SET hash = hash",
            "DELETE FROM retention_removals",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await session.execute(statement)
        await session.close()


async def test_every_flipped_byte_of_a_thousand_entries_is_found(sealed: Sealed) -> None:
    """By the superuser, whom no right stops and whom no trigger of ours hears: UPDATE makes no leaf."""
    await sealed.connection.execute("INSERT INTO devices (device_id, added_at) VALUES ('D', now())")
    await sealed.connection.execute(
        "INSERT INTO quarantine (fact_id, device_no, received_at, reason, action, body) "
        "SELECT n, 1, now(), 'unreadable', 'x', decode(md5(n::text), 'hex') FROM generate_series(1, 1000) n"
    )
    await sealed.seal()
    superuser = await asyncpg.connect(with_user(sealed.settings.database_url or "", SUPERUSER))
    all_of_them = {f"quarantine {number} was changed" for number in range(1, 1001)}
    for at in range(16):
        for column in ("body", "salt"):
            flip = f"UPDATE quarantine SET {column} = set_byte({column}, $1, get_byte({column}, $1) # $2)"  # noqa: S608
            await superuser.execute(flip, at, 1 << at % 8)
            assert set(await sealed.misfits()) == all_of_them, (column, at)
            await superuser.execute(flip, at, 1 << at % 8)
    assert await sealed.misfits() == []
    await superuser.close()


async def test_a_changed_column_of_any_type_is_found_and_so_are_rows_added_or_taken_in_the_dark(
    sealed: Sealed,
) -> None:
    await sealed.add_positions(1, 21)
    await sealed.seal()
    superuser = await asyncpg.connect(with_user(sealed.settings.database_url or "", SUPERUSER))
    for number, change in enumerate(COLUMN_CHANGES, start=1):
        await superuser.execute(f"UPDATE positions SET {change} WHERE fact_id = {number}")  # noqa: S608
    found = await sealed.misfits()
    for number in range(1, len(COLUMN_CHANGES) + 1):
        assert any(misfit.startswith(f"positions {number} ") for misfit in found), COLUMN_CHANGES[number - 1]
    await superuser.execute("DELETE FROM positions WHERE fact_id >= 20")
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute(ADD_POSITIONS, 21, 2)
    found = await sealed.misfits()
    assert "positions 20 is gone" in found
    assert "positions 21 was changed" in found, "the salt is another"
    assert "positions 22 is not in the log" in found
    await superuser.close()


COLUMN_CHANGES = (
    "lat_deg = lat_deg + 1e-9", "fix_time = fix_time + interval '1 us'", "hdop = 1.2", "precision_m = NULL",
    "mechanism = 'LBS'", "device_no = device_no + 100", "satellites = 3", "received_at = received_at - interval '1 s'",
    "uploaded_time = received_at",
)  # fmt: skip


async def test_whoever_changes_the_leaf_with_the_row_is_found_by_the_head(sealed: Sealed) -> None:
    await sealed.add_positions(1, 600)
    await sealed.seal()
    await sealed.connection.execute(
        "UPDATE log_material SET hashes = set_byte(hashes, 32 * 300, 0) WHERE kind = 'positions'"
    )
    troubles = await sealed.troubles()
    assert any("are not those that were sealed" in trouble for trouble in troubles)
    assert any("the head of" in trouble for trouble in troubles)


async def test_a_log_made_anew_does_not_fit_the_head_of_a_witness(sealed: Sealed) -> None:
    await sealed.add_positions(1, 10)
    await sealed.seal()
    head = await last_head(sealed.connection)
    assert head is not None
    seen = Head("x", head.size, bytes(32), "")
    async with sealed.connection.transaction():
        assert any("the head of" in t for t in (await check_tree(sealed.connection, [seen])).troubles)
        assert (await check_tree(sealed.connection, [seen._replace(root=head.root)])).troubles == []
        longer = seen._replace(size=head.size + 5)
        assert any("are there" in t for t in (await check_tree(sealed.connection, [longer])).troubles)


async def test_a_kind_that_is_taken_out_of_the_check_is_told(sealed: Sealed) -> None:
    await sealed.add_positions(1, 5)
    await sealed.seal()
    await sealed.connection.execute("DELETE FROM sealed_kinds WHERE kind = 'positions'")
    assert await sealed.troubles() == ["there are leaves of positions/1, and no such form"]


async def test_the_end_of_a_version_of_an_order_is_a_leaf_of_its_own(sealed: Sealed) -> None:
    await sealed.connection.execute(
        "INSERT INTO settings_versions (recorded, entered_by, timezone, max_gap_ms, unknown_limit_ms, silence_buffer_ms) "
        "VALUES (tstzrange('2026-01-01', NULL), 'x', 'UTC', 1, 1, 1)"
    )
    await sealed.connection.execute(
        "UPDATE settings_versions SET recorded = tstzrange(lower(recorded), '2026-02-01')"
    )
    await sealed.seal()
    assert await sealed.misfits() == []
    await sealed.connection.execute(
        "UPDATE settings_versions SET recorded = tstzrange(lower(recorded), '2026-02-02')"
    )
    assert await sealed.misfits() == ["settings_versions closed 1 was changed"]
    await sealed.connection.execute("UPDATE settings_versions SET recorded = tstzrange(lower(recorded), NULL)")
    assert await sealed.misfits() == ["settings_versions closed 1 is gone"]


async def test_every_column_of_a_sealed_table_is_in_its_leaf(sealed: Sealed) -> None:
    """A migration that adds a column adds a form of the kind."""
    rows = await sealed.connection.fetch(
        "SELECT DISTINCT ON (k.kind) k.kind, k.content, array_agg(a.attname) AS columns "
        "FROM sealed_kinds k JOIN pg_attribute a ON a.attrelid = k.of_table::regclass AND a.attnum > 0 AND NOT a.attisdropped "
        "WHERE NOT k.closes GROUP BY k.kind, k.form, k.content ORDER BY k.kind, k.form DESC"
    )
    missing = [
        f"{row['kind']}.{column}" for row in rows for column in row["columns"]
        if column != "salt" and f"r.{column}" not in row["content"]
    ]  # fmt: skip
    assert len(rows) > 30
    assert missing == []


NEW_COLUMN = """
ALTER TABLE looks ADD COLUMN seat text;
INSERT INTO sealed_kinds (kind, form, of_table, key, part, content)
SELECT kind, form + 1, of_table, key, part, content || ', r.seat' FROM sealed_kinds WHERE kind = 'looks';
SELECT seal_rows_of(k) FROM sealed_kinds k WHERE kind = 'looks' AND form = 2
"""


async def test_a_column_that_a_migration_adds_is_sealed_from_then_on_and_old_rows_fit_as_before(
    sealed: Sealed,
) -> None:
    await sealed.connection.execute(ADD_LOOK, "Ann")
    await sealed.connection.execute(NEW_COLUMN)
    await sealed.connection.execute(ADD_LOOK, "Bob")
    await sealed.seal()
    assert await sealed.misfits() == await sealed.troubles() == []
    await sealed.connection.execute("UPDATE looks SET seat = 'x' WHERE looked_by = 'Bob'")
    await sealed.connection.execute("UPDATE looks SET purpose = 'SERVICE' WHERE looked_by = 'Ann'")
    assert await sealed.misfits() == ["looks 1 was changed", "looks 2 was changed"]


# ------------------------------------------------------------------ proofs


async def key_line(sealed: Sealed) -> str:
    return sealed.settings.head_file.with_suffix(".pub").read_text()


async def test_a_proof_holds_without_the_database_and_no_changed_byte_of_it_does(sealed: Sealed) -> None:
    await sealed.add_positions(1, 500)
    await sealed.seal()
    (proof,) = await proofs_of(sealed.settings, ANN, "fact", 321)
    line = await key_line(sealed)
    assert isinstance(proof, Inclusion)
    assert verify(proof, line).startswith("in the log since before")
    assert '"positions/1", 321, ' in proof.content
    assert await sealed.connection.fetchval("SELECT reference FROM looks ORDER BY look_no DESC LIMIT 1") is None
    salt = bytes.fromhex(proof.salt)
    assert root_of(proof, salt + proof.content.encode()) == read_note(proof.head, *read_key(line)).root
    file = written([proof])
    assert read_proofs(file) == [proof]
    rng = random.Random(1)
    for at in rng.sample(range(len(file)), 150):
        changed = file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]
        try:
            (found,) = read_proofs(changed)
            verify(found, line)
        except (NotProved, UnfitHead, ValueError):
            continue
        assert found.head == proof.head, changed
        assert isinstance(found, Inclusion)
        assert (found.content, found.leaf) == (proof.content, proof.leaf), changed


def root_of(proof: Inclusion, data: bytes) -> bytes:
    """By a verifier of its own, from the top down as section 2.1.1 reads."""
    size = int(proof.head.splitlines()[1])
    path = [bytes.fromhex(one) for one in proof.path]

    def up(leaf: int, of: int, left: list[bytes]) -> bytes:
        if of == 1:
            assert left == []
            return hashlib.sha256(b"\x00" + data).digest()
        k = 1
        while k * 2 < of:
            k *= 2
        if leaf < k:
            return pair_hash(up(leaf, k, left[:-1]), left[-1])
        return pair_hash(left[-1], up(leaf - k, of - k, left[:-1]))

    return up(proof.leaf, size, path)


async def test_growth_between_two_heads_is_proved_and_a_false_past_is_not(sealed: Sealed) -> None:
    sizes = []
    for first in (1, 100, 1000):
        await sealed.add_positions(first, 90)
        await sealed.seal()
        head = await last_head(sealed.connection)
        assert head is not None
        sizes.append(head.size)
    line = await key_line(sealed)
    for old, new in ((sizes[0], sizes[2]), (sizes[1], sizes[2]), (sizes[0], sizes[1])):
        proof = await prove_growth(sealed.connection, old, new)
        assert verify(proof, line).startswith("nothing was changed")
    other = await prove_growth(sealed.connection, sizes[0], sizes[1])
    with pytest.raises(NotProved):
        verify(type(proof)(other.old, proof.head, ["00" * 32, *proof.path]), line)
    with pytest.raises(NothingToProve, match="no head of 7 leaves"):
        await prove_growth(sealed.connection, 7, sizes[2])


async def test_what_waits_or_is_not_there_has_no_proof_yet(sealed: Sealed) -> None:
    await sealed.add_positions(1, 5)
    async with sealed.connection.transaction():
        with pytest.raises(NothingToProve):
            await prove_rows(sealed.connection, "fact", 3)
    await sealed.seal()
    async with sealed.connection.transaction():
        with pytest.raises(NothingToProve, match="there is no fact 99"):
            await prove_rows(sealed.connection, "fact", 99)


async def test_a_rotated_key_is_named_by_the_one_before_and_one_that_is_not_is_told(sealed: Sealed) -> None:
    await sealed.add_positions(1, 5)
    await sealed.seal()
    line = await rotated(sealed.settings)
    await sealed.add_positions(10, 5)
    await sealed.seal()
    head = await last_head(sealed.connection)
    assert head is not None
    assert read_note(head.note, *read_key(line)).size == head.size
    assert await key_line(sealed) == f"{line}\n"
    assert await sealed.troubles() == []
    (sealed.settings.data_dir / "log.key").unlink()
    await sealed.add_positions(20, 5)
    await sealed.seal()
    assert ["was not named by the one before" in t for t in await sealed.troubles()] == [True]


# ------------------------------------------------------------------ the running service


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(400):
        if await holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("not within 20 s")


async def test_the_head_is_everybodys_to_ask_for_and_what_came_in_is_under_it(
    database_url: str, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    command = (sys.executable, "-c", f"import sys; open({str(seen)!r}, 'w').write(sys.stdin.read())")
    async with serving(database_url, data_dir=tmp_path, log_witness=command) as door:
        status, _ = await door.reports(position(1, "12:00"))
        assert status == 200
        await until(lambda: sealed_fact(database_url))
        async with door.session.get("/v1/log/head") as response:
            assert response.status == 200
            note = await response.text()
        line = (tmp_path / "log.pub").read_text()
        assert read_note(note, *read_key(line)).size > 0

        async def is_seen() -> bool:
            return seen.exists() and seen.read_text().endswith("=\n")

        await until(is_seen)
        assert read_note(seen.read_text(), *read_key(line)).size > 0
        assert "emtrack_unsealed_leaves 0.0" in await door.metrics()
    clock = ClockSetting(ms("12:00"), 1.0)
    assert await checked(Settings(data_dir=tmp_path, database_url=database_url, clock=clock), [])


SEALED_POSITIONS = "SELECT count(*) FROM log_leaves JOIN log_material USING (material_no) WHERE kind = 'positions'"


async def sealed_fact(database_url: str) -> bool:
    connection = await connect(database_url)
    try:
        return bool(await connection.fetchval(SEALED_POSITIONS))
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "command", [("false",), ("/nonexistent/witness",), (sys.executable, "-c", "import time; time.sleep(60)")]
)
async def test_a_witness_that_fails_or_hangs_is_counted_and_stops_nothing(command: tuple[str, ...]) -> None:
    metrics = Metrics()
    witness = Witness(command, metrics, patience_s=0.5)
    async with asyncio.timeout(10):
        await witness.give("a head\n")
    assert metrics.witness_failures._value.get() == 1


def test_a_key_in_a_line_is_read_back_and_a_changed_one_is_refused() -> None:
    public = public_bytes(Ed25519PrivateKey.generate())
    line = told_key("emtrack-1", public)
    assert read_key(line) == ("emtrack-1", public)
    for at in range(len(line)):
        with pytest.raises(UnfitHead):
            read_key(line[:at] + chr(ord(line[at]) ^ 1) + line[at + 1 :])


async def test_the_commands_prove_check_and_find(sealed: Sealed) -> None:
    """As programs of their own: `verify` where there is neither database nor service."""
    folder = sealed.settings.data_dir
    here = {"EMTRACK_DATABASE_URL": sealed.settings.database_url or "", "EMTRACK_DATA_DIR": str(folder)}
    await sealed.add_positions(1, 300)
    await sealed.seal()
    proved = await emtrack_aside("audit", "prove", "fact", "7", "--out", str(folder / "fact.json"), **here)
    assert proved.returncode == 0, proved.stderr
    elsewhere = {
        "EMTRACK_DATABASE_URL": "postgresql://nobody@nowhere.invalid/none",
        "EMTRACK_DATA_DIR": "/nonexistent",
    }
    pair = ("--key", str(folder / "log.pub"), "--head", str(folder / "log.head"))
    verified = await emtrack_aside("audit", "verify", str(folder / "fact.json"), *pair, **elsewhere)
    assert (verified.returncode, "positions/1" in verified.stdout) == (0, True), verified.stderr
    changed = (folder / "fact.json").read_text().replace("GPS", "LBS")
    (folder / "fact.json").write_text(changed)
    refused = await emtrack_aside("audit", "verify", str(folder / "fact.json"), *pair, **elsewhere)
    assert (refused.returncode, "was changed" in refused.stderr) == (1, True), refused.stderr
    good = await emtrack_aside("audit", "check", *pair, **here)
    assert good.returncode == 0, good.stdout + good.stderr
    await sealed.connection.execute("UPDATE positions SET lat_deg = 54 WHERE fact_id = 9")
    bad = await emtrack_aside("audit", "check", **here)
    assert (bad.returncode, bad.stdout.splitlines()) == (1, ["positions 9/2 was changed"])
