"""Orders out of the database as plans: what each activation is judged under, now or as we held it at an earlier time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from emtrack.db.all_or_some import AllOrSome
from emtrack.db.connect import Connection
from emtrack.record.deployment_settings import load_settings
from emtrack.record.outages import load_outages
from emtrack.record.requirements import stored_timetable
from emtrack.record.zone_sets import stored_zone, zone_of_stored
from geofence import (
    FOREVER_MS,
    Activation,
    ActivationId,
    DeviceId,
    EntryId,
    EvidenceKind,
    HomeUnit,
    Interval,
    ObligationKind,
    Plan,
    Requirement,
    RequirementId,
    WearerId,
    datetime_of,
    merged,
)

if TYPE_CHECKING:
    import asyncpg


class Assignment(msgspec.Struct, frozen=True):
    """One activation as it is judged: its plan, and what its facts are found by."""

    activation_no: int
    device_no: int
    wearer_no: int
    plan: Plan

    def requirement_of_unit(self, hmu_id: str | None, own_ms: int) -> str | None:
        """The requirement at whose address the home unit stands. One that is not entered is taken to be called
        after its requirement; if there is no such requirement, it speaks for none."""
        for unit in self.plan.home_units:
            if unit.hmu_id == hmu_id and unit.from_ms <= own_ms < unit.to_ms:
                return unit.requirement_id
        return hmu_id


MOST_CONFIRM_POINTS, LONGEST_CONFIRM_MS = 20, 3_600_000
"""What RULES.md section 4 allows. Orders could ask for more once; what they asked for stays stored."""

# IS TRUE keeps to the index of wearers: one of `recorded` finds all that is held now, which is nearly everything of everybody.
ACTIVATIONS = AllOrSome.of(
    """
SELECT a.activation_no, a.activation_id, d.device_id, v.device_no, w.wearer_id, v.wearer_no, v.report_interval_ms, v.network,
       v.evidence,
       epoch_ms(lower(v.during)) AS from_ms,
       epoch_ms(upper(v.during)) AS to_ms,
       epoch_ms(a.entered_at) AS entered_ms
FROM activation_versions v JOIN activations a USING (activation_no) JOIN devices d USING (device_no)
     JOIN wearers w USING (wearer_no)
WHERE (v.recorded @> $1::timestamptz) IS TRUE {some}
ORDER BY a.activation_no
""",
    "AND v.wearer_no = ANY ($2::bigint[])",
)
JUDGEMENT_ENDED = "SELECT activation_no FROM judgement_ended WHERE activation_no = ANY($1::bigint[])"
REQUIREMENT = """
SELECT v.entry_no, v.wearer_no, w.wearer_id, v.requirement_id, v.kind, z.geometry, z.version AS zone, v.timetable, v.buffer_m,
       v.widen_m, v.confirm_points, v.confirm_ms, v.grace_ms, v.seen_within_ms, v.rf_gap_ms, v.stay_ms,
       s.set_id, n.version AS set_version, n.content AS set_content,
       epoch_ms(lower(v.valid)) AS from_ms, epoch_ms(upper(v.valid)) AS to_ms
FROM requirement_versions v JOIN wearers w USING (wearer_no) LEFT JOIN zones z USING (zone_no)
     LEFT JOIN zone_set_versions n USING (set_version_no) LEFT JOIN zone_sets s USING (set_no)
"""
REQUIREMENTS = AllOrSome.of(
    f"{REQUIREMENT} WHERE (v.recorded @> $1::timestamptz) IS TRUE {{some}} ORDER BY v.entry_no",
    "AND v.wearer_no = ANY ($2::bigint[])",
)
ABSENCES = AllOrSome.of(
    """
SELECT wearer_no, epoch_ms(lower(during)) AS from_ms,
       epoch_ms(upper(during)) AS to_ms
FROM absences WHERE (recorded @> $1::timestamptz) IS TRUE {some}
""",
    "AND wearer_no = ANY ($2::bigint[])",
)
HOME_UNITS = AllOrSome.of(
    """
SELECT wearer_no, hmu_id, requirement_id, rf_gap_ms, call_in_ms, epoch_ms(lower(during)) AS from_ms,
       epoch_ms(upper(during)) AS to_ms
