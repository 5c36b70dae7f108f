"""`emtrack whatif`: what would have been found with other settings, another zone or timetable; nothing is entered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emtrack.cli.looking import PurposeOption, ReferenceOption, looker_here
from emtrack.cli.running import run, settings
from emtrack.cli.saying import read_instant, refuse

if TYPE_CHECKING:
    from emtrack.forms.drafts import Draft
    from emtrack.people.looks import Looker
    from emtrack.reading.drafts import Total, ZoneCheck
    from emtrack.settings import Settings

app = typer.Typer()


@app.command("whatif")
def what_if(
    begin: Annotated[str, typer.Option("--from", help="first instant, with a zone")],
    end: Annotated[str, typer.Option("--to", help="the instant after the last, at most 31 days later")],
    purpose: PurposeOption,
    wearer: Annotated[str | None, typer.Option(help="of this person, by name")] = None,
    cohort: Annotated[str | None, typer.Option(help="FIXED, FLEX or FREE, as counts of 5 and more")] = None,
    everybody: Annotated[bool, typer.Option("--everybody", help="of everybody, as counts of 5 and more")] = False,
    changed: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=NUMBER, such as confirm_points=3; repeat it")
    ] = None,
    zone: Annotated[Path | None, typer.Option(help="a drafted zone as GeoJSON, or a Circle")] = None,
    kind: Annotated[str, typer.Option(help="of the zone: EXCLUSION, INCLUSION or CURFEW")] = "EXCLUSION",
    zone_times: Annotated[
        str | None, typer.Option(help="when the zone holds, such as 'MON-FRI 09:00-17:00'; left out: always")
    ] = None,
    timetable: Annotated[
        str | None, typer.Option(help="another timetable, such as 'DAILY 21:00-06:00'; ; parts lines")
    ] = None,
    requirement: Annotated[str | None, typer.Option(help="whose timetable; left out: every curfew")] = None,
    reference: ReferenceOption = None,
) -> None:
    """What would have been found, beside what the rules and orders of today find in the same positions, as JSON. Nothing is entered.
    Who asks is put on record first."""
    from emtrack.cli.saying import give

    if sum((wearer is not None, cohort is not None, everybody)) != 1:
        refuse("expected one of --wearer, --cohort and --everybody")
    if cohort is not None and cohort not in ("FIXED", "FLEX", "FREE"):
        refuse(f"--cohort: {cohort[:20]!r}; expected FIXED, FLEX or FREE")
    begin_ms, end_ms = read_instant(begin, "--from"), read_instant(end, "--to")
    assert begin_ms is not None, "it is given"
    assert end_ms is not None, "it is given"
    draft = _draft(changed or [], zone, kind, zone_times, timetable, requirement)
    looker = looker_here(purpose, reference)
    total, check = run(tried(settings(), looker, draft, (begin_ms, end_ms), wearer, cohort))
    give(_lines(total, check), None)


def _draft(
    changed: list[str],
    zone: Path | None,
    kind: str,
    zone_times: str | None,
    timetable: str | None,
    requirement: str | None,
) -> Draft:
    from emtrack.forms.drafts import (
        KINDS_OF_ZONES,
        LONGEST_ZONE,
        Draft,
        DraftSettings,
        DraftTimetable,
        DraftZone,
        read_settings,
        read_timetable_text,
        read_zone_text,
    )
    from geofence import ObligationKind

    if kind not in KINDS_OF_ZONES:
        refuse(f"--kind: {kind[:20]!r}; expected {', '.join(KINDS_OF_ZONES)}")
    told = read_settings({name: _number(value) for name, _, value in (one.partition("=") for one in changed)})
    drafted = None
    if zone is not None:
        with zone.open("rb") as file:
            text = file.read(4 * LONGEST_ZONE + 1).decode("utf-8", "replace")
        rows = None if zone_times is None else read_timetable_text(zone_times.replace(";", "\n"))
        drafted = DraftZone(ObligationKind(kind), read_zone_text(text), rows)
    times = (
        None if timetable is None else DraftTimetable(read_timetable_text(timetable.replace(";", "\n")), requirement)
    )
    return Draft(None if told == DraftSettings() else told, drafted, times)


def _number(text: str) -> float | int:
    try:
        value = float(text)
    except ValueError:
        refuse(f"--set: {text[:40]!r} is no number")
    return int(value) if value.is_integer() else value


async def tried(
    chosen: Settings,
    looker: Looker,
    draft: Draft,
    window_ms: tuple[int, int],
    wearer_id: str | None,
    cohort: str | None,
) -> tuple[Total, ZoneCheck | None]:
    """What would change, in all. Raises UnfitTrial."""
    from emtrack.db.opened import opened_database
    from emtrack.files.progress import progress_on_terminal
    from emtrack.reading.drafts import (
        Trial,
        UnfitTrial,
        look_at_trial,
        refuse_few,
        slice_outcomes,
        slices_of,
        total_of,
        zone_check,
    )
    from emtrack.reading.people import wearer_no_or_refusal
    from emtrack.record.draft_runs import Ended, end_draft_run, store_draft_run
    from emtrack.record.zone_sets import ZoneSetCache
    from emtrack.web.draft_runs import counted, tried_of
    from geofence import Interval

    async with opened_database(chosen, "whatif") as (connection, clock):
        now_ms, sets = clock.now_ms(), ZoneSetCache(chosen.sets_dir)
        number = None if wearer_id is None else await wearer_no_or_refusal(connection, wearer_id)
        trial = Trial(draft, Interval(*window_ms), number, cohort)
        await look_at_trial(connection, looker, trial, now_ms)
        run_no = await store_draft_run(connection, looker, tried_of(trial), now_ms)
        slices = await slices_of(connection, trial)
        outcomes: list[Any] = []
        check = None
        with progress_on_terminal() as tell:
            for done, part in enumerate(slices, 1):
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    if number is not None and draft.zone is not None and check is None:
                        check = await zone_check(connection, sets, trial, part, now_ms, chosen.basemap)
                    outcomes += await slice_outcomes(connection, sets, trial, part, now_ms)
                tell("judging", done, len(slices))
        try:
            refuse_few(trial, outcomes)
        except UnfitTrial as error:
            await end_draft_run(connection, run_no, Ended("failed", str(error)), clock.now_ms())
            raise
        await end_draft_run(connection, run_no, counted(trial, outcomes), clock.now_ms())
    return total_of(outcomes, is_one_person=number is not None), check


def _lines(total: Total, check: ZoneCheck | None) -> bytes:
    import msgspec

    from geofence import format_instant

    def told(count: int | None) -> Any:
        return "fewer than 5" if count is None else count

    kinds = [
        {"kind": row.kind, "people_now": told(row.people_now), "people_then": told(row.people_then),
         "people_gained": told(row.people_gained), "people_lost": told(row.people_lost), "now": row.now, "then": row.then,
         "gained": row.gained, "lost": row.lost}
        for row in total.rows
    ]  # fmt: skip
    changes = [
        {"what": what, "kind": change.finding.kind, "reason": change.finding.reason, "requirement_id": change.finding.requirement_id,
         "begin": format_instant(change.finding.begin_ms),
         "end": None if change.finding.end_ms is None else format_instant(change.finding.end_ms)}
        for what, change in total.named
    ]  # fmt: skip
    whole = {
        "people": total.people, "positions": total.positions, "kinds": kinds, "changes": changes, "left_out": total.left_out,
        "zone": None if check is None else check._asdict() | {
            "homes": [home._asdict() for home in check.homes], "ways": [way._asdict() for way in check.ways],
        },
    }  # fmt: skip
    return msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n"
