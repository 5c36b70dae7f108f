"""The command line of emtrack.

Each command is thin: it reads arguments, calls one function, and says what happened. It imports what it needs when it is
called, so that `evaluate` loads no server and `--help` nothing at all.

Exit codes: 0 done; 1 failed while running; 2 the call, a file or a setting does not fit.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import typer

from emtrack.clock import ClockError
from emtrack.db.embedded import DatabaseError
from emtrack.forms.orders import FormError, Orders, read_and_mend, refuse_unknown_sets, write_orders
from emtrack.logs import configure_logs
from emtrack.people.roles import Role
from emtrack.record.orders import OrdersConflict
from emtrack.settings import Settings, SettingsError, read_settings
from geofence.words import NotAnInstant, parse_instant

Result = TypeVar("Result")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Judges electronic-monitoring data against orders, and serves it.",
)
orders_app = typer.Typer(no_args_is_help=True, help="Orders: who is obliged to be where, and when.")
devices_app = typer.Typer(no_args_is_help=True, help="Devices and their keys.")
tokens_app = typer.Typer(no_args_is_help=True, help="Tokens of programs that read and act over HTTP.")
users_app = typer.Typer(no_args_is_help=True, help="Accounts of people who work on the pages.")
zones_app = typer.Typer(no_args_is_help=True, help="Zones out of files: checked, entered as sets, drawn.")
db_app = typer.Typer(no_args_is_help=True, help="The database.")
app.add_typer(orders_app, name="orders")
app.add_typer(devices_app, name="devices")
app.add_typer(tokens_app, name="tokens")
app.add_typer(users_app, name="users")
app.add_typer(zones_app, name="zones")
app.add_typer(db_app, name="db")


def say(text: str) -> None:
    """To the person: standard error, so that standard output carries nothing but results."""
    typer.echo(text, err=True)


def refuse(text: str, code: int = 2) -> NoReturn:
    say(f"emtrack: {text}")
    raise typer.Exit(code)


def main() -> None:
    """The entry point: errors that a person can mend become one line and exit code 2."""
    try:
        app()
    except (FormError, OrdersConflict, SettingsError, ClockError, NotAnInstant) as error:
        say(f"emtrack: {error}")
        sys.exit(2)
    except DatabaseError as error:
        say(f"emtrack: {error}")
        sys.exit(1)
    except OSError as error:
        say(f"emtrack: {error.filename or 'input or output'}: {error.strerror or error}")
        sys.exit(2 if error.filename else 1)


def _settings() -> Settings:
    settings = read_settings()
    configure_logs(settings.log_level)
    return settings


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end in a fast loop; errors of a task group come out as the first of them."""
    import uvloop

    try:
        return uvloop.run(work)
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _run_until_signal(work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run something that ends when its event is set: Ctrl-C and SIGTERM set it; a second one ends at once."""

    async def body() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _on_signal, stop)
        await work(stop)

    _run(body())


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(130)
    stop.set()


def _instant(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    try:
        return parse_instant(text)
    except NotAnInstant as error:
        refuse(f"{name}: {error}")


def _read_orders_file(
    path: Path,
    *,
    repair: bool = False,
    write_back: bool = True,
    ignored: frozenset[str] = frozenset(),
    check: Callable[[Orders, str, str], None] | None = None,
) -> Orders:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FormError(f"{path}: cannot be read: {error}") from error
    orders, mended = read_and_mend(text, path.name, folder=path.parent, repair=repair, ignored=ignored)
    if check is not None:
        check(orders, text, path.name)
    for one in mended:
        say(f"{path.name if one.source is None else one.source}: {one}")
    if write_back:
        _write_back(path, orders, {one.source for one in mended})
    return orders


def _write_back(path: Path, orders: Orders, changed: set[str | None]) -> None:
    """Repaired polygons into the files that they came from: the orders (None), and files with zone sets."""
    for form in orders.zone_sets:
        source = form.features.source
        if source is not None and source in changed:
            _replace(path.parent / source, msgspec.json.encode(form.features.collection))
            say(f"{path.parent / source}: repaired polygons were written back")
    if None in changed:
        _replace(path, write_orders(orders))
        say(f"{path}: repaired polygons were written back")


def _replace(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(content)
    os.replace(fresh, path)


@app.command()
def evaluate(
    orders: Annotated[Path, typer.Option(help="orders.json")],
    positions: Annotated[Path, typer.Option(help="positions: .csv, .ndjson or .parquet, .gz allowed")],
    until: Annotated[str, typer.Option(help="the now of the judgement, ISO 8601 with a zone")],
    events: Annotated[Path | None, typer.Option(help="events, likewise")] = None,
    out: Annotated[Path | None, typer.Option(help="findings.jsonl (default: standard output)")] = None,
    refusals: Annotated[Path | None, typer.Option(help="rows that could not be used, with their reasons")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="mend invalid polygons, and write them back")] = False,
) -> None:
    """Judge files: no server, no database. The same core as the service."""
    from emtrack.files.evaluate import evaluate as judge
    from emtrack.files.evaluate import finding_lines

    until_ms = _instant(until, "--until")
    assert until_ms is not None
    read = _read_orders_file(orders, repair=repair, ignored=frozenset({"wearers"}), check=refuse_unknown_sets)
    evaluation = judge(read, positions, events, until_ms)
    lines = b"".join(finding_lines(evaluation.findings))
    if refusals is not None:
        _replace(refusals, b"".join(msgspec.json.encode(row) + b"\n" for row in evaluation.refused))
    if evaluation.refused:
        say(f"{len(evaluation.refused)} rows were refused" + ("" if refusals else "; --refusals FILE says why"))
    if out is None:
        sys.stdout.buffer.write(lines)
    else:
        _replace(out, lines)


@app.command()
def sweep(
    orders: Annotated[Path, typer.Option(help="orders.json")],
    positions: Annotated[list[Path], typer.Option(help="positions, .parquet; repeat it for several files")],
    until: Annotated[str, typer.Option(help="the now of the judgement, ISO 8601 with a zone")],
    out: Annotated[Path | None, typer.Option(help="findings.jsonl (default: standard output)")] = None,
    refusals: Annotated[Path | None, typer.Option(help="rows that could not be used, with their reasons")] = None,
    wearers_at_once: Annotated[int, typer.Option(min=1, help="whose positions are in memory together")] = 50,
) -> None:
    """Judge months of many wearers from Parquet: EXCLUSION, INCLUSION and CURFEW, as `evaluate` finds them without events."""
    from emtrack.files.sweep import RefusalsFile, buffers_in, progress_on_terminal, said_of
    from emtrack.files.sweep import sweep as judge

    until_ms = _instant(until, "--until")
    assert until_ms is not None
    read = _read_orders_file(orders, ignored=frozenset({"wearers"}), check=refuse_unknown_sets)
    with RefusalsFile(refusals) as refused, progress_on_terminal() as tell:
        lines, figures = judge(read, positions, until_ms, refused.add, tell, at_once=wearers_at_once)
    if out is None:
        sys.stdout.buffer.write(b"".join(lines))
    else:
        _replace(out, b"".join(lines))
    for line in said_of(figures, buffers_in(read)):
        say(line)


@app.command()
def serve() -> None:
    """Migrate, start everything this configuration asks for, and say where."""
    from emtrack.service.app import serve as run_service

    settings = _settings()
    _run_until_signal(lambda stop: run_service(settings, stop, say))


@orders_app.command("import")
def import_orders(
    file: Annotated[Path, typer.Argument(help="orders.json")],
    keys_out: Annotated[Path | None, typer.Option(help="where to write the keys of new devices, once")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would change, and change nothing")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="mend invalid polygons, and write them back")] = False,
) -> None:
    """Enter orders; each change is a new version with who and when."""
    from emtrack.commands import enter

    orders = _read_orders_file(file, repair=repair, write_back=not dry_run)
    if keys_out is not None and keys_out.exists():
        refuse(f"{keys_out} exists; keys are written once, so name a file that does not")
    if keys_out is not None and not os.access(keys_out.absolute().parent, os.W_OK):
        refuse(f"{keys_out}: its folder is not there or cannot be written to; the keys would be lost")
    entered = _run(enter(_settings(), orders, who=_who(), dry_run=dry_run))
    for what, count in entered.counts.items():
        say(f"{count:>6}  {what}")
    say("nothing was changed (--dry-run)" if dry_run else f"{len(entered.keys)} devices are new")
    if entered.keys and not dry_run:
        _hand_out(entered.keys, keys_out)


def _hand_out(keys: dict[str, str], keys_out: Path | None) -> None:
    """Keys exist in clear only here: a file that only its owner can read, or nothing at all."""
    if keys_out is None:
        say("their keys were not asked for; `emtrack devices add DEVICE` makes another")
        return
    descriptor = os.open(keys_out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(keys)) + b"\n")
    say(f"their keys are in {keys_out}; they are kept nowhere else")


def _who() -> str:
    with suppress(OSError, KeyError):
        return f"{getpass.getuser()} (command line)"
    return f"user {os.getuid()} (command line)"


@devices_app.command("add")
def add_device(device: Annotated[str, typer.Argument(help="device id")]) -> None:
    """Enter a device if it is new, and make a key for it. The key is shown once and kept only as a hash."""
    from emtrack.commands import add_device_key

    if not 0 < len(device) <= 200:
        refuse("a device id has 1 to 200 characters")
    typer.echo(_run(add_device_key(_settings(), device, who=_who())))


@devices_app.command("list")
def list_devices(device: Annotated[str | None, typer.Argument(help="one device (default: all)")] = None) -> None:
    """Devices, how many keys they have, and what came of their reports."""
    from emtrack.commands import devices_table

    for line in _run(devices_table(_settings(), device)):
        typer.echo(line)


@tokens_app.command("add")
def add_token(
    name: Annotated[str, typer.Argument(help="whose it is; stands in the record of who did what")],
    role: Annotated[Role, typer.Option(help="what it may do")],
) -> None:
    """Make a token for reading and acting over HTTP. It is shown once and kept only as a hash."""
    from emtrack.commands import TokenExists
    from emtrack.commands import add_token as add

    if not 0 < len(name) <= 200:
        refuse("a name has 1 to 200 characters")
    try:
        typer.echo(_run(add(_settings(), name, role, who=_who())))
    except TokenExists as error:
        refuse(str(error))


@users_app.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="whose it is; stands in the record of who did what")],
    role: Annotated[Role, typer.Option(help="what the person may do")],
) -> None:
    """Make an account. Its random password is shown once; its owner changes it on the page "Your account"."""
    from emtrack.commands import add_account
    from emtrack.people.accounts import UserExists

    if not 0 < len(name) <= 200 or name != name.strip():
        refuse("a name has 1 to 200 characters, without spaces around it")
    try:
        typer.echo(_run(add_account(_settings(), name, role, who=_who())))
    except UserExists as error:
        refuse(str(error))


@users_app.command("password")
def reset_password(name: Annotated[str, typer.Argument(help="whose account")]) -> None:
    """Give an account a new random password, shown once. Its sessions end."""
    from emtrack.commands import reset_account
    from emtrack.people.accounts import NoUser

    try:
        typer.echo(_run(reset_account(_settings(), name, who=_who())))
    except NoUser as error:
        refuse(str(error))


@users_app.command("disable")
def disable_user(name: Annotated[str, typer.Argument(help="whose account")]) -> None:
    """Let an account log in no longer. What it did stays on record."""
    from emtrack.commands import disable_account
    from emtrack.people.accounts import NoUser

    try:
        _run(disable_account(_settings(), name, who=_who()))
    except NoUser as error:
        refuse(str(error))


@users_app.command("list")
def list_users() -> None:
    """Accounts and their roles."""
    from emtrack.commands import accounts_table

    for line in _run(accounts_table(_settings())):
        typer.echo(line)


@app.command()
def findings(
    as_known_at: Annotated[str | None, typer.Option(help="as people were shown them at this instant")] = None,
    until: Annotated[str | None, typer.Option(help="judge what is stored with this instant as now")] = None,
    wearer: Annotated[str | None, typer.Option(help="of one wearer")] = None,
) -> None:
    """Findings from the database, in the form of `evaluate`."""
    from emtrack.commands import stored_findings

    known_ms, until_ms = _instant(as_known_at, "--as-known-at"), _instant(until, "--until")
    lines = _run(stored_findings(_settings(), known_ms, until_ms, wearer))
    sys.stdout.buffer.write(b"".join(lines))


@app.command("export")
def export_facts(folder: Annotated[Path, typer.Argument(help="where to write the files")]) -> None:
    """Write what is stored as files for `evaluate`, so that anybody can judge it again."""
    from emtrack.commands import export_to

    for what, count in _run(export_to(_settings(), folder)).items():
        say(f"{count:>9,}  {what}")


@app.command()
def replay(
    files: Annotated[list[Path], typer.Argument(help="positions or events: .csv, .ndjson or .parquet, .gz allowed")],
    orders: Annotated[Path, typer.Option(help="orders.json that activates the devices; it is entered first")],
    map_: Annotated[list[str] | None, typer.Option("--map", help="COLUMN=FIELD")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="FIELD=VALUE for every row")] = None,
    zone: Annotated[str | None, typer.Option(help="time zone of times that carry none, such as UTC")] = None,
) -> None:
    """Send recorded facts through the HTTP door of the running service, none before its time on the service's clock."""
    from emtrack.commands import replay_files
    from emtrack.files.replay import Recording

    recording = Recording(_pairs(map_, "--map"), _pairs(set_, "--set"), zone)
    sent = _run(replay_files(_settings(), files, _read_orders_file(orders), recording, who=_who(), say=say))
    for reason, count in sorted(sent.refused.items()):
        say(f"{count:>9,}  refused: {reason}")


def _pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    pairs = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            refuse(f"{option} {text!r}: expected NAME=VALUE")
        pairs[name] = value
    return pairs


@app.command()
def emulate(
    wearers: Annotated[int, typer.Option(min=1, max=100_000)] = 20,
    seed: Annotated[int, typer.Option()] = 1,
    speed: Annotated[
        float | None, typer.Option(min=0.01, help="times as fast as time until the present is reached")
    ] = None,
    hours: Annotated[
        float | None, typer.Option(min=0.01, help="hours of the world to send (default: no end)")
    ] = None,
    back: Annotated[float, typer.Option(min=0, help="hours before the service's now at which the world begins")] = 0,
    log: Annotated[Path | None, typer.Option(help="folder for sent.ndjson and truth.ndjson")] = None,
) -> None:
    """Send what the tags of invented people would send, to the running service."""
    from emtrack.commands import emulate_world

    settings = _settings()
    _run_until_signal(
        lambda stop: emulate_world(
            settings,
            wearers=wearers,
            seed=seed,
            speed=speed,
            hours=hours,
            back_hours=back,
            log=log,
            stop=stop,
            say=say,
        )
    )


@app.command()
def demo(
    wearers: Annotated[int, typer.Option(min=1, max=5_000)] = 730,
    long: Annotated[int, typer.Option(min=0, help="how many of them have a long past")] = 20,
    hours: Annotated[float, typer.Option(min=0.1, max=240, help="hours of the past of all")] = 48,
    days: Annotated[float, typer.Option(min=0.1, max=60, help="days of a long past")] = 14,
    seed: Annotated[int, typer.Option()] = 1,
) -> None:
    """Everything on this machine: embedded database with a past, service, pages, emulated tags. Ctrl-C stops it all."""
    from emtrack.demo.run import run_demo

    settings = _settings()
    _run_until_signal(
        lambda stop: run_demo(settings, stop, wearers=wearers, long=long, hours=hours, days=days, seed=seed, say=say)
    )


@app.command()
def schema(form: Annotated[str, typer.Argument(help="orders, report or finding")]) -> None:
    """JSON Schema of a form that outsiders rely on."""
    from emtrack.forms.schemas import SCHEMAS

    if form not in SCHEMAS:
        refuse(f"{form!r} is no form; expected one of {', '.join(SCHEMAS)}")
    sys.stdout.buffer.write(SCHEMAS[form]())


# ---------------------------------------------------------------------------------------------- zones

ZoneFileArgument = Annotated[Path, typer.Argument(help="GeoJSON, GeoPackage, Shapefile or KML")]
CrsOption = Annotated[
    str | None, typer.Option(help="coordinate system of a file that does not say it, such as EPSG:27700")
]
IdFieldOption = Annotated[str | None, typer.Option(help="the field that holds the zones' ids")]
AcceptShiftOption = Annotated[
    bool,
    typer.Option("--accept-shift", help="take places that are off, where what turns them exactly is not at hand"),
]


@zones_app.command("check")
def check_zones(
    files: Annotated[list[Path], typer.Argument(help="GeoJSON, GeoPackage, Shapefile or KML")],
    orders: Annotated[
        Path | None, typer.Option(help="orders.json: zones must not lie on the homes of its curfews")
    ] = None,
    crs: CrsOption = None,
    id_field: IdFieldOption = None,
    accept_shift: AcceptShiftOption = False,
    repair: Annotated[bool, typer.Option("--repair", help="say what a repair would do to invalid zones")] = False,
) -> None:
    """Say what zones measure and what is wrong with them. Exit code 2 if anything is."""
    from emtrack.zones.checking import homes_of
    from emtrack.zones.commands import Reading, check_files

    ignored = frozenset({"wearers"})
    homes = [] if orders is None else homes_of(_read_orders_file(orders, ignored=ignored, check=refuse_unknown_sets))
    if not check_files(files, Reading(crs, id_field, accept_shift), homes, repair=repair, say=typer.echo):
        raise typer.Exit(2)


@zones_app.command("import")
def import_zones(
    file: ZoneFileArgument,
    set_id: Annotated[str, typer.Option(help="the set that they are a version of")],
    version: Annotated[
        str, typer.Option(help="what this version is called; requirements that follow the set are on it then")
    ],
    crs: CrsOption = None,
    id_field: IdFieldOption = None,
    accept_shift: AcceptShiftOption = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="mend invalid zones, and say what that did to them")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would change, and change nothing")] = False,
) -> None:
    """Enter zones as a version of a set. Requirements that follow the set are judged by it at once."""
    from emtrack.zones.commands import Reading, import_set, readable_members

    for what, text in (("--set-id", set_id), ("--version", version)):
        if not 0 < len(text) <= 200:
            refuse(f"{what}: expected 1 to 200 characters")
    members = readable_members(Reading(crs, id_field, accept_shift).read(file), repair=repair, say=say)
    say(f"{len(members):>6}  zones")
    counts = _run(import_set(_settings(), members, set_id, version, who=_who(), dry_run=dry_run))
    for what, count in counts.items():
        say(f"{count:>6}  {what}")
    if dry_run or not counts:
        say("nothing was changed (--dry-run)" if dry_run else "nothing was changed: this version is entered already")


