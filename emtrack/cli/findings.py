"""`emtrack findings`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.looking import PurposeOption, ReferenceOption, looker_here
from emtrack.cli.running import run, settings
from emtrack.cli.saying import read_instant, write_result

if TYPE_CHECKING:
    from emtrack.people.looks import Looker
    from emtrack.settings import Settings

app = typer.Typer()


@app.command()
def findings(
    as_known_at: Annotated[str | None, typer.Option(help="as people were shown them at this instant")] = None,
    until: Annotated[str | None, typer.Option(help="judge what is stored with this instant as now")] = None,
    wearer: Annotated[str | None, typer.Option(help="of one wearer")] = None,
    purpose: PurposeOption = "SERVICE",
    reference: ReferenceOption = None,
) -> None:
    """Findings from the database, in the form of `evaluate`. Who asks, and for which purpose, is put on record first."""
    looker = looker_here(purpose, reference)
    known_ms, until_ms = read_instant(as_known_at, "--as-known-at"), read_instant(until, "--until")
    lines = run(stored_findings(settings(), looker, known_ms, until_ms, wearer))
    write_result(b"".join(lines))


async def stored_findings(
    chosen: Settings, looker: Looker, as_known_ms: int | None, until_ms: int | None, wearer_id: str | None
) -> list[bytes]:
    """Findings as lines. Without `until_ms`: as they are recorded (at `as_known_ms`, or now). With it: what is stored
    (by `as_known_ms`) judged again with that instant as now, as `evaluate` would."""
    from emtrack.db.opened import opened_database
    from emtrack.reading.findings import findings_as_lines, look_at_findings
    from emtrack.record.zone_sets import ZoneSetCache

    async with opened_database(chosen, "findings") as (connection, clock):
        await look_at_findings(connection, looker, wearer_id, clock.now_ms())
        zone_sets = ZoneSetCache(chosen.sets_dir)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await findings_as_lines(connection, clock.now_ms(), as_known_ms, until_ms, wearer_id, zone_sets)
