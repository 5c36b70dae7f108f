"""`emtrack access`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.running import run, settings
from emtrack.cli.saying import print_table, refuse, say, who

if TYPE_CHECKING:
    from emtrack.people.limits import Limit
    from emtrack.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Records of people that are closed to some.")

WearerArgument = Annotated[str, typer.Argument(help="whose record")]
AccountOption = Annotated[list[str] | None, typer.Option("--account", help="an account; repeat it for several")]
AgencyOption = Annotated[list[str] | None, typer.Option("--agency", help="an agency; repeat it for several")]
ReasonOption = Annotated[str, typer.Option(help="why")]


@app.command("restrict")
def restrict(
    wearer: WearerArgument, reason: ReasonOption, account: AccountOption = None, agency: AgencyOption = None
) -> None:
    """Nobody but these may open the record, from now on. Alerts are worked all the same, under the reference."""
    _limit(wearer, "restricted", account, agency, reason)


@app.command("exclude")
def exclude(
    wearer: WearerArgument, reason: ReasonOption, account: AccountOption = None, agency: AgencyOption = None
) -> None:
    """These may not open the record, from now on."""
    _limit(wearer, "excluded", account, agency, reason)


@app.command("lift")
def lift(wearer: WearerArgument, kind: Annotated[str, typer.Argument(help="restricted or excluded")]) -> None:
    """The limit no longer holds. That it held stays on record."""
    _refuse_kind(kind)
    run(lift_limit(settings(), wearer, kind))
    say(f"the record of {wearer} is {kind} no longer")


@app.command("list")
def list_limits() -> None:
    """The limits that hold."""
    columns = ("wearer", "kind", "accounts", "agencies", "why", "entered by")
    rows = [(f.wearer_id, f.kind, ", ".join(f.accounts), ", ".join(f.agencies), f.reason, f.entered_by)
            for f in run(limits(settings()))]  # fmt: skip
    print_table(columns, rows)


def _refuse_kind(kind: str) -> None:
    from emtrack.people.limits import LimitKind

    if kind not in set(LimitKind):
        refuse(f"{kind[:60]!r} is no kind of limit; expected {' or '.join(LimitKind)}")


def _limit(wearer: str, kind: str, accounts: list[str] | None, agencies: list[str] | None, reason: str) -> None:
    if not accounts and not agencies:
        refuse("name at least one --account or --agency")
    if not reason.strip():
        refuse("say with --reason why")
    run(enter_limit(settings(), wearer, kind, accounts or [], agencies or [], reason=reason.strip(), who=who()))
    say(f"the record of {wearer} is {kind}")


async def enter_limit(
    chosen: Settings, wearer_id: str, kind: str, accounts: list[str], agencies: list[str], *, reason: str, who: str
) -> None:
    """Raises NoWearer."""
    from emtrack.db.opened import opened_database
    from emtrack.people.limits import LimitKind, limit
    from emtrack.reading.people import wearer_no_or_refusal

    async with opened_database(chosen, "access") as (connection, clock), connection.transaction():
        number = await wearer_no_or_refusal(connection, wearer_id)
        now_ms = clock.now_ms()
        await limit(connection, number, LimitKind(kind), accounts, agencies, reason=reason, who=who, now_ms=now_ms)


async def lift_limit(chosen: Settings, wearer_id: str, kind: str) -> None:
    """Raises NoWearer or NoLimit."""
    from emtrack.db.opened import opened_database
    from emtrack.people.limits import LimitKind, lift
    from emtrack.reading.people import wearer_no_or_refusal

    async with opened_database(chosen, "access lift") as (connection, clock), connection.transaction():
        number = await wearer_no_or_refusal(connection, wearer_id)
        await lift(connection, number, LimitKind(kind), clock.now_ms())


async def limits(chosen: Settings) -> list[Limit]:
    """By wearer id."""
    from emtrack.db.opened import opened_database
    from emtrack.people.limits import limits_in_force

    async with opened_database(chosen, "access list") as (connection, _):
        return await limits_in_force(connection)
