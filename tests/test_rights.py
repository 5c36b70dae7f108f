"""Who may do what to which row, told by the database itself: role × agency × table × verb × person, each cell tried with a row
that is there. What is expected is said here once more, in plain Python, and compared."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg
import pytest

from emtrack.db.connect import connect, open_pool
from emtrack.db.identity import Identity, ask_as, identify
from emtrack.db.rights import RIGHTS, TABLES, RunTime, grant_rights, run_time_dsn, statements
from emtrack.db.session import READING

ROLES = ("operator", "supervisor", "officer", "contact", "auditor", "administrator")
WATCH = {"operator", "supervisor", "administrator"}
AGENCIES = (None, "Police", "Probation", "Housing")
ACCOUNT = "Ann"


class Person(NamedTuple):
    """A canary. `closed`: the record is restricted to somebody else than Ann."""

    no: int
    agencies: tuple[str, ...]
    closed: bool = False


PEOPLE = (
    Person(1, ("Police",)),
    Person(2, ("Probation",)),
    Person(3, ("Police", "Probation"), closed=True),
    Person(4, ()),
    Person(5, ("Police", "Housing")),
)

NOW = "'2026-03-02T12:00:00Z'::timestamptz"
DAY = "tstzrange('2026-03-01', '2026-04-01')"
SINCE = "tstzrange('2026-03-01', NULL)"
# One row each: of person $1, with the number $2, so that a second one is another row. In the order in which they depend.
CANARIES = {
    "wearers": "(wearer_no, wearer_id, name) OVERRIDING SYSTEM VALUE VALUES ($2, 'W' || $2, 'Name ' || $1)",
    "iom_versions": f"""(version_no, wearer_no, pathways, agencies, recorded, entered_by) OVERRIDING SYSTEM VALUE
        SELECT $2, $1, '{{}}', a, CASE WHEN $2 = $1 THEN {SINCE} ELSE tstzrange('2020-01-01', '2020-01-02') END, 'Ann'
        FROM canary_agencies($1) a""",  # noqa: S608
    "wearer_details": f"""(version_no, wearer_no, phones, contacts, recorded, entered_by) OVERRIDING SYSTEM VALUE VALUES
        ($2, $1, '{{}}', '[]', CASE WHEN $2 = $1 THEN {SINCE} ELSE tstzrange('2020-01-01', '2020-01-02') END, 'Ann')""",
    "requirement_names": f"""(version_no, wearer_no, requirement_id, name, recorded, entered_by) OVERRIDING SYSTEM VALUE VALUES
        ($2, $1, 'R' || $2, 'x', {SINCE}, 'Ann')""",
    "protocols": f"""(protocol_no, wearer_no, zone, version, steps, recorded, entered_by) OVERRIDING SYSTEM VALUE VALUES
        ($2, $1, 'Z' || $2, 1, '[]', {SINCE}, 'Ann')""",
    "rag_grades": f"""(grade_no, wearer_no, grade, since, recorded_at, entered_by) OVERRIDING SYSTEM VALUE
        VALUES ($2, $1, 'RED', {NOW} + $2 * interval '1 s', {NOW}, 'Ann')""",
    "activation_versions": f"""(version_no, activation_no, device_no, wearer_no, during, report_interval_ms, recorded, entered_by,
        evidence) OVERRIDING SYSTEM VALUE VALUES ($2, $1, $1, $1, {DAY}, 60000,
        CASE WHEN $2 = $1 THEN {SINCE} ELSE tstzrange('2020-01-01', '2020-01-02') END, 'Ann', '{{}}')""",
    "requirement_entries": f"""(entry_no, wearer_no, requirement_id, valid_from) OVERRIDING SYSTEM VALUE
        VALUES ($2, $1, 'R' || $2, {NOW})""",
    "requirement_versions": f"""(version_no, entry_no, wearer_no, requirement_id, kind, valid, zone_no, buffer_m, confirm_points,
        confirm_ms, grace_ms, recorded, entered_by) OVERRIDING SYSTEM VALUE
        VALUES ($2, $1, $1, 'R' || $2, 'CURFEW', {DAY}, 1, 0, 2, 0, 0, {SINCE}, 'Ann')""",
    "home_units": f"""(version_no, hmu_id, wearer_no, requirement_id, during, recorded, entered_by) OVERRIDING SYSTEM VALUE
        VALUES ($2, 'H' || $2, $1, 'R', {DAY}, {SINCE}, 'Ann')""",
    "absences": f"""(absence_no, wearer_no, during, reason, recorded, entered_by) OVERRIDING SYSTEM VALUE
        VALUES ($2, $1, {DAY}, 'x', tstzrange({NOW} + $2 * interval '1 s', {NOW} + ($2 + 1) * interval '1 s'), 'Ann')""",
    "iom_entries": f"""(entry_no, noun, version, wearer_no, content, recorded_at, recorded_by, agency) OVERRIDING SYSTEM VALUE
        VALUES ($2, 'person', 1, $1, '{{}}', {NOW}, 'Ann', asking_agency())""",
    "positions": f"""(fact_id, device_no, fix_time, mechanism, lat_deg, lon_deg, received_at)
        VALUES ($2, $1, {NOW} + $2 * interval '1 s', 'GPS', 53, -2, {NOW})""",
    "future_positions": f"""(fact_id, device_no, fix_time, mechanism, lat_deg, lon_deg, received_at)
        VALUES ($2, $1, {NOW} + $2 * interval '1 s', 'GPS', 53, -2, {NOW})""",
    "device_events": f"""(fact_id, device_no, event_time, type, received_at)
        VALUES ($2, $1, {NOW} + $2 * interval '1 s', 'HEARTBEAT', {NOW})""",
    "findings": "(finding_no, activation_no, kind) VALUES ($2, $1, 'CURFEW')",
    "finding_versions": f"""(finding_no, version, recorded_at, change, why, begin_at, known_at, within_grace, evidence, facts_hash,
        decided_under) VALUES ($1, $2, {NOW}, 'new', 'x', {NOW}, {NOW}, false, '{{}}', 'x', '{{}}')""",
    "presence_notes": f"(finding_no, noted_at) VALUES ($1, {NOW} + $2 * interval '1 s')",
    "alerts": f"""(alert_no, wearer_no, activation_no, kind, severity, raised_at, known_at)
        VALUES ($2, $1, $1, 'K' || $2, 1, {NOW}, {NOW})""",
    "alert_occurrences": f"(finding_no, alert_no, added_at) VALUES ($2, $1, {NOW})",
    "alert_actions": f"(alert_no, action_no, done_at, done_by, action) VALUES ($1, $2, {NOW}, 'Ann', 'noted')",
    "step_ticks": f"""(tick_no, alert_no, step_no, step_text, is_done, ticked_at, ticked_by) OVERRIDING SYSTEM VALUE
        VALUES ($2, $1, 1, 'x', true, {NOW}, 'Ann')""",
    "gap_work": f"""(work_no, wearer_no, is_taken, done_at, done_by) OVERRIDING SYSTEM VALUE VALUES ($2, $1, true, {NOW}, 'Ann')""",
    "alert_changes": f"""(change_no, alert_no, what, changed_at) OVERRIDING SYSTEM VALUE VALUES ($2, $1, 'noted', {NOW})""",
    "alert_people": f"(alert_no, wearer_no, added_at) VALUES ((SELECT least($2, 5)), $1, {NOW})",
    "atv_lines": f"""(line_no, wearer_no, requirement_id, finding_no, recorded_at, what, amount_ms, entered_by, why)
        OVERRIDING SYSTEM VALUE VALUES ($2, $1, 'R', $1, {NOW}, 'counted', 1, 'Ann', 'x')""",
    "possible_entries": f"""(alert_no, activation_no, entry_no, seen_at, fact_id, raised_at, settled_at, fate)
        VALUES ($1, $1, $1, {NOW} + $2 * interval '1 s', 1, {NOW}, {NOW}, 'confirmed')""",
    "wrong_clocks": f"""(alert_no, activation_no, begin_at, least_ms, most_ms, ended_at)
        VALUES ($1, $1, {NOW} + $2 * interval '1 s', 1, 2, {NOW})""",
    "network_silences": f"(finding_no, network, activation_no, begin_at) VALUES ($2, 'n', $1, {NOW})",
    "unit_silences": f"""(silence_no, home_unit, since, alert_no, begin_at, end_at) OVERRIDING SYSTEM VALUE
        VALUES ($2, 'H' || $2, {NOW}, $1, {NOW}, {NOW})""",
    "looks": f"""(look_no, looked_at, looked_by, role, door, what, wearer_no, purpose) OVERRIDING SYSTEM VALUE
        VALUES ($2, {NOW}, CASE WHEN $1 = $2 THEN 'Bob' ELSE 'Ann' END, 'x', 'page', 'findings', $1, 'COURT')""",
    "near_people": """(result_no, run_no, wearer_no, grade, probability) OVERRIDING SYSTEM VALUE
        VALUES ($2, $2, $1, 'INSIDE', 1)""",
    "near_assessments": f"""(assessment_no, result_no, is_relevant, why, assessed_at, assessed_by) OVERRIDING SYSTEM VALUE
        VALUES ($2, $1, true, 'x', {NOW}, 'Ann')""",
    "draft_runs": f"""(run_no, ran_at, ran_by, door, purpose, wearer_no, during, said, draft) OVERRIDING SYSTEM VALUE
        VALUES ($2, {NOW}, 'Ann', 'page', 'COURT', $1, {DAY}, '{{}}', '{{}}')""",
    "disclosures": f"""(disclosure_no, disclosed_at, disclosed_by, role, door, purpose, wearer_no, what, form, during, known_at,
        positions, size_bytes, sha256) OVERRIDING SYSTEM VALUE VALUES ($2, {NOW}, 'Ann', 'x', 'page', 'COURT', $1, 'positions', 'csv',
        {DAY}, {NOW}, 0, 0, sha256(''))""",
    "order_requests": f"""(request_no, wearer_no, kind, asked_by, what, entered_at, entered_by) OVERRIDING SYSTEM VALUE
        VALUES ($2, $1, 'variation', 'x', 'x', {NOW}, 'Ann')""",
    "request_decisions": f"""(decision_no, request_no, is_granted, granted_by, why, effect, decided_at, decided_by)
        OVERRIDING SYSTEM VALUE VALUES ($2, $1, true, 'x', 'x', 'x', {NOW}, 'Ann')""",
    "visits": f"""(visit_no, wearer_no, kind, due_at, why, entered_at, entered_by) OVERRIDING SYSTEM VALUE
        VALUES ($2, $1, 'fit', {NOW}, 'x', {NOW}, 'Ann')""",
    "visit_results": f"""(result_no, visit_no, result, note, done_at, done_by) OVERRIDING SYSTEM VALUE
        VALUES ($2, $1, 'done', 'x', {NOW}, 'Ann')""",
    "order_changes": f"""(change_no, changed_at, changed_by, what, wearer_no, detail) OVERRIDING SYSTEM VALUE
        VALUES ($2, {NOW}, 'Ann', 'x', $1, '{{}}')""",
}
RECORD = {"iom_versions", "rag_grades", "wearer_details", "iom_entries"}
# Of which person a row is, and which row of it the walk looks at.
OF_PERSON = {
    **dict.fromkeys(("activation_versions", "possible_entries", "wrong_clocks", "findings"), "activation_no"),
    **dict.fromkeys(("finding_versions", "presence_notes"), "finding_no"),
    **dict.fromkeys(
        ("alert_occurrences", "alert_actions", "alert_changes", "step_ticks", "unit_silences"), "alert_no"
    ),
    **dict.fromkeys(("positions", "future_positions", "device_events"), "device_no"),
    "network_silences": "activation_no",
    "request_decisions": "request_no",
    "visit_results": "visit_no",
    "near_assessments": "result_no",
}
CLOSED_TO_PAGES = [table for table, rights in RIGHTS.items() if not rights.pages]
VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE")


def row(canary: str, table: str, person: int, number: int) -> str:
    return f"INSERT INTO {table} {canary}".replace("$1", str(person)).replace("$2", str(number))


def of_person(table: str) -> str:
    return OF_PERSON.get(table, "wearer_no")


def sees(role: str, agency: str | None, person: Person, table: str) -> bool:
    """What docs/security.md says, in Python."""
    if role == "auditor":
        return table in ("looks", "disclosures")
    if table == "looks" and role in ("supervisor", "administrator", "operator"):
        return True
    if role in WATCH:
        return not (person.closed and table in RECORD)
    shared = agency is None or agency in person.agencies
    if table in ("wearers", "order_changes"):  # the reference alone
        return shared
    return shared and not person.closed


def may(verb: str, table: str) -> bool:
    return re.search(rf"\b{verb}\b", RIGHTS[table].pages) is not None


def column_of(table: str, verb: str) -> str:
    """A column that may be read, or changed, if any may be."""
    given = re.search(rf"{verb} \((\w+)", RIGHTS[table].pages)
    return given[1] if given else of_person(table)


def may_insert(role: str, agency: str | None, person: Person, table: str) -> bool:
    if not may("INSERT", table):
        return False
    if table in ("looks", "order_changes", "wearers"):  # in their own name; somebody new
        return True
    if table in ("alert_actions", "step_ticks", "gap_work", "visits", "visit_results"):
        return role in WATCH
    if table == "disclosures" and role == "auditor":  # they read it
        return False
    if table == "request_decisions" and role not in ("officer", "contact", "administrator"):
        return False
    if table == "iom_entries" and role in ("operator", "supervisor"):  # they read it
        return False
    return sees(role, agency, person, table)


@asynccontextmanager
async def undone(connection: asyncpg.Connection) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def tried(connection: asyncpg.Connection, statement: str, *arguments: int) -> int | str:
    """How many rows a statement reached, or that it is refused."""
    async with undone(connection):
        try:
            return int((await connection.execute(statement, *arguments)).rsplit(" ", 1)[1])
        except asyncpg.InsufficientPrivilegeError:
            return "refused"


class Cell(NamedTuple):
    role: str
    agency: str | None
    table: str
    verb: str
    person: int


async def cells_of(
    connection: asyncpg.Connection, role: str, agency: str | None
) -> AsyncIterator[tuple[Cell, object, object]]:
    """Each with what the database did and what is expected."""
    for table, canary in CANARIES.items():
        for person in PEOPLE:
            visible = int(sees(role, agency, person, table))
            where = f"{of_person(table)} = $1"
            read = column_of(table, "SELECT")
            yield (
                Cell(role, agency, table, "SELECT", person.no),
                min(1, await rows_of(connection, f"SELECT {read} FROM {table} WHERE {where}", person.no)),  # noqa: S608
                visible,
            )
            yield (
                Cell(role, agency, table, "INSERT", person.no),
                await tried(connection, row(canary, table, person.no, person.no + 100)),
                1 if may_insert(role, agency, person, table) else "refused",
            )
            column = column_of(table, "UPDATE")
            value = "'x'" if column == "name" else column  # a name may be given, and not read
            update = f"UPDATE {table} SET {column} = {value} WHERE {where}"  # noqa: S608
            reached = await tried(connection, update, person.no)
            yield (
                Cell(role, agency, table, "UPDATE", person.no),
                min(1, reached) if isinstance(reached, int) else reached,
                visible if may("UPDATE", table) else "refused",
            )
            yield (
                Cell(role, agency, table, "DELETE", person.no),
                await tried(connection, f"DELETE FROM {table} WHERE {where}", person.no),  # noqa: S608
                "refused" if not may("DELETE", table) else visible,
            )
    for table in CLOSED_TO_PAGES:
        for verb in VERBS:
            yield Cell(role, agency, table, verb, 0), await tried(connection, BARE[verb].format(table)), "refused"


BARE = {
    "SELECT": "SELECT FROM {}", "INSERT": "INSERT INTO {} DEFAULT VALUES", "UPDATE": "DELETE FROM {} WHERE false",
    "DELETE": "DELETE FROM {}",
}  # fmt: skip


async def rows_of(connection: asyncpg.Connection, statement: str, *arguments: int) -> int:
    return len(await connection.fetch(statement, *arguments))


async def filled(dsn: str) -> None:
    """The owner enters the canaries; one record is closed to everybody but the keeper."""
    owner = await connect(dsn)
    try:
        await grant_rights(owner)
        agencies = ", ".join(f"({p.no}, '{{{','.join(p.agencies)}}}'::text[])" for p in PEOPLE)
        await owner.execute(
            f"CREATE FUNCTION canary_agencies(bigint) RETURNS text[] LANGUAGE sql IMMUTABLE AS "  # noqa: S608
            f"$$ SELECT a FROM (VALUES {agencies}) AS t (n, a) WHERE n = $1 $$"
        )
        await owner.execute("SELECT make_positions_day('2026-03-02')")
        await owner.execute(
            "INSERT INTO zones (zone_no, version, geometry) OVERRIDING SYSTEM VALUE VALUES (1, 'z', '{}')"
        )
        for person in PEOPLE:
            await owner.execute(
                "INSERT INTO devices (device_no, device_id, added_at) OVERRIDING SYSTEM VALUE VALUES ($1, 'D' || $1::bigint, now())",
                person.no,
            )
            await owner.execute(
                "INSERT INTO activations (activation_no, activation_id, entered_at) OVERRIDING SYSTEM VALUE "
                "VALUES ($1, 'A' || $1::bigint, now())",
                person.no,
            )
        await owner.execute(
            "INSERT INTO near_runs (run_no, ran_at, ran_by, door, purpose, asked, radius_m, during, rules, counts) "
            "OVERRIDING SYSTEM VALUE SELECT n, now(), 'Ann', 'page', 'COURT', 'everybody', 1, tstzrange(now(), NULL), '{}', '{}' "
            "FROM generate_series(1, 105) n"
        )
        for table, canary in CANARIES.items():
            for person in PEOPLE:
                await owner.execute(row(canary, table, person.no, person.no))
        for number in range(101, 106):  # what a second occurrence is of
            await owner.execute(
                "INSERT INTO findings (finding_no, activation_no, kind) VALUES ($1, $2, 'CURFEW')", number + 100, 1
            )
        await owner.execute(
            "INSERT INTO access_limits (wearer_no, kind, accounts, agencies, reason, recorded, entered_by) "
            "VALUES (3, 'restricted', '{the keeper}', '{}', 'x', tstzrange(now(), NULL), 'Bob')"
        )
    finally:
        await owner.close()


async def test_no_cell_of_the_matrix_leaks(database_url: str) -> None:
    await filled(database_url)
    pages = await run_time_dsn(database_url, RunTime.PAGES)
    cells, wrong = 0, []
    async with open_pool(pages, size=1, limits=READING, prepare=identify) as pool:
        for role in ROLES:
            for agency in AGENCIES:
                ask_as(Identity(ACCOUNT, role, agency))
                async with pool.acquire() as connection:
                    async for cell, found, expected in cells_of(connection, role, agency):
                        cells += 1
                        if found != expected:
                            wrong.append(f"{cell}: {found}, expected {expected}")
    assert wrong == []
    assert cells >= 5_000


async def test_a_session_that_says_nothing_sees_nobody(database_url: str) -> None:
    await filled(database_url)
    connection = await connect(await run_time_dsn(database_url, RunTime.PAGES))
    try:
        for table in CANARIES:
            column = column_of(table, "SELECT")
            assert await rows_of(connection, f"SELECT {column} FROM {table}") == 0, table  # noqa: S608
        assert await rows_of(connection, "SELECT * FROM people") == 0
    finally:
        await connection.close()


@pytest.mark.parametrize("role", ["operator", "officer"])
async def test_a_closed_record_shows_its_reference_and_nothing_else(database_url: str, role: str) -> None:
    await filled(database_url)
    ask_as(Identity(ACCOUNT, role, None))
    pages = await run_time_dsn(database_url, RunTime.PAGES)
    async with open_pool(pages, size=1, limits=READING, prepare=identify) as pool, pool.acquire() as connection:
        rows = await connection.fetch("SELECT wearer_no, wearer_id, name, is_closed FROM people ORDER BY wearer_no")
        assert [tuple(row) for row in rows[2:4]] == [(3, "W3", None, True), (4, "W4", "Name 4", False)]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT name FROM wearers")


async def test_a_connection_of_the_pool_forgets_for_whom_it_asked(database_url: str) -> None:
    await filled(database_url)
    pages = await run_time_dsn(database_url, RunTime.PAGES)
    async with open_pool(pages, size=1, limits=READING) as pool:
        async with pool.acquire() as connection:
            await connection.execute("SELECT set_config('emtrack.role', 'operator', false)")
            assert await rows_of(connection, "SELECT FROM alerts") == len(PEOPLE)
        async with pool.acquire() as connection:
            assert await rows_of(connection, "SELECT FROM alerts") == 0


async def test_run_time_roles_cannot_change_what_was_received_found_done_or_seen(database_url: str) -> None:
    await filled(database_url)
    appended = ("raw_requests", "raw_reports", "positions", "future_positions", "device_events", "quarantine", "integrity_events",
                "findings", "finding_versions", "alert_actions", "alert_changes", "atv_lines", "looks", "account_events",
                "order_changes", "alert_occurrences", "iom_entries", "iom_settings", "iom_imports", "iom_import_rows", "near_runs",
                "near_people", "near_assessments", "disclosures", "draft_runs", "draft_results")  # fmt: skip
    for role in RunTime:
        connection = await connect(await run_time_dsn(database_url, role))
        try:
            for table in appended:
                first = await column(database_url, table)
                for statement in (
                    f"UPDATE {table} SET {first} = {first}",  # noqa: S608
                    f"DELETE FROM {table}",  # noqa: S608
                    f"TRUNCATE {table}",
                    f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
                    f"DROP TABLE {table}",
                ):
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await connection.execute(statement)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("SET ROLE emtrack")
        finally:
            await connection.close()


async def column(dsn: str, table: str) -> str:
    owner = await connect(dsn)
    try:
        name: str = await owner.fetchval(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND attidentity = '' "
            "ORDER BY attnum LIMIT 1",
            table,
        )
        return name
    finally:
        await owner.close()


async def test_every_table_is_named_with_its_rights(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        there = {row["relname"] for row in await connection.fetch(TABLES)}
    finally:
        await connection.close()
    assert there == set(RIGHTS)


def grants() -> Iterator[str]:
    yield from (statement for statement in statements() if statement.startswith("GRANT"))


def test_no_right_is_given_that_the_table_of_rights_does_not_name() -> None:
    assert all(" ON " in statement and statement.rsplit(" ", 1)[1] in set(RunTime) for statement in grants())
