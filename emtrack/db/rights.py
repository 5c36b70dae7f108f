"""What the run-time roles may do to which table. The owner has everything, and is used to migrate and to repair only.

Facts, findings, actions and looks: INSERT and SELECT and nothing else, for any. Versions of orders are closed by their column
`recorded`. What is a cache, a timer or a session may go. Partitions of positions are reached through their parent. A gateway
reads keys and who wears what, and writes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import suppress
from enum import StrEnum
from typing import Final, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import structlog

from emtrack.db.connect import Connection, connect, without_password
from emtrack.db.embedded import ROLE


class RunTime(StrEnum):
    """Roles of the database in which the service runs."""

    WORKER = "emtrack_worker"
    PAGES = "emtrack_pages"
    GATEWAY = "emtrack_gateway"
    """Needed only where gateways run: who makes the other two by hand may leave it out."""


class Rights(NamedTuple):
    """As GRANT has them."""

    worker: str = ""
    pages: str = ""
    gateway: str = ""


READ = "SELECT"
ADD = "SELECT, INSERT"
CLOSE = "SELECT, INSERT, UPDATE (recorded)"
KEEP = "SELECT, INSERT, UPDATE, DELETE"

FACTS = Rights(ADD, READ)
"""Received and found: appended by the worker."""
HIDDEN_FACTS = Rights(ADD)
CACHE = Rights(KEEP)
ORDERS = Rights(CLOSE, CLOSE)
BOTH_ADD = Rights(ADD, ADD)
BOTH_KEEP = Rights(KEEP, KEEP)
CHANNELS_SHOWN = (
    "(channel_no, name, kind, target, account, severity_from, is_outside, is_fallback, is_canary,"
    " is_for_wearers, entered_at, entered_by, ended_at)"
)
"""Not with what the messages of a webhook are signed."""

RIGHTS: Final[dict[str, Rights]] = {
    # The deployment
    "deployment": Rights(ADD, READ, READ),
    "schema_migrations": Rights(READ, READ, READ),
    "rights_in_force": Rights(READ, READ),
    "liveness": Rights("SELECT, INSERT, UPDATE", READ),
    "shard_count": Rights(READ, READ, READ),
    "shard_liveness": Rights("SELECT, INSERT, UPDATE", READ),
    "shards_alive": Rights(READ, READ),
    "stream_positions": Rights("SELECT, INSERT, UPDATE"),
    "outages": BOTH_ADD,
    "shard_outages": BOTH_ADD,
    "clock_checks": FACTS,
    "planned_maintenance": BOTH_ADD,
    "settings_versions": ORDERS,
    "rules_in_force": FACTS,
    "rejudgements": Rights("SELECT, INSERT, UPDATE (done_at)"),
    "order_changes": Rights(ADD, ADD, "SELECT (change_no, wearer_no, what, changed_at)"),
    # People and devices
    "wearers": Rights(
        "SELECT, INSERT, UPDATE (name, is_canary)", "SELECT (wearer_no, wearer_id), INSERT, UPDATE (name)"
    ),
    "people": Rights(READ, READ),
    "devices": Rights(ADD, ADD, READ),
    "device_keys": Rights(
        "SELECT, INSERT, UPDATE (revoked_at, expires_at)", "SELECT, INSERT, UPDATE (revoked_at, expires_at)", READ
    ),
    "signing_keys": Rights("SELECT, INSERT, UPDATE (revoked_at, expires_at)", READ, READ),
    "device_identifiers": Rights("SELECT, INSERT, UPDATE (ended_at)", "SELECT, INSERT, UPDATE (ended_at)", READ),
    "iom_versions": ORDERS,
    "rag_grades": BOTH_ADD,
    "access_limits": ORDERS,
    "wearer_details": ORDERS,
    "iom_settings": BOTH_ADD,
    "iom_entries": BOTH_ADD,
    "iom_now": Rights(READ, READ),
    "iom_imports": BOTH_ADD,
    "iom_import_rows": BOTH_ADD,
    "iom_cursors": CACHE,
    "iom_silences": CACHE,
    "iom_open_tasks": Rights(KEEP, READ),
    "iom_deployment": Rights(READ, READ),
    # Orders
    "activations": Rights(ADD, ADD, "SELECT (activation_no)"),
    "activation_versions": Rights(
        CLOSE, CLOSE, "SELECT (activation_no, device_no, wearer_no, during, network, recorded, evidence)"
    ),
    "zones": Rights("SELECT, INSERT, UPDATE (version)", "SELECT, INSERT, UPDATE (version)"),
    "zone_sets": Rights("SELECT, INSERT, UPDATE (set_id)", "SELECT, INSERT, UPDATE (set_id)"),
    "zone_set_versions": BOTH_ADD,
    "zone_set_members": BOTH_ADD,
    "requirement_entries": Rights("SELECT, INSERT, UPDATE (valid_from)", "SELECT, INSERT, UPDATE (valid_from)"),
    "requirement_versions": ORDERS,
    "home_units": Rights(CLOSE, CLOSE, "SELECT (hmu_id, wearer_no, during, recorded)"),
    "absences": ORDERS,
    "order_requests": BOTH_ADD,
    "request_decisions": BOTH_ADD,
    "visits": BOTH_ADD,
    "visit_results": BOTH_ADD,
    "tag_moves": BOTH_ADD,
    "requirement_names": ORDERS,
    "protocols": ORDERS,
    # Received
    "raw_reports": HIDDEN_FACTS,
    "raw_requests": HIDDEN_FACTS,
    "positions": FACTS,
    "future_positions": FACTS,
    "packed_hours": Rights(KEEP, READ),
    "packed_positions": Rights(KEEP, READ),
    "packed_late": Rights(KEEP, READ),
    "device_events": FACTS,
    "quarantine": HIDDEN_FACTS,
    "quarantine_releases": HIDDEN_FACTS,
    "integrity_events": HIDDEN_FACTS,
    "signed_requests": HIDDEN_FACTS,
    "signed_reports": HIDDEN_FACTS,
    "unauthenticated_facts": HIDDEN_FACTS,
    "device_counts": Rights("SELECT, INSERT, UPDATE"),
    # Found
    "findings": FACTS,
    "finding_versions": FACTS,
    "presence_notes": Rights("SELECT, INSERT, UPDATE (unknown_since)", READ),
    "atv_lines": BOTH_ADD,
    # Judgement
    "checkpoints": CACHE,
    "older_checkpoints": CACHE,
    "silence_progress": CACHE,
    "late_judgements": CACHE,
    "clock_uploads": CACHE,
    "atv_timers": BOTH_KEEP,
    "alert_timers": CACHE,
    "unit_calls": Rights(KEEP, READ),
    "judgement_faults": HIDDEN_FACTS,
    # Alerts
    "alerts": Rights(
        "SELECT, INSERT, UPDATE",
        "SELECT, INSERT, UPDATE (severity, code, closed_at, incident_no, state, owner, escalated_at, suspended_until, reopen_at,"
        " counts_from, contacted_at, authority_told_at, look_at)",
    ),
    "alert_occurrences": FACTS,
    "alert_people": FACTS,
    "alert_actions": BOTH_ADD,
    "alert_changes": BOTH_ADD,
    "alert_occasions": FACTS,
    "deadline_rules": FACTS,
    "channels": Rights("SELECT, INSERT, UPDATE (ended_at, ended_by)", f"{READ} {CHANNELS_SHOWN}"),
    "canary_beats": Rights("SELECT, INSERT, DELETE", READ),
    "rota_shifts": Rights(
        "SELECT, INSERT, UPDATE (ended_at, ended_by)", "SELECT, INSERT, UPDATE (ended_at, ended_by)"
    ),
    "messages": Rights("SELECT, INSERT, UPDATE (delivery_no)", ADD),
    "deliveries": Rights(
        "SELECT, INSERT, UPDATE", "SELECT, UPDATE (next_try_at, given_up_at, tries, made_at, seen_at, seen_by)"
    ),
    "step_ticks": BOTH_ADD,
    "gap_work": BOTH_ADD,
    "saved_views": BOTH_KEEP,
    "network_silences": Rights(KEEP, "SELECT, UPDATE (incident_no)"),
    "possible_entries": Rights("SELECT, INSERT, UPDATE (settled_at, fate)", "SELECT, UPDATE (settled_at, fate)"),
    "wrong_clocks": Rights("SELECT, INSERT, UPDATE (ended_at)", "SELECT, UPDATE (ended_at)"),
    "unit_silences": Rights("SELECT, INSERT, UPDATE (end_at)", "SELECT, UPDATE (end_at)"),
    # Accounts and looks
    "users": Rights("SELECT, INSERT, UPDATE", "SELECT, INSERT, UPDATE (password_hash, must_change)"),
    "tokens": Rights("SELECT, INSERT, UPDATE (revoked_at, expires_at, token_hash, former_hash, former_until)", READ),
    "second_factors": BOTH_KEEP,
    "recovery_codes": BOTH_KEEP,
    "provider_identities": BOTH_ADD,
    "credential_events": Rights(ADD, ADD, "SELECT (event_no, subject, what)"),
    "credential_changes": Rights(ADD, ADD, READ),
    "sessions": BOTH_KEEP,
    "account_events": Rights(ADD, ADD, "SELECT (event_no, what)"),
    "looks": BOTH_ADD,
    "draft_runs": BOTH_ADD,
    "draft_results": BOTH_ADD,
    "near_runs": BOTH_ADD,
    "near_people": BOTH_ADD,
    "near_assessments": BOTH_ADD,
    "disclosures": BOTH_ADD,
    "record_openings": BOTH_ADD,
    "restricted_looks_seen": BOTH_ADD,
    # The log: what waits is written by triggers, with the rights of the owner
    # the pages read hashes, to prove rows that they may read: a hash with 16 bytes of chance says nothing of its row
    "sealed_kinds": Rights(READ, READ),
    "log_material": Rights(READ, READ),
    "log_leaves": FACTS,
    "log_nodes": FACTS,
    "log_keys": FACTS,
    "log_heads": FACTS,
    # Retention: runs are the owner's
    "retention_holds": HIDDEN_FACTS,
    "retention_runs": Rights(READ),
    "retention_removals": Rights(READ),
    "judgement_ended": Rights(READ, READ),
}
SEQUENCES: Final = {RunTime.WORKER: ("fact_id_blocks", "finding_no_blocks", "alert_no_blocks")}
OF_PEOPLE: Final = (
    "is_new_person(bigint)", "is_signed(bigint)", "merged_people()", "reads_police_intelligence()",
    "unauthenticated_among(bigint[])",
)  # fmt: skip
"""They look with the rights of the owner, for pages and the worker. A gateway has no need of them; others like them stand in the
rules by which rows of tables are seen that it reads, too."""
FUNCTIONS: Final = {
    RunTime.WORKER: (
        *OF_PEOPLE,
        "make_positions_day(date)",
        "new_person(text, text)",
        "end_standing_still(bigint, bigint, float8, float8)",
        "end_standing_still_as_owner(bigint, bigint, float8, float8)",
        "end_former_sessions(bigint, text)",
        "end_former_sessions_as_owner(bigint, text)",
        "end_holders_standing_still(bigint, float8)",
        "end_holders_standing_still_as_owner(bigint, float8)",
        "end_foreign_holders()",
        "end_foreign_holders_as_owner()",
    ),
    RunTime.PAGES: (*OF_PEOPLE, "new_person(text, text)"),
}

TABLES = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition ORDER BY c.relname
"""
ROLES_THERE = "SELECT rolname FROM pg_roles WHERE rolname = ANY($1::text[])"
MAY_MAKE_ROLES = "SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"
MAKE_ROLE = "CREATE ROLE {} NOLOGIN"
BE_ROLE = "GRANT {} TO CURRENT_USER"
# A dump that was restored elsewhere may say so of roles that have no rights there.
IN_FORCE = "SELECT fingerprint FROM rights_in_force WHERE has_table_privilege('emtrack_pages', 'looks', 'INSERT')"
NOW_IN_FORCE = """
INSERT INTO rights_in_force (fingerprint) VALUES ($1) ON CONFLICT (only_row) DO UPDATE SET fingerprint = excluded.fingerprint
"""
LOCK = "SELECT pg_advisory_xact_lock($1)"
RIGHTS_LOCK: Final = int.from_bytes(b"rights", "big")

