"""`emtrack demo`: embedded database, service and emulated tags in one program that Ctrl-C ends.

The first start builds a history and marks the database with two lines in the log of changes: `BEGAN`, with what the demo
is made of, and `COMPLETE`, in the transaction that also writes the clock. A database with the first line alone is a half
that an interruption left: it is emptied and built anew. One with neither, but with something in it, is somebody else's,
and is left alone.

The history ends on an evening, a minute before most curfews begin; from there the clock goes on at the pace of real time.
While the demo is off its clock goes on too: that time is an outage of the service, as it would be in earnest.
"""

from __future__ import annotations

import asyncio
import sys
import time as machine
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, time, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from emtrack.atomic_files import replace_file
from emtrack.client import ServiceClock
from emtrack.clock import Clock, clock_of, machine_ms
from emtrack.db.connect import connect, database
from emtrack.db.locks import WORKER_LOCK
from emtrack.db.migrate import migrate
from emtrack.demo.guide import write_guide
from emtrack.demo.history import (
    HOUR_MS,
    MINUTE_MS,
    STREET_M,
    WHO,
    Demo,
    Progress,
    Stopped,
    Tell,
    build_history,
    fingerprint_of,
    orders_of,
)
from emtrack.demo.people import People
from emtrack.demo.scenes import Scenes, cast, staged
from emtrack.demo.waiting import Waiting, shown
from emtrack.emulator.client import send_world
from emtrack.emulator.paths import street_angle_rad
from emtrack.emulator.schedule import DAY_MS
from emtrack.emulator.sending import Upload
from emtrack.emulator.world import World
from emtrack.forms.orders import Orders
from emtrack.orders.importing import import_with_keys
from emtrack.people.accounts import UserExists, add_user, let_password_stay, new_password
from emtrack.people.roles import Role
from emtrack.record.changes import OrderChange, log_change
from emtrack.record.liveness import alive_ms
from emtrack.service.app import running_service
from emtrack.service.warm_up import warm_up
from emtrack.settings import ClockSetting, Settings, SettingsError, demo_dir
from geofence import datetime_of, format_instant, instant_of

if TYPE_CHECKING:
    from emtrack.db.session import Session as Connection

LONDON = ZoneInfo("Europe/London")
EVENING = time(18, 59, 20)
"""Where histories end: a minute later most curfews have begun, and somebody is not at home."""
LEAD_MS = 8_000
"""The clock reaches the end of the history so long after it was started: the service loads meanwhile, and misses nothing."""
REMEMBERED_MS = 6 * HOUR_MS
"""What tags keep while the demo is off."""
AGAIN_MS = MINUTE_MS
"""What was sent just before the end is sent again: an answer may have been lost."""
TELL_EVERY_S = 5.0

BEGAN, COMPLETE = "demo began", "demo history complete"
KEYS_FILE = "device-keys.json"
TOWN_FILE = "town.pmtiles"
TOWN_WITHIN_S = 120.0

Say = Callable[[str], None]


class DemoRefused(SettingsError):
    """The demo cannot be run with these settings; the message says why, and what to do."""


# ---------------------------------------------------------------------------------------------- the database it may use

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
LOG_THERE = "SELECT to_regclass('order_changes') IS NOT NULL"
MARKS = (
    "SELECT what, detail FROM order_changes WHERE what = ANY($1::text[]) AND changed_by = $2 ORDER BY change_no DESC"
)
USED = "SELECT EXISTS (SELECT FROM deployment) OR EXISTS (SELECT FROM devices) OR EXISTS (SELECT FROM wearers)"
TAKE_LOCK = "SELECT pg_try_advisory_lock($1)"
# What it leaves has its rows from migrations, which alone change them; all other tables are empty in a new database.
EMPTY = """
DO $$ BEGIN EXECUTE (
    SELECT 'TRUNCATE ' || string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables
    WHERE schemaname = current_schema() AND tablename NOT IN
        ('schema_migrations', 'sealed_kinds', 'shard_count', 'iom_deployment', 'rights_in_force'));
END $$
"""
SET_CLOCK = """
INSERT INTO deployment (clock_start, clock_rate, clock_anchor) VALUES ($1, 1, $2)
ON CONFLICT (only_row) DO UPDATE SET clock_start = $1, clock_rate = 1, clock_anchor = $2
"""


class FoundDemo(NamedTuple):
    """The demo in a database: what it is made of, and the fingerprint of its people once its history is complete."""

    demo: Demo
    people: str | None


