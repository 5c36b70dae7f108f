"""`emtrack users`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.running import run, settings
from emtrack.cli.saying import print_table, refuse_unfit, who
from emtrack.forms.names import unfit_account
from emtrack.people.roles import Role

if TYPE_CHECKING:
    from emtrack.db.opened import OpenedDatabase
    from emtrack.people.accounts import ListedUser
    from emtrack.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Accounts of people who work on the pages.")

NameArgument = Annotated[str, typer.Argument(help="whose account")]


@app.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="whose it is; stands in the record of who did what")],
    role: Annotated[Role, typer.Option(help="what the person may do")],
    agency: Annotated[str | None, typer.Option(help="whose people an officer sees (default: every agency's)")] = None,
) -> None:
    """Make an account. Its random password is shown once; its owner changes it on the page "Your account"."""
    refuse_unfit(name, "the name", unfit_account)
    typer.echo(run(make_account(settings(), name, role, agency, who=who())))


@app.command("password")
def reset_password(name: NameArgument) -> None:
    """Give an account a new random password, shown once. Its sessions end."""
    typer.echo(run(reset_account(settings(), name, who=who())))


@app.command("disable")
def disable_user(name: NameArgument) -> None:
    """Let an account log in no longer. What it did stays on record."""
    run(disable_account(settings(), name, who=who()))


@app.command("list")
def list_users() -> None:
    """Accounts and their roles."""
    found = run(listed_accounts(settings()))
    rows = [(u.name, u.role, u.agency, u.added, u.disabled or "") for u in found]
    print_table(("name", "role", "agency", "added", "disabled"), rows)


@asynccontextmanager
async def _opened(chosen: Settings, program: str) -> AsyncIterator[OpenedDatabase]:
    """In a transaction."""
    from emtrack.db.opened import opened_database

    async with opened_database(chosen, program) as opened, opened.connection.transaction():
        yield opened


async def make_account(chosen: Settings, name: str, role: Role, agency: str | None = None, *, who: str) -> str:
    """The random password of a new account. Raises UserExists."""
    from emtrack.people.accounts import add_user as add

    async with _opened(chosen, "users add") as (connection, clock):
        return await add(connection, name, role, agency, who=who, now_ms=clock.now_ms())


async def reset_account(chosen: Settings, name: str, *, who: str) -> str:
    """A new random password of an account. Raises NoUser."""
    from emtrack.people.accounts import new_password

    async with _opened(chosen, "users password") as (connection, _):
        return await new_password(connection, name, who=who)


async def disable_account(chosen: Settings, name: str, *, who: str) -> None:
    """Raises NoUser."""
    from emtrack.people.accounts import disable_user as disable

    async with _opened(chosen, "users disable") as (connection, _):
        await disable(connection, name, who=who)


async def listed_accounts(chosen: Settings) -> list[ListedUser]:
    """All accounts, by name."""
    from emtrack.people.accounts import list_users as listed

    async with _opened(chosen, "users list") as (connection, _):
        return await listed(connection)
