"""`emtrack zones`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.running import run, settings
from emtrack.cli.saying import refuse, refuse_unfit, say, say_counts, show, who

if TYPE_CHECKING:
    from emtrack.settings import Settings
    from geofence.shapes import Member

app = typer.Typer(no_args_is_help=True, help="Zones out of files: checked, entered as sets, drawn.")

ZoneFileArgument = Annotated[Path, typer.Argument(help="GeoJSON, GeoPackage, Shapefile, KML, or .zip or .kmz")]
CrsOption = Annotated[
    str | None, typer.Option(help="coordinate system of a file that does not say it, such as EPSG:27700")
]
IdFieldOption = Annotated[str | None, typer.Option(help="the field that holds the zones' ids")]
AcceptShiftOption = Annotated[
    bool,
    typer.Option("--accept-shift", help="take places that are off, where what turns them exactly is not at hand"),
]


@app.command("check")
def check_zones(
    files: Annotated[list[Path], typer.Argument(help="GeoJSON, GeoPackage, Shapefile, KML, or .zip or .kmz")],
    orders: Annotated[
        Path | None, typer.Option(help="orders.json: zones must not lie on the homes of its curfews")
    ] = None,
    crs: CrsOption = None,
    id_field: IdFieldOption = None,
    accept_shift: AcceptShiftOption = False,
    repair: Annotated[bool, typer.Option("--repair", help="say what a repair would do to invalid zones")] = False,
) -> None:
    """Say what zones measure and what is wrong with them. Exit code 2 if anything is."""
    from emtrack.cli.orders_file import read_orders_file
    from emtrack.forms.reading import refuse_unknown_sets
    from emtrack.zones.checking import homes_of
    from emtrack.zones.reporting import Reading, check_files

    ignored = frozenset({"wearers", "protocols"})
    homes = [] if orders is None else homes_of(read_orders_file(orders, ignored=ignored, check=refuse_unknown_sets))
    if not check_files(files, Reading(crs, id_field, accept_shift), homes, repair=repair, say=show):
        raise typer.Exit(2)


@app.command("import")
def import_zones(
    file: ZoneFileArgument,
    set_id: Annotated[str, typer.Option(help="the set that they are a version of")],
    version: Annotated[
        str, typer.Option(help="what this version is called; requirements that follow the set are on it then")
    ],
    crs: CrsOption = None,
    id_field: IdFieldOption = None,
    accept_shift: AcceptShiftOption = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="mend invalid zones, and say what that did to them")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would change, and change nothing")] = False,
) -> None:
    """Enter zones as a version of a set. Requirements that follow the set are judged by it at once."""
    from emtrack.forms.names import unfit_label
    from emtrack.zones.reporting import Reading, readable_members

    for option, text in (("--set-id", set_id), ("--version", version)):
        refuse_unfit(text, option, unfit_label)
    members = readable_members(Reading(crs, id_field, accept_shift).read(file), repair=repair, say=say)
    say(f"{len(members):>6}  zones")
    counts = run(import_set(settings(), members, set_id, version, who=who(), dry_run=dry_run))
    say_counts(counts.items())
    if dry_run or not counts:
        say("nothing was changed (--dry-run)" if dry_run else "nothing was changed: this version is entered already")


@app.command("draw")
def draw_zones(
    out: Annotated[Path, typer.Option(help="map.png, or map.html that needs nothing but itself")],
    file: Annotated[Path | None, typer.Argument(help="GeoJSON, GeoPackage, Shapefile, KML, or .zip or .kmz")] = None,
    set_id: Annotated[str | None, typer.Option(help="a set that is entered, instead of a file")] = None,
    version: Annotated[str | None, typer.Option(help="of the set (default: the last)")] = None,
    crs: CrsOption = None,
    id_field: IdFieldOption = None,
    accept_shift: AcceptShiftOption = False,
) -> None:
    """Draw zones. What cannot be used as it is drawn is left out and said."""
    from emtrack.atomic_files import replace_file
    from emtrack.zones.checking import check, lines_of, usable_members
    from emtrack.zones.reporting import Reading, picture

    if (file is None) == (set_id is None):
        refuse("name a file or --set-id, one of them")
    if file is not None:
        zones = check(Reading(crs, id_field, accept_shift).read(file).zones)
        for line in (line for zone in zones if zone.trouble is not None for line in lines_of(zone)):
            say(line)
        members, title = usable_members(zones), file.name
    else:
        assert set_id is not None, "one of them is named"
        members, title = run(members_to_draw(settings(), set_id, version))
    replace_file(out, picture(out, members, title))
    say(f"{len(members):,} {'zone is' if len(members) == 1 else 'zones are'} drawn in {out}")


async def import_set(
    chosen: Settings, members: Sequence[Member], set_id: str, version: str, *, who: str, dry_run: bool
) -> dict[str, int]:
    """Enter a version of a set; what that changed, counted. Raises OrdersConflict."""
    from emtrack.forms.features import Features
    from emtrack.forms.orders import Orders, ZoneSetForm
    from emtrack.orders.importing import import_orders

    form = ZoneSetForm(set_id, version, Features(None, None, members))
    return (await import_orders(chosen, Orders(zone_sets=[form]), who=who, dry_run=dry_run)).counts


async def members_to_draw(chosen: Settings, set_id: str, version: str | None) -> tuple[list[Member], str]:
    """The members of a set that is entered (None: its last version), and what to write above them. Raises UnknownSetName."""
    from emtrack.db.opened import opened_database
    from emtrack.forms.geometry import SetName
    from emtrack.record.zone_sets import known_sets, load_members

    async with opened_database(chosen, "zones draw") as (connection, _):
        names, _ = await known_sets(connection)
        zone = names.named(SetName(set_id, version))
        return await load_members(connection, zone.content), f"{zone.set_id}, version {zone.version}"