async def found_in(connection: Connection) -> FoundDemo | None:
    """The demo in this database; None if it is empty. Raises DemoRefused if it holds anything else."""
    if not await connection.fetchval(LOG_THERE):
        _refuse_foreign(await connection.fetchval(TABLES) > 0)
        return None
    marks = {row["what"]: row["detail"] for row in await connection.fetch(MARKS, [BEGAN, COMPLETE], WHO)}
    if BEGAN not in marks:
        _refuse_foreign(await connection.fetchval(USED))
        return None
    return FoundDemo(msgspec.convert(marks[BEGAN], Demo), marks.get(COMPLETE, {}).get("people"))


def _refuse_foreign(foreign: bool) -> None:
    if foreign:
        raise DemoRefused(
            "The demo was given a database that holds something else, and it mixes with nothing. Set "
            "EMTRACK_DATABASE_URL to an empty database, or leave it unset; if it is unset, remove the folder demo in "
            "EMTRACK_DATA_DIR."
        )


def demo_settings(settings: Settings) -> Settings:
    """Settings of the demonstration: a data directory of its own. Raises DemoRefused."""
    if settings.clock is not None:
        raise DemoRefused("EMTRACK_CLOCK is set, and the demo chooses its clock itself. Unset EMTRACK_CLOCK.")
    return msgspec.structs.replace(settings, data_dir=demo_dir(settings))


