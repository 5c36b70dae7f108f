"""`emtrack tokens`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.running import opened, run, settings
from emtrack.cli.saying import KeepOption, good_until, keep_until, print_history, print_table, refuse_unfit, say, who
from emtrack.clock import machine_ms
from emtrack.forms.names import unfit_account
from emtrack.people.events import Subject
from emtrack.people.expiry import DAY_MS
from emtrack.people.roles import Role
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.people.tokens import ListedToken
    from emtrack.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Tokens of programs that read and act over HTTP.")

NameArgument = Annotated[str, typer.Argument(help="which token")]
ExpiresOption = Annotated[
    str | None,
    typer.Option("--expires", help="90d, 12h, an instant, or never (default: EMTRACK_TOKEN_DAYS from now)"),
]


@app.command("add")
def add_token(
    name: Annotated[str, typer.Argument(help="whose it is; stands in the record of who did what")],
    role: Annotated[Role, typer.Option(help="what it may do")],
    agency: Annotated[
        str | None, typer.Option(help="whose people it sees as an officer (default: every agency's)")
    ] = None,
    expires: ExpiresOption = None,
) -> None:
    """Make a token for reading and acting over HTTP. It is shown once and kept only as a hash."""
    refuse_unfit(name, "the name", unfit_account)
    chosen = settings()
    typer.echo(run(make_token(chosen, name, role, agency, who=who(), expires_at=_expires(expires, chosen))))


@app.command("list")
def show_tokens() -> None:
    """All tokens there ever were; never what they are."""
    columns = ("name", "role", "added", "by", "expires", "state")
    print_table(columns, run(listed_tokens(settings())))


@app.command("revoke")
def revoke(name: NameArgument) -> None:
    """A token is good no longer, with its next request; streams that are open with it end within a second."""
    run(revoked(settings(), name, who=who()))
    say(f"{name} is revoked")


@app.command("rotate")
def rotate(name: NameArgument, keep_for: KeepOption = "1h", expires: ExpiresOption = None) -> None:
    """A new token under the same name, shown once. The one of now stays good for a while."""
    chosen = settings()
    until = _expires(expires, chosen)
    typer.echo(run(rotated(chosen, name, who=who(), keep_until=keep_until(keep_for), expires_at=until)))


@app.command("expire")
def expire(name: NameArgument, expires: Annotated[str, typer.Option(help="90d, 12h, an instant, or never")]) -> None:
    """Say until when a token is good."""
    run(set_expiry(settings(), name, good_until(expires), who=who()))


@app.command("history")
def history(name: Annotated[str | None, typer.Argument(help="one token (default: all)")] = None) -> None:
    """What was done to tokens, and by whom: the newest first."""
    print_history(settings(), Subject.TOKEN, name)


def _expires(text: str | None, chosen: Settings) -> datetime | None:
    return datetime_of(machine_ms() + chosen.token_days * DAY_MS) if text is None else good_until(text)


async def make_token(
    chosen: Settings,
    name: str,
    role: Role,
    agency: str | None = None,
    *,
    who: str,
    expires_at: datetime | None = None,
) -> str:
    """A new token. Raises TokenExists."""
    from emtrack.people.tokens import add_token as add

    async with opened(chosen, "tokens add") as (connection, clock):
        return await add(connection, name, role, agency, who=who, now_ms=clock.now_ms(), expires_at=expires_at)


async def listed_tokens(chosen: Settings) -> list[ListedToken]:
    """All, by name."""
    from emtrack.people.tokens import list_tokens

    async with opened(chosen, "tokens list") as (connection, _):
        return await list_tokens(connection)


async def revoked(chosen: Settings, name: str, *, who: str) -> None:
    """Raises NoToken."""
    from emtrack.people.tokens import revoke_token

    async with opened(chosen, "tokens revoke") as (connection, _):
        await revoke_token(connection, name, who=who)


async def rotated(chosen: Settings, name: str, *, who: str, keep_until: datetime, expires_at: datetime | None) -> str:
    """Raises NoToken."""
    from emtrack.people.tokens import rotate_token

    async with opened(chosen, "tokens rotate") as (connection, _):
        return await rotate_token(connection, name, who=who, keep_until=keep_until, expires_at=expires_at)


async def set_expiry(chosen: Settings, name: str, expires_at: datetime | None, *, who: str) -> None:
    """Raises NoToken."""
    from emtrack.people.tokens import expire_token

    async with opened(chosen, "tokens expire") as (connection, _):
        await expire_token(connection, name, expires_at, who=who)