log = structlog.get_logger(__name__)


def statements(roles: Collection[RunTime] = tuple(RunTime)) -> list[str]:
    """What gives roles their rights, and takes every other one away."""
    made = [
        f"REVOKE ALL ON ALL {what} IN SCHEMA public FROM {role}" for role in roles for what in ("TABLES", "SEQUENCES")
    ]
    made += [f"REVOKE EXECUTE ON FUNCTION {name} FROM PUBLIC" for name in OF_PEOPLE]
    made += [f"GRANT USAGE ON SCHEMA public TO {role}" for role in roles]
    for table, rights in RIGHTS.items():
        for role, given in zip(RunTime, rights, strict=True):
            made += [f"GRANT {given} ON {table} TO {role}"] if given and role in roles else []
    for role in roles:
        made += [f"GRANT USAGE ON SEQUENCE {name} TO {role}" for name in SEQUENCES.get(role, ())]
        made += [f"GRANT EXECUTE ON FUNCTION {name} TO {role}" for name in FUNCTIONS.get(role, ())]
    return made


def fingerprint(roles: Collection[RunTime] = tuple(RunTime)) -> str:
    return hashlib.sha256("\n".join(statements(roles)).encode()).hexdigest()


async def grant_rights(connection: Connection) -> bool:
    """Make the roles where we may, and give them their rights where that was not done yet, as the owner. False: there are no such
    roles, and we may not make them."""
    await _make_missing(connection)
    roles = await _there(connection)
    if not {RunTime.WORKER, RunTime.PAGES} <= set(roles):
        return False
    if await connection.fetchval(IN_FORCE) != fingerprint(roles):
        async with connection.transaction():
            await connection.execute(LOCK, RIGHTS_LOCK)
            for statement in statements(roles):
                await connection.execute(statement)
            await connection.execute(NOW_IN_FORCE, fingerprint(roles))
    return True


