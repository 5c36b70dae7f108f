"""`emtrack db`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.running import run, settings
from emtrack.cli.saying import print_table, say, who

if TYPE_CHECKING:
    from emtrack.db.migrate import Migration, MigrationStatus
    from emtrack.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The database.")


@app.command("migrate")
def db_migrate() -> None:
    """Bring the database to the form that this program expects."""
    applied = run(migrated(settings()))
    for migration in applied:
        typer.echo(f"applied {migration.number:04d} {migration.name}")
    if not applied:
        typer.echo("nothing to do")


@app.command("status")
def db_status() -> None:
    """Which migrations are applied."""
    states = run(statuses(settings()))
    print_table(("number", "name", "state"), [(f"{s.number:04d}", s.name, s.state) for s in states])


@app.command("clock-back")
def put_clock_back(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say how far judged time is ahead")] = False,
) -> None:
    """After a run under a date that had not come: move what our clock wrote back to now. Every fact is kept. End the service."""
    if dry_run:
        say(f"Everything is judged {run(ahead_ms(settings())) / 1000:g} s ahead of the clock; nothing was changed")
        return
    moved_ms = run(clock_put_back(settings()))
    say(
        f"What our clock wrote ahead of now was moved back by {moved_ms / 1000:g} s; the next start judges everybody again."
    )


async def ahead_ms(chosen: Settings) -> int:
    """How far judged time is ahead of the clock."""
    from emtrack.db.opened import owned_database
    from emtrack.record.clock_back import ahead_of_clock_ms

    async with owned_database(chosen, "db clock-back") as (connection, clock):
        return await ahead_of_clock_ms(connection, clock.now_ms())


async def clock_put_back(chosen: Settings) -> int:
    """By how many milliseconds."""
    from emtrack.db.opened import owned_database
    from emtrack.record.clock_back import put_back

    async with owned_database(chosen, "db clock-back") as (connection, clock):
        return await put_back(connection, who(), clock.now_ms())


async def migrated(chosen: Settings) -> list[Migration]:
    """What was applied."""
    from emtrack.db.migrate import migrate
    from emtrack.db.opened import unmigrated_database

    async with unmigrated_database(chosen, "db migrate") as connection:
        return await migrate(connection)


async def statuses(chosen: Settings) -> list[MigrationStatus]:
    """All migrations that the program or the database knows."""
    from emtrack.db.migrate import status
    from emtrack.db.opened import unmigrated_database

    async with unmigrated_database(chosen, "db status") as connection:
        return await status(connection)
