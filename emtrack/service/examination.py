"""`emtrack doctor`: is this machine fit to watch over people? Each look is a line with what was found and what to do."""

from __future__ import annotations

import asyncio
import platform
import resource
import shutil
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import asyncpg

from emtrack.basemap import BasemapError, open_basemap
from emtrack.clock import machine_ms
from emtrack.db.connect import SYNCHRONOUS, WHAT_OUTLIVES_A_POWER_CUT, connect, without_password
from emtrack.db.embedded import DatabaseError, DataDirectory
from emtrack.db.migrate import MigrationState, status
from emtrack.db.opened import unmigrated_database
from emtrack.db.replication import replication_of
from emtrack.db.rights import RunTime, dsn_as, run_time_dsn
from emtrack.reading.standby import NotThere, position_of, replayed
from emtrack.record.clock_checks import last_clock_checks
from emtrack.service.copies import said_of_copies
from emtrack.service.health import Health
from emtrack.service.network_time import ClockCheck, ask_about_clock
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.settings import Settings

LEAST_FREE_BYTES = 5 * 1024**3
LEAST_FREE_SHARE = 0.1
LEAST_DESCRIPTORS = 4_096
STANDBY_WITHIN_S = 5.0
LONGEST_WITHOUT_RETENTION = timedelta(days=8)
"""A week, and a day for who begins late."""

DAY_PARTITION = "SELECT to_regclass('positions_' || to_char($1::timestamptz, 'YYYY_MM_DD')) IS NOT NULL"
ALIVE = "SELECT min(alive_at) FROM shards_alive"
MADE = "SELECT min(applied_at) FROM schema_migrations"
LAST_RETENTION = "SELECT max(begun_at) FROM retention_runs"
LAST_BEAT = "SELECT sent_at, trouble FROM canary_beats ORDER BY beat_no DESC LIMIT 1"
LONGEST_SILENT = timedelta(minutes=5)
COUNT_CHANNELS = "SELECT count(*) FROM channels WHERE ended_at IS NULL AND NOT is_canary"
COUNT_FAILING = """
SELECT count(*) FROM deliveries WHERE delivered_at IS NULL AND seen_at IS NULL AND (tries > 1 OR given_up_at IS NOT NULL)
    AND (channel_no IS NULL OR channel_no NOT IN (SELECT canary_channels()))
"""
# Those that are in the role of gateways, and in none of the others. What is taken from everybody: as in deploy/postgres-gateways.sql.
LOGINS_OF_GATEWAYS = r"""
SELECT r.rolname, has_database_privilege(r.oid, current_database(), 'TEMPORARY') OR EXISTS (
           SELECT FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND has_function_privilege(r.oid, p.oid, 'EXECUTE')
               AND (p.proname LIKE 'pg\_advisory\_%' OR p.proname LIKE 'pg\_try\_advisory\_%' OR p.proname LIKE 'lo\_%'
                    OR p.proname IN ('loread', 'lowrite'))) AS is_open
FROM pg_roles r JOIN pg_roles g ON g.rolname = $1 JOIN pg_database d ON d.datname = current_database()
WHERE r.rolcanlogin AND NOT r.rolsuper AND pg_has_role(r.oid, g.oid, 'MEMBER') AND NOT EXISTS (
    SELECT FROM pg_roles o WHERE (o.rolname = ANY($2::text[]) OR o.oid = d.datdba) AND pg_has_role(r.oid, o.oid, 'MEMBER'))
ORDER BY r.rolname
"""
IS_SUPERUSER = "SELECT count(*) FROM pg_roles WHERE rolname = current_user AND rolsuper"


class Look(NamedTuple):
    """What was looked at, how it is, and in words what was found and what to do."""

    what: str
    health: Health
    words: str


async def examine(settings: Settings) -> list[Look]:
    """All looks, those at the machine first. A database that cannot be reached is one of them. Changes nothing."""
    looks = [
        _versions(),
        *await _clock(settings),
        _descriptors(),
        _disk(settings.data_dir),
        _listening(settings),
        _basemap(settings),
    ]
    if settings.database_url is None and not DataDirectory.at(settings.data_dir).data.exists():
        words = f"there is none in {settings.data_dir} yet; the first start makes it"
        return [*looks, Look("database", Health.NOTE, words)]
    try:
        async with unmigrated_database(settings, "doctor") as connection:
            looks += await _database(connection)
            looks.append(await _roles(settings, connection))
            if settings.database_url is not None:  # nobody reaches the embedded one from another machine
                looks += await _logins_of_gateways(connection)
            looks += await _readers(settings, connection)
    except (DatabaseError, OSError, asyncpg.PostgresError) as error:
        looks.append(Look("database", Health.BAD, str(error)))
    return looks