@zones_app.command("draw")
def draw_zones(
    out: Annotated[Path, typer.Option(help="map.png, or map.html that needs nothing but itself")],
    file: Annotated[Path | None, typer.Argument(help="GeoJSON, GeoPackage, Shapefile or KML")] = None,
    set_id: Annotated[str | None, typer.Option(help="a set that is entered, instead of a file")] = None,
    version: Annotated[str | None, typer.Option(help="of the set (default: the last)")] = None,
    crs: CrsOption = None,
    id_field: IdFieldOption = None,
    accept_shift: AcceptShiftOption = False,
) -> None:
    """Draw zones. What cannot be used as it is drawn is left out and said."""
    from emtrack.zones.checking import check, lines_of, members_of
    from emtrack.zones.commands import Reading, members_to_draw, picture

    if (file is None) == (set_id is None):
        refuse("name a file or --set-id, one of them")
    if file is not None:
        zones = check(Reading(crs, id_field, accept_shift).read(file).zones)
        for line in (line for zone in zones if zone.trouble is not None for line in lines_of(zone)):
            say(line)
        members, title = members_of(zones), file.name
    else:
        assert set_id is not None, "one of them is named"
        members, title = _run(members_to_draw(_settings(), set_id, version))
    _replace(out, picture(out, members, title))
    say(f"{len(members):,} {'zone is' if len(members) == 1 else 'zones are'} drawn in {out}")


@db_app.command("migrate")
def db_migrate() -> None:
    """Bring the database to the form that this program expects."""
    from emtrack.commands import migrate_database

    for line in _run(migrate_database(_settings())):
        typer.echo(line)


@db_app.command("status")
def db_status() -> None:
    """Which migrations are applied."""
    from emtrack.commands import database_status

    for line in _run(database_status(_settings())):
        typer.echo(line)