FROM home_units WHERE (recorded @> $1::timestamptz) IS TRUE {some}
""",
    "AND wearer_no = ANY ($2::bigint[])",
)


async def load_assignments(
    connection: Connection, held_at_ms: int, wearer_nos: Sequence[int] | None = None
) -> dict[int, Assignment]:
    """What was held at `held_at_ms` (the newest: now), by activation number; of some wearers, or of all."""
    held_at = datetime_of(held_at_ms)
    timezone, settings = await load_settings(connection, held_at_ms)
    outages = await load_outages(connection)
    requirements = _grouped(await REQUIREMENTS.fetch(connection, wearer_nos, held_at), _requirement)
    absences = _grouped(await ABSENCES.fetch(connection, wearer_nos, held_at), _interval)
    units = _grouped(await HOME_UNITS.fetch(connection, wearer_nos, held_at), _home_unit)
    assignments = {}
    for row in await ACTIVATIONS.fetch(connection, wearer_nos, held_at):
        wearer_no = row["wearer_no"]
        plan = Plan(
            activation=_activation(row),
            requirements=tuple(requirements[wearer_no]),
            timezone=timezone,
            settings=settings,
            absences=tuple(merged(absences[wearer_no])),
            outages=outages.of(wearer_no),
            home_units=tuple(units[wearer_no]),
        )
        number = row["activation_no"]
        assignments[number] = Assignment(number, row["device_no"], wearer_no, plan)
    return assignments


async def load_judged(
    connection: Connection, held_at_ms: int, wearer_nos: Sequence[int] | None = None
) -> dict[int, Assignment]:
    """The same for whoever judges: without activations whose facts retention deleted. Judged without them, people would be found
    silent."""
    assignments = await load_assignments(connection, held_at_ms, wearer_nos)
    ended = await judgement_ended(connection, list(assignments))
    return {number: assignment for number, assignment in assignments.items() if number not in ended}


async def judgement_ended(connection: Connection, activation_nos: Sequence[int]) -> set[int]:
    """Those of some activations whose facts retention deletes, or deleted."""
    return {row["activation_no"] for row in await connection.fetch(JUDGEMENT_ENDED, activation_nos)}


async def load_people(
    connection: Connection, held_at_ms: int, wearer_nos: Sequence[int]
) -> dict[int, tuple[list[Requirement], list[Activation]]]:
    """What is held of some wearers, tagged or not, by wearer number."""
    held_at = datetime_of(held_at_ms)
    requirements = _grouped(await REQUIREMENTS.fetch(connection, wearer_nos, held_at), _requirement)
    activations = _grouped(await ACTIVATIONS.fetch(connection, wearer_nos, held_at), _activation)
    return {number: (requirements[number], activations[number]) for number in wearer_nos}


async def load_absences(
    connection: Connection, held_at_ms: int, wearer_nos: Sequence[int]
) -> dict[int, list[Interval]]:
    """Authorised absences of some wearers, by wearer number; sorted and apart."""
    held = _grouped(await ABSENCES.fetch(connection, wearer_nos, datetime_of(held_at_ms)), _interval)
    return {number: merged(held[number]) for number in wearer_nos}


# The newest version of an entry that was recorded by an instant; it may have ended since.
ENTRY = f"""{REQUIREMENT}
WHERE v.entry_no = $1 AND lower(v.recorded) <= $2 ORDER BY lower(v.recorded) DESC LIMIT 1
"""


async def load_requirement(connection: Connection, entry_id: EntryId, held_at_ms: int) -> Requirement | None:
    """The entry that a finding rests on, as it was held at an instant, or before it was ended."""
    row = await connection.fetchrow(ENTRY, int(entry_id), datetime_of(held_at_ms))
    return None if row is None else _requirement(row)


def _grouped(rows: Iterable[asyncpg.Record], read: Any) -> Mapping[int, list[Any]]:
    groups: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        groups[row["wearer_no"]].append(read(row))
    return groups


def _end(value: int | None) -> int:
    return FOREVER_MS if value is None else value


def _interval(row: asyncpg.Record) -> Interval:
    return Interval(row["from_ms"], _end(row["to_ms"]))


def _home_unit(row: asyncpg.Record) -> HomeUnit:
    return HomeUnit(
        row["hmu_id"], RequirementId(row["requirement_id"]), row["from_ms"], _end(row["to_ms"]),
        row["rf_gap_ms"], row["call_in_ms"],
    )  # fmt: skip


def _activation(row: asyncpg.Record) -> Activation:
    return Activation(
        activation_id=ActivationId(row["activation_id"]),
        device_id=DeviceId(row["device_id"]),
        wearer_id=WearerId(row["wearer_id"]),
        from_ms=row["from_ms"],
        to_ms=_end(row["to_ms"]),
        report_interval_ms=row["report_interval_ms"],
        entered_ms=row["entered_ms"],
        network=row["network"],
        evidence=tuple(EvidenceKind(kind) for kind in row["evidence"]),
    )


def _requirement(row: asyncpg.Record) -> Requirement:
    return Requirement(
        entry_id=EntryId(str(row["entry_no"])),
        requirement_id=RequirementId(row["requirement_id"]),
        wearer_id=WearerId(row["wearer_id"]),
        kind=ObligationKind(row["kind"]),
        from_ms=row["from_ms"],
        to_ms=_end(row["to_ms"]),
        zone=stored_zone(row) or zone_of_stored(row["geometry"], row["zone"]),
        timetable=stored_timetable(row),
        buffer_m=row["buffer_m"],
        widen_m=row["widen_m"],
        confirm_points=min(row["confirm_points"], MOST_CONFIRM_POINTS),
        confirm_ms=min(row["confirm_ms"], LONGEST_CONFIRM_MS),
        grace_ms=row["grace_ms"],
        seen_within_ms=row["seen_within_ms"],
        rf_gap_ms=row["rf_gap_ms"],
        stay_ms=row["stay_ms"],
    )