async def _readers(settings: Settings, connection: Connection) -> list[Look]:
    """Whether the standby answers readers, where one is named."""
    if settings.standby_url is None:
        return []
    where, meanwhile = without_password(settings.standby_url), "the primary answers readers meanwhile"
    try:
        position = await position_of(connection)
        async with asyncio.timeout(STANDBY_WITHIN_S):
            standby = await connect(dsn_as(settings.standby_url, RunTime.PAGES))
            try:
                await replayed(standby, position)
            finally:
                await standby.close(timeout=1)
    except NotThere:
        words = f"the standby at {where} does not follow this database, or is more than a second behind; {meanwhile}"
        return [Look("readers", Health.BAD, words)]
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        trouble = str(error) or type(error).__name__
        return [Look("readers", Health.BAD, f"the standby at {where} cannot be asked ({trouble}); {meanwhile}")]
    return [Look("readers", Health.GOOD, f"what readers ask for is worked out on the standby at {where}")]


def _versions() -> Look:
    from importlib.metadata import version

    return Look("versions", Health.GOOD, f"emtrack {version('emtrack')}, Python {platform.python_version()}")


async def _clock(settings: Settings) -> list[Look]:
    """Whether the machine's clock is right: times of findings are evidence."""
    return [_of_clock("clock", check) for check in await ask_about_clock(settings.ntp_servers)]


def _of_clock(what: str, check: ClockCheck, when: str = "") -> Look:
    if check.offset_s is None:
        return Look(what, Health.NOTE, f"{when}{check.asked}: {check.trouble}")
    health = Health.BAD if check.is_far_off else Health.GOOD
    within = "" if check.within_s is None else f", within {check.within_s:.6f} s"
    return Look(
        what,
        health,
        f"{when}{check.asked} is {check.offset_s:+.6f} s ahead of us{within}; evidence wants less than 1 s",
    )


async def _clock_on_record(connection: Connection) -> list[Look]:
    """What the service was told when it asked last. It asks every hour while it runs."""
    rows = await last_clock_checks(connection)
    if not rows:
        return [Look("clock on record", Health.NOTE, "the service has not asked about the clock yet")]
    return [
        _of_clock(
            "clock on record",
            ClockCheck(row["asked"], row["offset_s"], row["within_s"], row["trouble"]),
            f"asked at {row['asked_at']:%Y-%m-%d %H:%M} UTC: ",
        )
        for row in rows
    ]


async def _retention(connection: Connection) -> Look:
    """Whether what may no longer be kept goes: nobody misses a run that is not made."""
    made, last = await connection.fetchval(MADE), await connection.fetchval(LAST_RETENTION)
    now = datetime_of(machine_ms())
    told = "`emtrack retention run` belongs on a schedule (deploy/emtrack-retention.timer)"
    if last is None:
        is_due = now - made > LONGEST_WITHOUT_RETENTION
        return Look("retention", Health.BAD if is_due else Health.NOTE, f"no run was made yet; {told}")
    if now - last > LONGEST_WITHOUT_RETENTION:
        return Look("retention", Health.BAD, f"the last run began at {last:%Y-%m-%d %H:%M} UTC; {told}")
    return Look("retention", Health.GOOD, f"the last run began at {last:%Y-%m-%d %H:%M} UTC")


async def _canary(connection: Connection) -> Look:
    """Whether alerts arrive."""
    row = await connection.fetchrow(LAST_BEAT)
    if row is None:
        words = "no canary has sung: run `emtrack canary` beside the service (docs/messages.md)"
        return Look("canary", Health.NOTE, words)
    since = f"{row['sent_at']:%Y-%m-%d %H:%M:%S} UTC"
    if row["trouble"] is not None:
        return Look("canary", Health.BAD, f"the last test alert, of {since}, did not arrive: {row['trouble']}")
    if datetime_of(machine_ms()) - row["sent_at"] > LONGEST_SILENT:
        return Look("canary", Health.BAD, f"it is silent since {since}: does `emtrack canary` run?")
    return Look("canary", Health.GOOD, f"a test alert arrived, sent at {since}")


async def _messages(connection: Connection) -> Look:
    """Whether people can be told, and were."""
    channels, failing = await connection.fetchval(COUNT_CHANNELS), await connection.fetchval(COUNT_FAILING)
    if failing:
        words = f"{failing} did not arrive, and nobody has seen to it: the page Messages says which"
        return Look("messages", Health.BAD, words)
    if not channels:
        words = "no channel is entered: nobody is told of a missed deadline but on the pages (`emtrack channels add`)"
        return Look("messages", Health.NOTE, words)
    return Look("messages", Health.GOOD, f"{channels} channels, and all arrived")


def _descriptors() -> Look:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    words = f"{soft:,} at once, at most {hard:,}"
    if hard < LEAST_DESCRIPTORS:
        return Look(
            "open files", Health.BAD, f"{words}; a fleet needs {LEAST_DESCRIPTORS:,} (LimitNOFILE= in systemd)"
        )
    return Look("open files", Health.GOOD, words)


def _disk(data_dir: Path) -> Look:
    there = next(folder for folder in (data_dir, *data_dir.parents) if folder.exists())
    usage = shutil.disk_usage(there)
    words = f"{usage.free / 1024**3:.1f} GiB of {usage.total / 1024**3:.1f} GiB are free at {there}"
    if usage.free < LEAST_FREE_BYTES or usage.free < usage.total * LEAST_FREE_SHARE:
        return Look(
            "disk", Health.BAD, f"{words}. Make room before it is full: what cannot be stored is not acknowledged"
        )
    return Look("disk", Health.GOOD, words)


