"""`emtrack curfews`: a list for paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.looking import PurposeOption, ReferenceOption, looker_here
from emtrack.cli.running import run, settings
from emtrack.cli.saying import give, refuse

if TYPE_CHECKING:
    from emtrack.people.looks import Looker
    from emtrack.settings import Settings

app = typer.Typer()


@app.command()
def curfews(
    tonight: Annotated[bool, typer.Option("--tonight", help="of the night from noon to noon")] = False,
    out: Annotated[
        Path | None, typer.Option(help="the file to write, for its owner only; left out: standard output")
    ] = None,
    purpose: PurposeOption = "SERVICE",
    reference: ReferenceOption = None,
) -> None:
    """Who has to be at home tonight, when and where, and whom to ring: to be printed before it is needed. Restricted records show
    their reference. Who asks, and for which purpose, is put on record first."""
    if not tonight:
        refuse("expected --tonight: there is no other list yet")
    text = run(curfews_of_tonight(settings(), looker_here(purpose, reference)))
    give(text.encode(), out)


async def curfews_of_tonight(chosen: Settings, looker: Looker) -> str:
    """The list as text."""
    from emtrack.db.opened import opened_database
    from emtrack.people.looks import What, record_look
    from emtrack.reading.curfew_list import curfew_list

    async with opened_database(chosen, "curfews") as (connection, clock):
        now_ms = clock.now_ms()
        await record_look(connection, looker, What.DETAILS, None, now_ms=now_ms)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await curfew_list(connection, now_ms)
