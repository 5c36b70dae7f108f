"""`emtrack quarantine`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from emtrack.cli.running import run, settings
from emtrack.cli.saying import print_table, say, who

if TYPE_CHECKING:
    from emtrack.record.quarantine import Refused
    from emtrack.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Reports that were refused and are kept.")


@app.command("list")
def list_refused() -> None:
    """How many reports were refused for which reason, and how many of them were used later."""
    print_table(("reason", "refused", "used later", "kept"), run(refused(settings())))


@app.command("examine")
def examine() -> None:
    """Have the service read all of it again, by the rules and orders of today: what can be used is stored with its first receipt."""
    kept = run(ask(settings()))
    say(
        f"Asked. The service examines {kept} refusals at its next turn; `emtrack quarantine list` then says what is left."
    )


async def refused(chosen: Settings) -> list[Refused]:
    """By reason."""
    from emtrack.db.opened import opened_database
    from emtrack.record.quarantine import refused_by_reason

    async with opened_database(chosen, "quarantine list") as (connection, _):
        return await refused_by_reason(connection)


async def ask(chosen: Settings) -> int:
    """How many refusals are kept."""
    from emtrack.db.opened import opened_database
    from emtrack.record.quarantine import ask_to_examine

    async with opened_database(chosen, "quarantine examine") as (connection, clock):
        return await ask_to_examine(connection, who(), clock.now_ms())
