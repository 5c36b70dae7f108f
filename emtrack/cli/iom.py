"""`emtrack iom`: the programme's record out of files and into them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.looking import PurposeOption, ReferenceOption, looker_here
from emtrack.cli.running import run, settings
from emtrack.cli.saying import say, say_counts, who

if TYPE_CHECKING:
    from emtrack.iom.importing import Report
    from emtrack.people.looks import Looker
    from emtrack.reading.what_if import Compared
    from emtrack.settings import Settings

MOST_SHOWN = 20
app = typer.Typer(no_args_is_help=True, help="The record of the IOM programme.")


@app.command("import")
def import_record(
    file: Annotated[Path, typer.Argument(help="a file of rows: .csv, .json or .ndjson")],
    system: Annotated[str, typer.Option(help="where rows come from that do not say it")] = "import",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would become of each row, and change nothing")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="where to write what became of each row, as JSON")] = None,
) -> None:
    """Enter people, memberships, contacts and the rest. The same file can be given again. Rows that do not fit are refused one by
    one, and what is not understood is kept as it was given; exit code 1 if any was refused."""
    from emtrack.files.iom import import_file, read_rows
    from emtrack.files.progress import progress_on_terminal

    total = len(read_rows(file))
    with progress_on_terminal() as tell:
        found = run(
            import_file(
                settings(), file, system, who(), keeps=not dry_run, tell=lambda done: tell("rows", done, total)
            )
        )
    _say(found, dry_run=dry_run)
    if report is not None:
        _write(found, report)
    if found.counts["refused"]:
        raise typer.Exit(1)


def _say(found: Report, *, dry_run: bool) -> None:
    told = [one for one in found.rows if one.why or one.not_understood]
    for one in told[:MOST_SHOWN]:
        kept = f"kept and not understood: {', '.join(one.not_understood)}" if one.not_understood else ""
        say(f"row {one.row}: {one.what}: {'; '.join(filter(None, [one.why, kept]))}")
    if len(told) > MOST_SHOWN:
        say(f"and {len(told) - MOST_SHOWN:,} more rows; --report FILE names each")
    say_counts(found.counts.items())
    say("nothing was changed (--dry-run)" if dry_run else f"this is import {found.import_no}")


def _write(found: Report, path: Path) -> None:
    import msgspec

    from emtrack.atomic_files import replace_file

    replace_file(path, msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


@app.command("export")
def export_record(
    file: Annotated[Path, typer.Argument(help="the file to write: .csv, .json or .ndjson")],
    person: Annotated[str | None, typer.Option(help="only this person, by reference")] = None,
    purpose: PurposeOption = "SERVICE",
    reference: ReferenceOption = None,
) -> None:
    """Write the record as rows that `iom import` reads, with registrations and contacts in the codes of probation systems. Who looked
    and why is put on record first."""
    from emtrack.files.iom import export_file

    rows = run(export_file(settings(), file, looker_here(purpose, reference), person))
    say(f"{rows:,} rows are in {file}; only you can read it")


@app.command("what-if")
def what_if(
    rules: Annotated[
        Path, typer.Argument(help="a file of rules as JSON, or of settings of the programme that have some")
    ],
    months: Annotated[int, typer.Option(min=1, max=12, help="how many past months of 30 days")] = 3,
    purpose: PurposeOption = "SERVICE",
    reference: ReferenceOption = None,
) -> None:
    """Run changed rules of the proposal over past months: for whom they would have proposed RED, which offences they would have
    missed, how often people decided against. Changes nothing; who looked and why is put on record first."""
    found = run(rules_compared(settings(), looker_here(purpose, reference), rules, months))
    say(f"{found.members:,} members over {months * 30} days, in force then changed:")
    for words, now, changed in _told(found):
        say(f"  {words:<52} {now:>16} {changed:>16}")
    say(
        f"named by the changed rules only: {len(found.only_changed):,}; by those in force only: {len(found.only_now):,}"
    )


async def rules_compared(chosen: Settings, looker: Looker, file: Path, months: int) -> Compared:
    """The rules of a file beside those in force."""
    from emtrack.db.opened import opened_database
    from emtrack.people.looks import What, record_look
    from emtrack.reading.what_if import compared, read_rules

    rules = read_rules(file.read_bytes())
    async with opened_database(chosen, "iom what-if") as (connection, clock):
        await record_look(connection, looker, What.IOM_RECORD, None, now_ms=clock.now_ms())
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await compared(connection, None, rules, months, clock.now_ms())


def _told(found: Compared) -> list[tuple[str, str, str]]:
    from emtrack.reading.what_if import rows_of

    return [(row.words, row.now, row.changed) for row in rows_of(found)]


ReasonOption = Annotated[str, typer.Option(help="why; it stands in the record")]


@app.command("merge")
def merge(
    person: Annotated[str, typer.Argument(help="reference of the record that is of the same person as the other")],
    into: Annotated[str, typer.Argument(help="reference of the record under which both are read from now on")],
    reason: ReasonOption,
) -> None:
    """Read two records as one person's. Both histories stay as they are, and it can be undone."""
    from emtrack.files.iom import merge_records

    run(merge_records(settings(), person, into, reason, who()))
    say(f"{person} is read under {into} from now on; `emtrack iom unmerge {person}` undoes it")


@app.command("unmerge")
def unmerge(
    person: Annotated[str, typer.Argument(help="reference of the record that was merged into another")],
    reason: ReasonOption,
) -> None:
    """Read a record by itself again."""
    from emtrack.files.iom import unmerge_record

    run(unmerge_record(settings(), person, reason, who()))
    say(f"{person} is a record of its own again")


@app.command("settings")
def programme_settings(
    file: Annotated[Path | None, typer.Argument(help="a JSON file with the whole of the new settings")] = None,
) -> None:
    """Show the settings of the programme as JSON, or enter new ones: a version of their own, in force at once. What the file leaves
    out is as by default."""
    from emtrack.files.iom import enter_programme_settings, shown_programme_settings

    if file is None:
        typer.echo(run(shown_programme_settings(settings())))
    else:
        version = run(enter_programme_settings(settings(), file, who()))
        say(f"this is version {version}; it is in force at once")