def last_evening_ms(now_ms: int) -> int:
    """The last time that the wall clock in London showed `EVENING`."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(LONDON)
    evening = datetime.combine(now.date(), EVENING, LONDON)
    if evening > now:
        evening = datetime.combine(now.date() - timedelta(days=1), EVENING, LONDON)
    return instant_of(evening)


# ---------------------------------------------------------------------------------------------- from start to end


async def run_demo(
    settings: Settings,
    stop: asyncio.Event,
    *,
    wearers: int,
    long: int,
    hours: float,
    days: float,
    seed: int,
    say: Say,
) -> None:
    """Until `stop` is set. Started again on the same data it goes on where its clock stands. Raises DemoRefused."""
    chosen = demo_settings(settings)
    wish = Demo(wearers, min(long, wearers), hours, days, seed, last_evening_ms(machine_ms()))
    waiting = Waiting()
    async with AsyncExitStack() as stack:
        async with shown(waiting, chosen):
            await asyncio.to_thread(warm_up)
            dsn = await stack.enter_async_context(
                database(chosen.database_url, chosen.data_dir, program="demo", exclusive=False)
            )
            try:
                scene = await _prepared(dsn, chosen, wish, stop, say, waiting)
            except Stopped:
                say("Stopped before the history was complete; the next start builds it anew.")
                return
        await _live(scene, stop, say)


class Scene(msgspec.Struct, frozen=True):
    """All that the live part needs: settings with its clock, who lives in it, what their tags send from now on. `end_ms`: of the
    history."""

    settings: Settings
    worlds: list[World]
    uploads: list[Iterator[Upload]]
    from_ms: int
    keys: dict[str, str] | None
    passwords: dict[str, str]
    end_ms: int


async def _prepared(
    dsn: str, settings: Settings, wish: Demo, stop: asyncio.Event, say: Say, waiting: Waiting
) -> Scene:
    """The database with its history, and the tags about to send. Raises DemoRefused or Stopped."""
    connection = await connect(dsn)
    try:
        found = await found_in(connection)
        if not await connection.fetchval(TAKE_LOCK, WORKER_LOCK):
            raise DemoRefused("Another emtrack works on this database. End it, or set another EMTRACK_DATA_DIR.")
        await migrate(connection)
        if found is not None and found.people is not None:
            waiting.what = "The people of the town are being brought to where they are now."
            return await _go_on(connection, settings, found, wish, stop, say)
        if found is not None:
            say("The history in this database is not complete: its building was interrupted. It is built anew.")
            await connection.execute(EMPTY)
        return await _begin(connection, settings, wish, stop, say, waiting)
    finally:
        await connection.close()


async def _begin(
    connection: Connection, settings: Settings, demo: Demo, stop: asyncio.Event, say: Say, waiting: Waiting
) -> Scene:
    """Build the history, and let the clock go on from its end."""
    worlds = demo.worlds()
    say(
        f"Building the past of {demo.wearers} invented people: {demo.hours:g} h of all, {demo.days:g} days of "
        f"{demo.long}. The first time only; {settings.base_url} says how far it is."
    )
    began = OrderChange(BEGAN, None, msgspec.to_builtins(demo))
    async with connection.transaction():
        await log_change(connection, began, WHO, worlds[0].start_ms)
    with _telling(say, waiting) as tell:
        keys = await build_history(connection, demo, worlds, tell=tell, stop=stop)
    _keep_keys(settings, keys)
    waiting.what = "The past is there. The tags of the town are being switched on, and its map is drawn."
    scenes = cast(worlds, demo.end_ms)
    uploads = [await _begun(world, scenes, demo.end_ms, stop) for world in worlds]
    passwords = await _passwords(connection, demo.end_ms)
    settings = await _with_town(settings, worlds, say)
    settings = msgspec.structs.replace(settings, guide=write_guide(settings.data_dir, scenes))
    async with connection.transaction():
        await connection.execute(SET_CLOCK, datetime_of(demo.end_ms), datetime_of(machine_ms() + LEAD_MS))
        complete = OrderChange(COMPLETE, None, {"people": fingerprint_of(worlds)})
        await log_change(connection, complete, WHO, demo.end_ms)
    return Scene(_with_clock(settings, demo), worlds, uploads, demo.end_ms, keys, passwords, demo.end_ms)


async def _go_on(
    connection: Connection, settings: Settings, found: FoundDemo, wish: Demo, stop: asyncio.Event, say: Say
) -> Scene:
    """Where the clock stands now, with what the tags kept while nobody listened."""
    demo, worlds = found.demo, found.demo.worlds()
    if fingerprint_of(worlds) != found.people:
        raise DemoRefused(
            "This demo was made by another version of emtrack, with other people. Remove its database (if "
            "EMTRACK_DATABASE_URL is unset: the folder demo in EMTRACK_DATA_DIR), or set another EMTRACK_DATA_DIR."
        )
    if msgspec.structs.replace(wish, end_ms=demo.end_ms) != demo:
        say(
            f"This demo was made with --wearers {demo.wearers} --long {demo.long} --hours {demo.hours:g} "
            f"--days {demo.days:g} --seed {demo.seed}, and goes on so. For another, set another EMTRACK_DATA_DIR."
        )
    chosen = await _with_town(_with_clock(settings, demo), worlds, say)
    chosen = msgspec.structs.replace(chosen, guide=write_guide(settings.data_dir, cast(worlds, demo.end_ms)))
    clock = await clock_of(connection, chosen.clock, adopt=False)
    heard_ms = await alive_ms(connection)
    assert heard_ms is not None, "the service was alive throughout the history"
    from_ms = max(min(heard_ms, clock.now_ms()) - AGAIN_MS, clock.now_ms() - REMEMBERED_MS)
    say(f"Going on with {demo.wearers} invented people; it was last on at {_wall(heard_ms)}.")
    scenes = cast(worlds, demo.end_ms)
    uploads = [await _begun(world, scenes, from_ms, stop) for world in worlds]
    passwords = await _passwords(connection, clock.now_ms())
    return Scene(chosen, worlds, uploads, from_ms, _kept_keys(settings), passwords, demo.end_ms)


async def _with_town(settings: Settings, worlds: list[World], say: Say) -> Settings:
    """With the map of the town, where no other is set; it is made the first time, in some seconds. A demo without it is a demo."""
    path = settings.data_dir / TOWN_FILE
    if settings.basemap is not None:
        return settings
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "emtrack.demo.town", str(path), stdin=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(TOWN_WITHIN_S):
                await process.communicate(msgspec.json.encode(_people_of(worlds)))
        except TimeoutError:
            process.kill()
            await process.wait()
    if not path.exists():
        say("The map of the town could not be made; maps have an outline of the country instead.")
        return settings
    return msgspec.structs.replace(settings, basemap=path)


def _people_of(worlds: list[World]) -> People:
    """Where the people of the demo live and go."""
    wearers = [wearer for world in worlds for wearer in world.wearers]
    places = [
        place
        for one in wearers
        for place in (one.home, *one.shops, *one.friends, one.pub, *([one.work.place] if one.work else []))
    ]
    return People(worlds[0].seed, street_angle_rad(worlds[0].seed), STREET_M, places)


def _with_clock(settings: Settings, demo: Demo) -> Settings:
    return msgspec.structs.replace(settings, clock=ClockSetting(demo.end_ms, 1.0))


async def _begun(world: World, scenes: Scenes, from_ms: int, stop: asyncio.Event) -> Iterator[Upload]:
    """What a world sends from an instant on; the first upload is there already, and all days before it are stepped
    through. That takes a few milliseconds for each tag and day, beside the loop, and can be stopped after each day."""
    for at_ms in range(world.start_ms + DAY_MS, from_ms, DAY_MS):
        await asyncio.to_thread(next, world.uploads(at_ms, None))
        if stop.is_set():
            raise Stopped
    uploads = staged(world, scenes, from_ms)
    return chain([await asyncio.to_thread(next, uploads)], uploads)


async def _live(scene: Scene, stop: asyncio.Event, say: Say) -> None:
    """The service, and the tags that send to it, until `stop` is set."""
    async with running_service(scene.settings, stop) as service:
        if stop.is_set():  # before everybody was read
            return
        keys = scene.keys
        if keys is None:
            keys = await _new_keys(scene)
        clock = await ServiceClock.connect(service.address)
        _announce(service.address, service.clock, scene.passwords, say)
        async with asyncio.TaskGroup() as group:
            for world, uploads in zip(scene.worlds, scene.uploads, strict=True):
                sending = send_world(
                    world, base_url=service.address, keys=keys, clock=clock, from_ms=scene.from_ms, to_ms=None,
                    stop=stop, uploads=uploads,
                )  # fmt: skip
                group.create_task(sending)


def _announce(address: str, clock: Clock, passwords: dict[str, str], say: Say) -> None:
    width = max(map(len, passwords))
    say("")
    say(f"emtrack demo: {address}/alerts")
    say("")
    for name, password in passwords.items():
        say(f"  {name:<{width}}  {password}")
    say("")
    say(f"Its clock is emulated and shows {_wall(clock.now_ms())} in London. Everybody in it is invented.")
    say("Ctrl-C ends it. The same command goes on with it; the passwords are new each time.")


def _wall(at_ms: int) -> str:
    return datetime_of(at_ms).astimezone(LONDON).strftime("%a %d %B %Y, %H:%M:%S")


# ---------------------------------------------------------------------------------------------- keys and passwords


async def _passwords(connection: Connection, now_ms: int) -> dict[str, str]:
    """Accounts of the demo, made or given a new random password: it is known until the program ends, and kept nowhere."""
    passwords = {}
    for role in (Role.OPERATOR, Role.OFFICER, Role.ADMINISTRATOR):
        name = f"demo-{role}"
        try:
            passwords[name] = await add_user(connection, name, role, who=WHO, now_ms=now_ms)
        except UserExists:
            passwords[name] = await new_password(connection, name, who=WHO)
        await let_password_stay(connection, name)
    return passwords


async def _new_keys(scene: Scene) -> dict[str, str]:
    """New keys for all tags, where the file with theirs is gone."""
    keys: dict[str, str] = {}
    for world in scene.worlds:
        orders: Orders = orders_of(world, scene.end_ms)
        keys |= await import_with_keys(scene.settings, orders, who=WHO)
    _keep_keys(scene.settings, keys)
    return keys


def _keep_keys(settings: Settings, keys: dict[str, str]) -> None:
    """Only their owner can read them, from the moment the file is there."""
    path = _keys_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, msgspec.json.encode(keys), mode=0o600)


def _kept_keys(settings: Settings) -> dict[str, str] | None:
    try:
        return msgspec.json.decode(_keys_path(settings).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return None


def _keys_path(settings: Settings) -> Path:
    return settings.data_dir / KEYS_FILE


# ---------------------------------------------------------------------------------------------- telling how far it is


@contextmanager
def _telling(say: Say, waiting: Waiting) -> Iterator[Tell]:
    """A bar on a terminal, a line now and then anywhere else; and on the page that waits."""

    def with_page(tell: Tell) -> Tell:
        def both(progress: Progress) -> None:
            waiting.share = progress.share
            waiting.what = (
                f"The past of the town is being built: it is {_wall(progress.at_ms)} there, and its tags have sent "
                f"{progress.reports:,} reports."
            )
            tell(progress)

        return both

    if not sys.stderr.isatty():
        yield with_page(_line_now_and_then(say))
        return
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %  {task.description}"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield with_page(lambda progress: bar.update(task, completed=progress.share, description=_told(progress)))


def _line_now_and_then(say: Say) -> Tell:
    told_s = machine.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal told_s
        if machine.monotonic() - told_s >= TELL_EVERY_S:
            told_s = machine.monotonic()
            say(f"{progress.share:4.0%}  {_told(progress)}")

    return tell


def _told(progress: Progress) -> str:
    return f"{format_instant(progress.at_ms)[:16]}  {progress.reports:,} reports"
