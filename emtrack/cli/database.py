"""`emtrack db`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from emtrack.cli.running import run, settings
from emtrack.cli.saying import print_table

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
