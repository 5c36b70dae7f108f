"""`emtrack tokens`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.running import run, settings
from emtrack.cli.saying import refuse_unfit, who
from emtrack.forms.names import unfit_account
from emtrack.people.roles import Role

if TYPE_CHECKING:
    from emtrack.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Tokens of programs that read and act over HTTP.")


@app.command("add")
def add_token(
    name: Annotated[str, typer.Argument(help="whose it is; stands in the record of who did what")],
    role: Annotated[Role, typer.Option(help="what it may do")],
    agency: Annotated[
        str | None, typer.Option(help="whose people it sees as an officer (default: every agency's)")
    ] = None,
) -> None:
    """Make a token for reading and acting over HTTP. It is shown once and kept only as a hash."""
    refuse_unfit(name, "the name", unfit_account)
    typer.echo(run(make_token(settings(), name, role, agency, who=who())))


async def make_token(chosen: Settings, name: str, role: Role, agency: str | None = None, *, who: str) -> str:
    """A new token. Raises TokenExists."""
    from emtrack.db.opened import opened_database
    from emtrack.people.tokens import add_token as add

    async with opened_database(chosen, "tokens add") as (connection, clock):
        return await add(connection, name, role, agency, who=who, now_ms=clock.now_ms())
