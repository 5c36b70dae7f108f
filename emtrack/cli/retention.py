"""`emtrack retention`: for how long what is kept, holds, and runs that delete."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.running import run, settings
from emtrack.cli.saying import print_table, say, who

if TYPE_CHECKING:
    from emtrack.retention.holds import Hold
    from emtrack.retention.runs import Going, Run
    from emtrack.settings import Settings

app = typer.Typer(no_args_is_help=True, help="For how long what is kept.")

Wearer = Annotated[str, typer.Argument(help="the id of the person")]
Reason = Annotated[str, typer.Option(help="why; it stays on record")]


@app.command("rules")
def show_rules() -> None:
    """For how long each kind is kept, and why: ours, or what the file of EMTRACK_RETENTION_RULES says."""
    from emtrack.retention.rules import DEFAULTS, rules_of

    in_force = rules_of(settings().retention_rules)
    columns = ("kind", "days", "whose", "reason")
    print_table(
        columns,
        [(k, r.days, "ours" if DEFAULTS[k] == r else "the file's", r.reason) for k, r in in_force.items()],
    )


@app.command("hold")
def hold(wearer: Wearer, reason: Reason) -> None:
    """Nothing of this person is deleted from now on."""
    run(held(settings(), wearer, reason, is_held=True))


@app.command("release")
def release(wearer: Wearer, reason: Reason) -> None:
    """The hold ends; rules count again."""
    run(held(settings(), wearer, reason, is_held=False))


@app.command("holds")
def list_holds() -> None:
    """Who is held, since when, by whom and why."""
    rows = run(all_holds(settings()))
    print_table(
        ("wearer", "since", "by", "reason"),
        [(h.wearer_id, f"{h.entered_at:%Y-%m-%d}", h.entered_by, h.reason) for h in rows],
    )


@app.command("run")
def run_retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say how much of whom would go, and why")] = False,
) -> None:
    """Delete what may go, in slices beside a running service. What went, and why, is on record and in the log."""
    if dry_run:
        tell_going(run(going(settings())))
        return
    done = run(deleted(settings()))
    for table, rows in sorted(done.gone.items()):
        say(f"{rows:>9,}  {table}")
    say(
        f"retention run {done.run_no}: {done.gone.total():,} rows deleted, {done.days_dropped} whole days of positions"
    )


def tell_going(found: list[Going]) -> None:
    """A line for each kind and person."""
    rows: Counter[tuple[str, str, str]] = Counter()
    for one in found:
        rows[one.kind, one.wearer_id or "(nobody)", one.why] += one.rows
    print_table(("kind", "wearer", "rows", "why"), [(k, w, n, why) for (k, w, why), n in sorted(rows.items())])
    say(f"{rows.total():,} rows would go; nothing was changed")


async def held(chosen: Settings, wearer_id: str, reason: str, *, is_held: bool) -> None:
    """Raises UnfitHold."""
    from emtrack.db.opened import opened_database
    from emtrack.retention.holds import enter_hold

    async with opened_database(chosen, "retention hold") as (connection, _):
        await enter_hold(connection, wearer_id, is_held=is_held, reason=reason, who=who())


async def all_holds(chosen: Settings) -> list[Hold]:
    from emtrack.db.opened import opened_database
    from emtrack.retention.holds import holds

    async with opened_database(chosen, "retention holds") as (connection, _):
        return await holds(connection)


async def going(chosen: Settings) -> list[Going]:
    """What may go now."""
    from emtrack.db.opened import owned_database
    from emtrack.retention.rules import rules_of
    from emtrack.retention.runs import planned, would_go

    rules = rules_of(chosen.retention_rules)
    async with owned_database(chosen, "retention run") as (connection, clock):
        return await would_go(connection, await planned(connection, rules, clock.now_ms()))


async def deleted(chosen: Settings) -> Run:
    """The run, when all of it is done."""
    from emtrack.db.opened import owned_database
    from emtrack.retention.rules import rules_of
    from emtrack.retention.runs import begin_run, planned

    rules = rules_of(chosen.retention_rules)
    async with owned_database(chosen, "retention run") as (connection, clock):
        this = await begin_run(connection, await planned(connection, rules, clock.now_ms()), who())
        await this.all_of_it(who(), clock.now_ms())
        return this
