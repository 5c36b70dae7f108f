"""`emtrack export`: what is stored, as files for `evaluate`; or positions of one person as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from emtrack.cli.looking import PurposeOption, ReferenceOption, looker_here
from emtrack.cli.running import run, settings
from emtrack.cli.saying import read_instant, refuse, say, say_counts

if TYPE_CHECKING:
    from emtrack.people.looks import Looker
    from emtrack.settings import Settings

app = typer.Typer()


@app.command("export")
def export_facts(
    path: Annotated[Path, typer.Argument(help="where to write the files; with --wearer, the file")],
    purpose: PurposeOption = "SERVICE",
    reference: ReferenceOption = None,
    wearer: Annotated[
        str | None, typer.Option(help="positions of this person alone, as one file; with --from, --to")
    ] = None,
    begin: Annotated[str | None, typer.Option("--from", help="first instant, with a zone")] = None,
    end: Annotated[str | None, typer.Option("--to", help="the instant after the last, at most 31 days later")] = None,
    form: Annotated[str, typer.Option(help="csv, csv-full, geojson, gpx or geoparquet")] = "csv",
    as_known_at: Annotated[str | None, typer.Option(help="only what had been received by then")] = None,
    recipient: Annotated[str | None, typer.Option(help="who receives the file, if it is not you")] = None,
) -> None:
    """Write what is stored as files for `evaluate`, so that anybody can judge it again; with --wearer, positions of one person as one
    file. Only their owner can read them. Who asks, and for which purpose, is put on record first; a file of one person is on record
    with its hash."""
    from emtrack.files.export import export_to
    from emtrack.files.positions import PositionForm

    looker = looker_here(purpose, reference)
    if wearer is not None:
        begin_ms, end_ms, known_ms = (
            read_instant(begin, "--from"), read_instant(end, "--to"), read_instant(as_known_at, "--as-known-at"),
        )  # fmt: skip
        if begin_ms is None or end_ms is None or form not in set(PositionForm):
            refuse(f"expected --from, --to and a --form of {', '.join(PositionForm)}")
        asked = AskedExport(wearer, (begin_ms, end_ms), form, known_ms, recipient)
        number, positions = run(export_positions(settings(), looker, asked, path))
        say(f"{positions:,} positions; on record as disclosure {number}")
        return
    say_counts(run(export_to(settings(), path, looker)).items(), width=9)


@app.command("report")
def evidence_report(
    path: Annotated[Path, typer.Argument(help="the zip to write")],
    wearer: Annotated[str, typer.Option(help="of this person")],
    begin: Annotated[str, typer.Option("--from", help="first instant, with a zone")],
    end: Annotated[str, typer.Option("--to", help="the instant after the last, at most 14 days later")],
    purpose: PurposeOption,
    reference: ReferenceOption = None,
    as_known_at: Annotated[str | None, typer.Option(help="only what had been received and found by then")] = None,
    recipient: Annotated[str | None, typer.Option(help="who receives the report, if it is not you")] = None,
) -> None:
    """Write an evidence report of one person for its owner alone: findings and what they rest on, orders, positions, maps, gaps, and
    proofs that `emtrack audit verify` checks. Who asks is put on record first, and the report with its hash."""
    begin_ms, end_ms = read_instant(begin, "--from"), read_instant(end, "--to")
    assert begin_ms is not None, "it is given"
    assert end_ms is not None, "it is given"
    asked = AskedExport(wearer, (begin_ms, end_ms), "", read_instant(as_known_at, "--as-known-at"), recipient)
    number, positions = run(export_report(settings(), looker_here(purpose, reference), asked, path))
    say(f"{positions:,} positions; on record as disclosure {number}")


class AskedExport(NamedTuple):
    """What a command line says of one person's export."""

    wearer_id: str
    window_ms: tuple[int, int]
    form: str
    known_ms: int | None = None
    recipient: str | None = None


async def export_positions(chosen: Settings, looker: Looker, asked: AskedExport, path: Path) -> tuple[int, int]:
    """The number of the disclosure, and how many positions are in the file. It is on record before the file is there."""
    from emtrack.atomic_files import replace_file
    from emtrack.db.opened import opened_database
    from emtrack.files.positions import PositionForm
    from emtrack.reading.exports import UnfitExport, WantedExport, keep_export, look_at_export, position_file
    from emtrack.reading.people import wearer_no_or_refusal
    from emtrack.record.zone_sets import ZoneSetCache
    from geofence import Interval

    async with opened_database(chosen, "export") as (connection, clock):
        now_ms = clock.now_ms()
        number = await wearer_no_or_refusal(connection, asked.wearer_id)
        known_ms = now_ms if asked.known_ms is None else min(asked.known_ms, now_ms)
        window, form = Interval(*asked.window_ms), PositionForm(asked.form)
        wanted = WantedExport(number, window, form, known_ms, asked.recipient)
        await look_at_export(connection, looker, wanted, now_ms)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            made = await position_file(connection, ZoneSetCache(None), wanted, looker, asked.wearer_id, now_ms)
        if isinstance(made, str):
            raise UnfitExport(made)
        kept = await keep_export(connection, looker, wanted, made, now_ms)
    replace_file(path, made.content)
    return kept, made.positions


async def export_report(chosen: Settings, looker: Looker, asked: AskedExport, path: Path) -> tuple[int, int]:
    """The number of the disclosure, and how many positions it is of. It is on record before the file is there."""
    from emtrack.atomic_files import replace_file
    from emtrack.db.opened import opened_database
    from emtrack.reading.exports import UnfitExport
    from emtrack.reading.people import person_of, wearer_no_or_refusal
    from emtrack.record.zone_sets import ZoneSetCache
    from emtrack.web.reports.making import Person, WantedReport, keep_report, look_at_report, report_file
    from geofence import Interval

    async with opened_database(chosen, "report") as (connection, clock):
        now_ms = clock.now_ms()
        number = await wearer_no_or_refusal(connection, asked.wearer_id)
        row = await person_of(connection, number)
        person = Person(asked.wearer_id, None if row is None else row["name"])
        known_ms = now_ms if asked.known_ms is None else min(asked.known_ms, now_ms)
        wanted = WantedReport(number, Interval(*asked.window_ms), known_ms, asked.recipient)
        await look_at_report(connection, looker, wanted, now_ms)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            made = await report_file(
                connection, ZoneSetCache(chosen.sets_dir), wanted, looker, person, chosen.basemap, now_ms
            )
        if isinstance(made, str):
            raise UnfitExport(made)
        kept = await keep_report(connection, looker, wanted, made, now_ms)
    replace_file(path, made.content)
    return kept, made.positions