def _listening(settings: Settings) -> Look:
    return Look(
        "listens on", Health.GOOD, f"{settings.listen}, for hosts {', '.join(settings.hosts) or settings.host}"
    )


def _basemap(settings: Settings) -> Look:
    if settings.basemap is None:
        return Look(
            "base map",
            Health.NOTE,
            "none; maps have an outline of the country. EMTRACK_BASEMAP names a file of tiles",
        )
    try:
        found = open_basemap(settings.basemap)
    except BasemapError as error:
        return Look("base map", Health.BAD, str(error))
    try:
        low, high = found.zooms
        words = f"{found.container} of {found.content}, zooms {low} to {high}, {found.size:,} bytes at {found.path}"
        if not found.attribution:
            return Look(
                "base map", Health.NOTE, f"{words}. It does not say whose data it is: look whether that must be shown"
            )
        return Look("base map", Health.GOOD, f"{words}. {found.attribution}")
    finally:
        found.close()


async def _database(connection: Connection) -> list[Look]:
    version = connection.get_server_version()
    looks = [Look("database", Health.GOOD, f"PostgreSQL {version.major}.{version.minor} answers")]
    looks.append(Look("copies", *said_of_copies(await replication_of(connection))))
    states = await status(connection)
    pending = [state for state in states if state.state is not MigrationState.APPLIED]
    if pending:
        first = f"{pending[0].number:04}_{pending[0].name} is {pending[0].state}"
        return [
            *looks,
            Look(
                "migrations",
                Health.NOTE,
                f"{first}; `emtrack db migrate`, or the next start, applies what is pending",
            ),
        ]
    looks.append(Look("migrations", Health.GOOD, f"all {len(states)} are applied"))
    looks.append(await _durability(connection))
    looks.append(await _partition(connection))
    looks += await _clock_on_record(connection)
    looks.append(await _retention(connection))
    looks.append(await _canary(connection))
    looks.append(await _messages(connection))
    return looks


async def _durability(connection: Connection) -> Look:
    off = [row["name"] for row in await connection.fetch(WHAT_OUTLIVES_A_POWER_CUT)]
    synchronous = await connection.fetchval(SYNCHRONOUS)
    if off or synchronous not in ("on", "remote_apply"):
        what = ", ".join([*(f"{name} = off" for name in off), f"synchronous_commit = {synchronous}"])
        return Look("durability", Health.BAD, f"{what}: a power cut can lose what devices were told is stored")
    return Look("durability", Health.GOOD, "fsync, full_page_writes and synchronous_commit are on")


async def _partition(connection: Connection) -> Look:
    """The partition of the day on which the service was last alive, and whether that of the next is there already."""
    alive = await connection.fetchval(ALIVE)
    if alive is None:
        return Look("days ahead", Health.NOTE, "the service has not run on this database yet")
    today, tomorrow = [await connection.fetchval(DAY_PARTITION, alive + timedelta(days=days)) for days in (0, 1)]
    of_today, of_tomorrow = ("there" if today else "none"), ("there" if tomorrow else "made when it is needed")
    words = f"partition of {alive:%Y-%m-%d}: {of_today}; of the next day: {of_tomorrow}"
    return Look("days ahead", Health.GOOD, words)


async def _roles(settings: Settings, connection: Connection) -> Look:
    if await connection.fetchval(IS_SUPERUSER):
        return Look(
            "roles",
            Health.BAD,
            "the owner is a superuser: nothing holds it back. Use a role that owns the database only",
        )
    dsn = settings.database_url
    if dsn is None:
        return Look(
            "roles", Health.GOOD, "the embedded server has an owner, a worker and pages, each with its rights"
        )
    own = [role for role in RunTime if await run_time_dsn(dsn, role) == dsn]
    if own:
        names = " and ".join(own)
        return Look(
            "roles",
            Health.BAD,
            f"there is no {names}: the service works as the owner (docs/database.md says what to do)",
        )
    return Look("roles", Health.GOOD, "owner, worker and pages are apart")


async def _logins_of_gateways(connection: Connection) -> list[Look]:
    """Whether one that was taken over could hold up workers, where gateways have logins of their own."""
    logins = await connection.fetch(
        LOGINS_OF_GATEWAYS, str(RunTime.GATEWAY), [str(RunTime.WORKER), str(RunTime.PAGES)]
    )
    if not logins:
        return []
    open_to = [row["rolname"] for row in logins if row["is_open"]]
    if open_to:
        words = (
            f"{', '.join(open_to)} may hold advisory locks, large objects or temporary tables: who takes it over can keep workers "
            "from working. An administrator takes that from everybody with deploy/postgres-gateways.sql (docs/scale.md)"
        )
        return [Look("gateways' logins", Health.BAD, words)]
    names = ", ".join(row["rolname"] for row in logins)
    return [Look("gateways' logins", Health.GOOD, f"{names} can hold no lock, and has no room of its own")]


def worst(looks: list[Look]) -> int:
    """The exit code: 1 if anything is bad."""
    return int(any(look.health is Health.BAD for look in looks))
