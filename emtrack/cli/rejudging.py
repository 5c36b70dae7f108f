"""`emtrack rejudge`: what had ended before new rules came into force follows them, because somebody asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.running import run, settings
from emtrack.cli.saying import read_instant, say, say_counts, who

if TYPE_CHECKING:
    from emtrack.reading.rejudging import Rejudgement
    from emtrack.settings import Settings

app = typer.Typer()


@app.command()
def rejudge(
    since: Annotated[str, typer.Option(help="findings that lasted after this instant follow the rules of today")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would change")] = False,
) -> None:
    """Judge everybody again by the rules of today. What people were shown stays: each change is a version of its finding."""
    since_ms = read_instant(since, "--since")
    assert since_ms is not None, "it is asked for"
    if dry_run:
        found = run(would_change(settings(), since_ms))
        say_counts(found.counts.items(), width=9)
        say(f"{found.changed} of {found.findings} findings would change; nothing was changed")
        return
    run(ask(settings(), since_ms))
    say(f"Asked. The service judges everybody again; findings that lasted after {since} follow the rules of today.")


async def would_change(chosen: Settings, since_ms: int) -> Rejudgement:
    """Nothing is written but that somebody looked."""
    from emtrack.db.opened import opened_database
    from emtrack.people.looks import commander
    from emtrack.reading.findings import look_at_findings
    from emtrack.reading.rejudging import rejudgement
    from emtrack.record.zone_sets import ZoneSetCache

    async with opened_database(chosen, "rejudge") as (connection, clock):
        await look_at_findings(connection, commander(who()), None, clock.now_ms())
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await rejudgement(connection, since_ms, clock.now_ms(), ZoneSetCache(chosen.sets_dir))


async def ask(chosen: Settings, since_ms: int) -> None:
    from emtrack.db.opened import opened_database
    from emtrack.record.rules import ask_to_judge_again

    async with opened_database(chosen, "rejudge") as (connection, clock):
        await ask_to_judge_again(connection, since_ms, who(), clock.now_ms())
