"""What is found in files of zones, said to a person line by line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from emtrack.forms.cautions import can_be_inside
from emtrack.forms.features import area_words
from emtrack.zones.checking import (
    Checked,
    Home,
    bounds_words,
    check,
    lines_of,
    nearest_named,
    neighbour_words,
    on_homes,
    overlaps,
    usable_members,
)
from emtrack.zones.drawing import page, png
from emtrack.zones.reading import ZoneFile, ZoneFileError, read_zone_file
from geofence.shapes import Member

MOST_LINES = 50

Say = Callable[[str], None]


class Reading(NamedTuple):
    """How files are read: see `read_zone_file`."""

    crs: str | None
    id_field: str | None
    accept_shift: bool

    def read(self, path: Path) -> ZoneFile:
        return read_zone_file(path, crs=self.crs, id_field=self.id_field, accept_shift=self.accept_shift)


def check_files(files: Sequence[Path], reading: Reading, homes: Sequence[Home], *, repair: bool, say: Say) -> bool:
    """Says what is found in each file; whether nothing is wrong."""
    return all([_check_file(reading.read(path), homes, repair=repair, say=say) for path in files])


def _check_file(file: ZoneFile, homes: Sequence[Home], *, repair: bool, say: Say) -> bool:
    zones = check(file.zones, repair=True)
    _say_notes(file, say)
    for zone in zones:
        for line in lines_of(zone if repair else zone._replace(repair=None)):
            say(line)
    members = usable_members(zones)
    _say_places(members, {zone.zone_id for zone in file.zones if zone.is_named}, say)
    wrong = [zone for zone in zones if zone.trouble is not None]
    total = area_words(sum(zone.area_m2 for zone in zones if zone.area is not None))
    vertices = sum(zone.vertices for zone in zones)
    say(
        f"{file.name}: {len(zones):,} zones, {total}, {vertices:,} vertices; {len(wrong):,} cannot be used as they are drawn"
    )
    _say_overlaps(members, say)
    at_home = on_homes(members, homes)
    for one in at_home:
        say(
            f"✗ zone {one.zone_id!r} lies on {area_words(one.shared_m2)} of the home of wearer {one.home.wearer_id!r} "
            f"(requirement {one.home.requirement_id!r})"
        )
    if homes:
        on, all_of_them = ({home.wearer_id for home in some} for some in ([one.home for one in at_home], homes))
        say(f"{file.name}: on the homes of {len(on):,} of {len(all_of_them):,} wearers")
    return not wrong and not at_home


def _say_places(members: Sequence[Member], named: Collection[str], say: Say) -> None:
    """Where each zone lies and what is near it, and those in which nobody can be found inside: read in a wrong system, most are."""
    some = members[:MOST_LINES]
    for member, neighbour in zip(some, nearest_named(some, members, named), strict=True):
        near = "" if neighbour is None else f"; nearest: {neighbour_words(neighbour)}"
        say(f"zone {member.zone_id!r} lies {bounds_words(member.area)}{near}")
    for member in members:
        if not can_be_inside(member.area):
            say(
                f"warning: zone {member.zone_id!r}: no place in it is 5 m from its edge; nobody can ever be found inside"
            )


def _say_notes(file: ZoneFile, say: Say) -> None:
    for note in file.notes:
        say(f"{file.name}: {note}")


def _say_overlaps(members: Sequence[Member], say: Say) -> None:
    """That members overlap is no fault: a set is judged as their union. A person may want to know."""
    found = overlaps(members)
    for overlap in found[:MOST_LINES]:
        say(f"  {overlap.one!r} and {overlap.other!r} share {area_words(overlap.shared_m2)}")
    if len(found) > MOST_LINES:
        say(f"  and {len(found) - MOST_LINES:,} more pairs")


def readable_members(file: ZoneFile, *, repair: bool, say: Say) -> list[Member]:
    """All zones of a file as members of a set; repairs are said. Raises ZoneFileError with everything that is in the way."""
    _say_notes(file, say)
    unnamed = [zone.zone_id for zone in file.zones if not zone.is_named]
    if unnamed:
        known = ", ".join(file.fields) or "none"
        raise ZoneFileError(
            f"{file.name}: {len(unnamed):,} of {len(file.zones):,} zones have no id ({unnamed[0]}); name the field that holds it "
            f"with --id-field. The fields are: {known}"
        )
    zones = check(file.zones, repair=repair)
    wrong = [zone for zone in zones if zone.area is None]
    if wrong:
        for line in (line for zone in wrong[:MOST_LINES] for line in lines_of(zone)):
            say(line)
        advice = "mend them, or ask for --repair" if any(zone.repair for zone in wrong) else "mend them"
        raise ZoneFileError(
            f"{file.name}: {len(wrong):,} of {len(zones):,} zones cannot be used as they are drawn; {advice}"
        )
    for zone in zones:
        _say_repair(zone, say)
    return usable_members(zones)


def _say_repair(zone: Checked, say: Say) -> None:
    if zone.repair is not None:
        say(f"zone {zone.zone_id!r} was repaired ({zone.trouble}): {zone.repair}")


def picture(out: Path, members: Sequence[Member], title: str) -> bytes:
    """What belongs into the file, by its ending. Raises ZoneFileError for another than .png and .html."""
    makers = {".png": png, ".html": page}
    if out.suffix.lower() not in makers:
        raise ZoneFileError(f"{out}: expected a name that ends with .png or .html")
    if not members:
        raise ZoneFileError("there is nothing to draw: none of the zones can be used")
    return makers[out.suffix.lower()](members, title)
