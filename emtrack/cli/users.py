"""`emtrack users`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.running import opened, run, settings
from emtrack.cli.saying import good_until, print_history, print_table, refuse_unfit, say, who
from emtrack.forms.names import unfit_account
from emtrack.people.events import Subject
from emtrack.people.expiry import told_expiry
from emtrack.people.roles import Role

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.people.accounts import ListedUser
    from emtrack.people.sessions import ListedSession
    from emtrack.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Accounts of people who work on the pages.")

NameArgument = Annotated[str, typer.Argument(help="whose account")]


@app.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="whose it is; stands in the record of who did what")],
    role: Annotated[Role, typer.Option(help="what the person may do")],
    agency: Annotated[str | None, typer.Option(help="whose people an officer sees (default: every agency's)")] = None,
) -> None:
    """Make an account. Its random password is shown once; its owner chooses another at the first login."""
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


@app.command("enable")
def enable_user(name: NameArgument) -> None:
    """Let an account that was disabled log in again."""
    from emtrack.people.accounts import enable_user as enable

    run(_changed(settings(), "users enable", lambda c: enable(c, name, who=who())))


@app.command("expire")
def expire_user(
    name: NameArgument, expires: Annotated[str, typer.Option(help="90d, 12h, an instant, or never")]
) -> None:
    """Say until when an account can log in. Its sessions end then."""
    from emtrack.people.accounts import expire_user as expire

    until = good_until(expires)
    run(_changed(settings(), "users expire", lambda c: expire(c, name, until, who=who())))


@app.command("role")
def change_role(name: NameArgument, role: Annotated[Role, typer.Option(help="what the person may do")]) -> None:
    """Give an account another role. Its sessions end."""
    from emtrack.people.accounts import set_role as change

    run(_changed(settings(), "users role", lambda c: change(c, name, role, who=who())))


@app.command("remove-second-factor")
def remove_second_factor(name: NameArgument) -> None:
    """For somebody who lost the authenticator app and the recovery codes. Be sure who asks. The account's sessions end."""
    from emtrack.people.accounts import take_second_factor as take

    run(_changed(settings(), "users remove-second-factor", lambda c: take(c, name, who=who())))


@app.command("rotate-secrets-key")
def rotate_secrets_key() -> None:
    """A new key for the secrets of authenticator apps, which are encrypted anew. Nobody has to set theirs up again."""
    say(
        f"{run(secrets_encrypted_anew(settings()))} secrets are encrypted by a new key. Keep a copy of it apart from the backup"
    )


@app.command("sessions")
def show_sessions(name: Annotated[str | None, typer.Argument(help="one account (default: all)")] = None) -> None:
    """Who is logged in, from where, since when."""
    found = run(listed_sessions(settings(), name))
    columns = ("session", "name", "from", "since", "last used", "browser")
    print_table(
        columns,
        [
            (str(s.session_no), s.name, s.begun_from, told_expiry(s.began_at), told_expiry(s.seen_at), s.browser)
            for s in found
        ],
    )


@app.command("end-sessions")
def end_sessions(
    name: NameArgument, session: Annotated[int | None, typer.Option(help="only this one (`users sessions`)")] = None
) -> None:
    """Log an account out, within a second."""
    count = run(ended(settings(), name, session, who=who()))
    say(f"{count} {'session is' if count == 1 else 'sessions are'} ended")


@app.command("history")
def history(name: Annotated[str | None, typer.Argument(help="one account (default: all)")] = None) -> None:
    """What was done to accounts, who logged in and who could not: the newest first."""
    print_history(settings(), Subject.ACCOUNT, name)


@app.command("list")
def list_users() -> None:
    """Accounts and their roles."""
    found = run(listed_accounts(settings()))
    columns = ("name", "role", "agency", "added", "disabled", "expires", "second factor")
    print_table(columns, [u._replace(disabled=u.disabled or "") for u in found])


async def make_account(chosen: Settings, name: str, role: Role, agency: str | None = None, *, who: str) -> str:
    """The random password of a new account. Raises UserExists."""
    from emtrack.people.accounts import add_user as add

    async with opened(chosen, "users add") as (connection, clock):
        return await add(connection, name, role, agency, who=who, now_ms=clock.now_ms())


async def reset_account(chosen: Settings, name: str, *, who: str) -> str:
    """A new random password of an account. Raises NoUser."""
    from emtrack.people.accounts import new_password

    async with opened(chosen, "users password") as (connection, _):
        return await new_password(connection, name, who=who)


async def disable_account(chosen: Settings, name: str, *, who: str) -> None:
    """Raises NoUser."""
    from emtrack.people.accounts import disable_user as disable

    async with opened(chosen, "users disable") as (connection, _):
        await disable(connection, name, who=who)


async def _changed(chosen: Settings, program: str, change: Callable[[Connection], Awaitable[None]]) -> None:
    async with opened(chosen, program) as (connection, _):
        await change(connection)


async def listed_sessions(chosen: Settings, name: str | None) -> list[ListedSession]:
    """That have not ended."""
    from emtrack.people.sessions import list_sessions

    async with opened(chosen, "users sessions") as (connection, _):
        return await list_sessions(connection, name)


async def ended(chosen: Settings, name: str, session: int | None, *, who: str) -> int:
    """How many. Raises NoSession."""
    from emtrack.people.sessions import end_numbered_session, end_sessions_of

    async with opened(chosen, "users end-sessions") as (connection, _):
        if session is None:
            return await end_sessions_of(connection, name, who=who)
        await end_numbered_session(connection, session, of=name, who=who)
        return 1


async def secrets_encrypted_anew(chosen: Settings) -> int:
    """How many. Raises UnfitSecretsKey; then they are as they were."""
    from emtrack.people.sealed_secrets import SecretBox
    from emtrack.people.sealed_secrets import rotate_secrets_key as rotate

    box = SecretBox(chosen.data_dir)
    async with opened(chosen, "users rotate-secrets-key") as (connection, _):
        count = await rotate(connection, box)
    box.end_rotation()
    return count


async def listed_accounts(chosen: Settings) -> list[ListedUser]:
    """All accounts, by name."""
    from emtrack.people.accounts import list_users as listed

    async with opened(chosen, "users list") as (connection, _):
        return await listed(connection)