async def _there(connection: Connection) -> list[RunTime]:
    """In the order of RunTime."""
    there = {row["rolname"] for row in await connection.fetch(ROLES_THERE, [str(role) for role in RunTime])}
    return [role for role in RunTime if role in there]


async def _make_missing(connection: Connection) -> None:
    """Where we may."""
    there = await _there(connection)
    missing = [role for role in RunTime if role not in there]
    if not missing or not await connection.fetchval(MAY_MAKE_ROLES):
        return
    for name in missing:  # another program may make it meanwhile
        with suppress(asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError, asyncpg.InsufficientPrivilegeError):
            await connection.execute(MAKE_ROLE.format(name))
            await connection.execute(BE_ROLE.format(name))


async def run_time_dsn(dsn: str, role: RunTime) -> str:
    """How to reach the database as a role: by a login of its own on the embedded server, by SET ROLE on another. Where neither can
    be had, as the owner, and the log says so."""
    for way in _ways(dsn, role):
        try:
            connection = await connect(way)
        except (asyncpg.PostgresError, OSError):
            continue
        await connection.close()
        return way
    what = (
        f"the service works as the owner at {without_password(dsn)}: row-level security and append-only tables are not enforced by "
        f"the database. Make the role {role} there and grant it to the user of EMTRACK_DATABASE_URL"
    )
    log.error("no role of its own", role=str(role), what=what)
    return dsn


def dsn_as(dsn: str, role: RunTime) -> str:
    """The same address in a role, by SET ROLE. Whether it can be had shows when it is used."""
    parts = urlsplit(dsn)
    as_role = f"{parts.query}&role={role}" if parts.query else f"role={role}"
    return urlunsplit(parts._replace(query=as_role))


def _ways(dsn: str, role: RunTime) -> list[str]:
    parts = urlsplit(dsn)
    by_set_role = dsn_as(dsn, role)
    user, at, host = parts.netloc.rpartition("@")
    if user != ROLE or host:  # no socket of the embedded server
        return [by_set_role]
    return [urlunsplit(parts._replace(netloc=f"{quote(role)}{at}{host}")), by_set_role]
