"""Orders in the database: entered as versions with who and when, and read back as plans for the judgement."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from emtrack.db.connect import Connection
from emtrack.forms.orders import (
    ActivationForm,
    FormError,
    HomeUnitForm,
    IomForm,
    Orders,
    RequirementForm,
    SetNames,
    UnknownSetName,
    ZoneSetForm,
    atv_settings_of,
    end_of,
    requirement_of,
    set_name_of,
    settings_of,
    timezone_of,
)
from emtrack.iom.record import FutureGrade, enter_iom
from emtrack.record.zone_sets import enter_version, known_sets, stored_zone
from geofence.intervals import Interval, subtracted
from geofence.obligations import Requirement, version_of
from geofence.words import ALWAYS_MS, FOREVER_MS, datetime_of, format_instant, instant_of
from geofence.zones import SetZone
from ingest.http import key_hash

if TYPE_CHECKING:
    from asyncpg import Range


ORDERS_LOCK = 0x656D_6F72  # advisory: orders change one at a time, so that change numbers follow commits

LOCK_ORDERS = "SELECT pg_advisory_xact_lock($1)"
LAST_CHANGED = "SELECT max(changed_at) FROM order_changes"


class OrdersConflict(Exception):
    """Orders that contradict what is entered: two people on one tag, two absences at one time. `overlaps`: what is there."""

    def __init__(self, message: str, overlaps: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.overlaps = overlaps


class Change(msgspec.Struct, frozen=True):
    """One thing that an import entered."""

    what: str
    wearer_no: int | None
    detail: dict[str, Any]


class Entered(msgspec.Struct):
    """What an import did. `keys`: keys of devices that are new, to be shown once."""

    changes: list[Change] = []
    keys: dict[str, str] = {}


_CONFLICTS = {
    "one_wearer_per_device": "a device would be on two people at one time",
    "one_entry_at_a_time": "two entries of one requirement would be valid at one time",
    "one_absence_at_a_time": "two absences of one person would overlap",
    "one_address_per_unit": "a home unit would stand at two addresses at one time",
}


async def enter_orders(connection: Connection, orders: Orders, *, who: str, now_ms: int) -> Entered:
    """Enter orders inside the caller's transaction. What is entered already is left alone.

    Of each activation, each requirement (all its entries), each home unit and the settings that the orders name, they
    replace what was entered before; what they do not name stays. Raises OrdersConflict or FormError.
    """
    await connection.execute(LOCK_ORDERS, ORDERS_LOCK)
    last = await connection.fetchval(LAST_CHANGED)
    if last is not None:  # the record never steps back, even if the machine's clock does
        now_ms = max(now_ms, instant_of(last))
    clerk = _Clerk(connection, who, now_ms)
    try:
        await clerk.enter(orders)
    except asyncpg.ExclusionViolationError as error:
        what = _CONFLICTS.get(error.constraint_name or "", "it overlaps what is entered")
        raise OrdersConflict(f"The orders were not entered, because {what}. {error.detail or ''}".strip()) from error
    await clerk.log_changes()
    return clerk.entered


def span(begin_ms: int, end_ms: int) -> Range[Any]:
    """A tstzrange [begin, end); unbounded where it is open."""
    return asyncpg.Range(datetime_of(begin_ms), None if end_ms >= FOREVER_MS else datetime_of(end_ms))


class _Clerk:
    """Enters orders for one person at one instant."""

    def __init__(self, connection: Connection, who: str, now_ms: int) -> None:
        self._connection = connection
        self._who = who
        self._now = datetime_of(now_ms)
        self._since = asyncpg.Range(self._now, None)
        self.entered = Entered()

    async def enter(self, orders: Orders) -> None:
        wearers = await self._enter_wearers(orders)
        devices = await self._enter_devices(sorted({a.device_id for a in orders.activations}))
        await self._enter_settings(orders)
        await self._enter_activations(orders.activations, wearers, devices)
        fresh = await self._enter_zone_sets(orders.zone_sets)
        await self._enter_requirements(orders.requirements, wearers)
        await self._follow(fresh)
        await self._enter_home_units(orders.home_units, wearers)
        for absence in orders.absences:
            await self._enter_absence(
                wearers[absence.wearer_id], absence.from_.ms, end_of(absence.to), absence.reason
            )
        await self._enter_outages([Interval(outage.from_.ms, outage.to.ms) for outage in orders.outages])

    def _changed(self, what: str, wearer_no: int | None, **detail: Any) -> None:
        self.entered.changes.append(Change(what, wearer_no, detail))

    LOG_CHANGES = """
    INSERT INTO order_changes (changed_at, changed_by, what, wearer_no, detail)
    SELECT $1, $2, what, wearer_no, detail FROM unnest($3::text[], $4::bigint[], $5::jsonb[]) AS t (what, wearer_no, detail)
    """

    async def log_changes(self) -> None:
        changes = self.entered.changes
        await self._connection.execute(
            self.LOG_CHANGES,
            self._now,
            self._who,
            [change.what for change in changes],
            [change.wearer_no for change in changes],
            [change.detail for change in changes],
        )

    # ------------------------------------------------------------------------------------- people and devices

    WEARERS = "SELECT wearer_id, wearer_no, name FROM wearers WHERE wearer_id = ANY($1::text[])"
    NEW_WEARER = "INSERT INTO wearers (wearer_id, name) VALUES ($1, $2) RETURNING wearer_no"
    RENAME_WEARER = "UPDATE wearers SET name = $2 WHERE wearer_no = $1"

    async def _enter_wearers(self, orders: Orders) -> dict[str, int]:
        forms = {form.wearer_id: form for form in orders.wearers}
        rows: Sequence[Any] = (
            *orders.activations, *orders.requirements, *orders.absences, *orders.home_units, *orders.wearers,
        )  # fmt: skip
        wearer_ids = sorted({row.wearer_id for row in rows})
        known = {row["wearer_id"]: row for row in await self._connection.fetch(self.WEARERS, wearer_ids)}
        numbers = {}
        for wearer_id in wearer_ids:
            form = forms.get(wearer_id)
            name = None if form is None else form.name
            row = known.get(wearer_id)
            if row is None:
                numbers[wearer_id] = await self._connection.fetchval(self.NEW_WEARER, wearer_id, name)
                self._changed("wearer entered", numbers[wearer_id], wearer_id=wearer_id)
            else:
                numbers[wearer_id] = row["wearer_no"]
                if form is not None and row["name"] != name:
                    await self._connection.execute(self.RENAME_WEARER, row["wearer_no"], name)
                    self._changed("wearer changed", row["wearer_no"], before=row["name"], after=name)
            if form is not None and form.iom is not None:
                await self._enter_iom(numbers[wearer_id], wearer_id, form.iom)
        return numbers

    async def _enter_iom(self, wearer_no: int, wearer_id: str, form: IomForm) -> None:
        try:
            changed = await enter_iom(self._connection, wearer_no, form, self._who, self._now)
        except FutureGrade as error:
            raise OrdersConflict(f"The orders were not entered: of wearer {wearer_id!r}, {error}.") from error
        if changed:  # it concerns no judgement: nobody is judged again for it
            self._changed("IOM record entered", None, wearer_id=wearer_id)

    async def _enter_devices(self, device_ids: Sequence[str]) -> dict[str, int]:
        numbers = {}
        for device_id in device_ids:
            numbers[device_id], new = await enter_device(self._connection, device_id, self._now)
            if new:
                key = await add_key(self._connection, numbers[device_id], "entered with orders", self._now)
                self.entered.keys[device_id] = key
                self._changed("device entered", None, device_id=device_id)
        return numbers

    # ------------------------------------------------------------------------------------- settings

    SETTINGS = "SELECT * FROM settings_versions WHERE upper_inf(recorded)"
    CLOSE_SETTINGS = (
        "UPDATE settings_versions SET recorded = tstzrange(lower(recorded), $1) WHERE upper_inf(recorded)"
    )
    NEW_SETTINGS = """
    INSERT INTO settings_versions (recorded, entered_by, timezone, max_gap_ms, unknown_limit_ms, silence_buffer_ms,
                                   atv_threshold_ms, atv_counts_grace)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    """

    async def _enter_settings(self, orders: Orders) -> None:
        judged = ("timezone", "max_gap_ms", "unknown_limit_ms", "silence_buffer_ms")
        names = (*judged, "atv_threshold_ms", "atv_counts_grace")
        before = await self._connection.fetchrow(self.SETTINGS)
        if before is not None and isinstance(orders.settings, msgspec.UnsetType):
            wanted: tuple[Any, ...] = (timezone_of(orders, before["timezone"]), *(before[name] for name in names[1:]))
        else:
            settings = settings_of(orders)
            zone = timezone_of(orders) if before is None else timezone_of(orders, before["timezone"])
            wanted = (
                zone, settings.max_gap_ms, settings.unknown_limit_ms, settings.silence_buffer_ms, *atv_settings_of(orders),
            )  # fmt: skip
        if before is not None and tuple(before[name] for name in names) == wanted:
            return
        await self._connection.execute(self.CLOSE_SETTINGS, self._now)
        await self._connection.execute(self.NEW_SETTINGS, self._since, self._who, *wanted)
        same_judgement = before is not None and tuple(before[name] for name in judged) == wanted[: len(judged)]
        what = "settings of alerts entered" if same_judgement else "settings entered"
        self._changed(what, None, **dict(zip(names, wanted, strict=True)))

    # ------------------------------------------------------------------------------------- activations

    ACTIVATIONS = """
    SELECT a.activation_id, a.activation_no, v.device_no, v.wearer_no, v.during, v.report_interval_ms, v.network
    FROM activations a LEFT JOIN activation_versions v ON v.activation_no = a.activation_no AND upper_inf(v.recorded)
    WHERE a.activation_id = ANY($1::text[])
    """
    CLOSE_ACTIVATION = """
    UPDATE activation_versions SET recorded = tstzrange(lower(recorded), $2) WHERE activation_no = $1 AND upper_inf(recorded)
    """
    NEW_ACTIVATION = "INSERT INTO activations (activation_id, entered_at) VALUES ($1, $2) RETURNING activation_no"
    NEW_ACTIVATION_VERSION = """
    INSERT INTO activation_versions
        (activation_no, device_no, wearer_no, during, report_interval_ms, network, recorded, entered_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    """

    async def _enter_activations(
        self, forms: Sequence[ActivationForm], wearers: dict[str, int], devices: dict[str, int]
    ) -> None:
        rows = await self._connection.fetch(self.ACTIVATIONS, [form.activation_id for form in forms])
        known = {row["activation_id"]: row for row in rows}
        changed = []
        for form in forms:
            during = span(form.from_.ms, end_of(form.to))
            interval_ms = int(form.report_interval_s * 1000)
            wanted = (devices[form.device_id], wearers[form.wearer_id], during, interval_ms, form.network)
            row = known.get(form.activation_id)
            names = ("device_no", "wearer_no", "during", "report_interval_ms", "network")
            if row is None or tuple(row[name] for name in names) != wanted:
                changed.append((form, None if row is None else row, wanted))
        for _, row, _ in changed:  # all old versions end before the first new one begins: two tags may be swapped
            if row is not None:
                await self._connection.execute(self.CLOSE_ACTIVATION, row["activation_no"], self._now)
        for form, row, wanted in changed:
            await self._refuse_overlap(form, wanted)
            number = None if row is None else row["activation_no"]
            if number is None:
                number = await self._connection.fetchval(self.NEW_ACTIVATION, form.activation_id, self._now)
            await self._connection.execute(self.NEW_ACTIVATION_VERSION, number, *wanted, self._since, self._who)
            for wearer_no in {wanted[1]} | ({row["wearer_no"]} if row is not None and row["wearer_no"] else set()):
                self._changed("activation entered", wearer_no, activation_id=form.activation_id)

    OVERLAPPING = """
    SELECT a.activation_id, w.wearer_id, lower(v.during) AS begin_at, upper(v.during) AS end_at
    FROM activation_versions v JOIN activations a USING (activation_no) JOIN wearers w USING (wearer_no)
    WHERE v.device_no = $1 AND v.during && $2 AND upper_inf(v.recorded) ORDER BY 3 LIMIT 1
    """

    async def _refuse_overlap(self, form: ActivationForm, wanted: Sequence[Any]) -> None:
        row = await self._connection.fetchrow(self.OVERLAPPING, wanted[0], wanted[2])
        if row is not None:
            until = "without an end" if row["end_at"] is None else f"to {row['end_at']:%Y-%m-%dT%H:%M:%SZ}"
            raise OrdersConflict(
                f"The orders were not entered, because activation {form.activation_id!r} overlaps activation "
                f"{row['activation_id']!r} of the same device {form.device_id!r}, which is on wearer {row['wearer_id']!r} "
                f"from {row['begin_at']:%Y-%m-%dT%H:%M:%SZ} {until}. End the first before the second begins.",
                _overlapped(row, activation_id=row["activation_id"], wearer_id=row["wearer_id"]),
            )

    # ------------------------------------------------------------------------------------- zone sets

    async def _enter_zone_sets(self, forms: Sequence[ZoneSetForm]) -> dict[str, SetZone]:
        """Enter versions that are new; of each set that got any the last, by set id."""
        _, numbers = await known_sets(self._connection)
        contents = {(zone.set_id, zone.version): zone.content for zone in numbers}
        fresh = {}
        for form in forms:
            zone = SetZone(form.set_id, form.version, form.features.content)
            known = contents.get((zone.set_id, zone.version))
            if known is None:
                await enter_version(self._connection, zone, form.features.members, self._who, self._now)
                fresh[zone.set_id] = zone
                what = {"set_id": zone.set_id, "version": zone.version, "members": len(form.features.members)}
                self._changed("zone set entered", None, **what)
            elif known != zone.content:
                raise OrdersConflict(
                    f"The orders were not entered, because version {zone.version!r} of zone set {zone.set_id!r} is entered already "
                    "with other zones. A version is never changed: give these another."
                )
        return fresh

    # Requirements that follow a set and are on another version of it than the one given last.
    CLOSE_FOLLOWERS = """
    UPDATE requirement_versions v SET recorded = tstzrange(lower(v.recorded), $3)
    FROM zone_set_versions o JOIN zone_sets s USING (set_no)
    WHERE v.set_version_no = o.set_version_no AND s.set_id = $1 AND o.version <> $2 AND NOT v.set_pinned AND upper_inf(v.recorded)
    RETURNING v.version_no, v.wearer_no, v.requirement_id, v.kind
    """
    FOLLOW = """
    INSERT INTO requirement_versions (entry_no, wearer_no, requirement_id, kind, valid, set_version_no, set_pinned, timetable,
                                      buffer_m, widen_m, confirm_points, confirm_ms, grace_ms, recorded, entered_by)
    SELECT v.entry_no, v.wearer_no, v.requirement_id, v.kind, v.valid, n.set_version_no, false, v.timetable,
           v.buffer_m, v.widen_m, v.confirm_points, v.confirm_ms, v.grace_ms, $4, $5
    FROM requirement_versions v, zone_set_versions n JOIN zone_sets s USING (set_no)
    WHERE v.version_no = ANY($1::bigint[]) AND s.set_id = $2 AND n.version = $3
    """

    async def _follow(self, fresh: dict[str, SetZone]) -> None:
        """Requirements that follow a set get a new version with the new one of the set."""
        for zone in fresh.values():
            rows = await self._connection.fetch(self.CLOSE_FOLLOWERS, zone.set_id, zone.version, self._now)
            numbers = [row["version_no"] for row in rows]
            await self._connection.execute(self.FOLLOW, numbers, zone.set_id, zone.version, self._since, self._who)
            for row in rows:
                named = {"requirement_id": row["requirement_id"], "set_id": zone.set_id, "version": zone.version}
                self._changed("requirement follows its zone set", row["wearer_no"], **named)

    # ------------------------------------------------------------------------------------- requirements

    REQUIREMENTS = """
    SELECT v.version_no, v.entry_no, v.wearer_no, v.requirement_id, v.kind, v.valid, z.version AS zone, v.timetable,
           v.buffer_m, v.widen_m, v.confirm_points, v.confirm_ms, v.grace_ms, v.set_pinned, s.set_id, n.version AS set_version,
           n.content AS set_content
    FROM requirement_versions v LEFT JOIN zones z USING (zone_no)
         LEFT JOIN zone_set_versions n USING (set_version_no) LEFT JOIN zone_sets s USING (set_no)
    WHERE v.wearer_no = ANY($1::bigint[]) AND upper_inf(v.recorded)
    """
    CLOSE_REQUIREMENT = (
        "UPDATE requirement_versions SET recorded = tstzrange(lower(recorded), $2) WHERE version_no = $1"
    )
    ENTRY = """
    INSERT INTO requirement_entries (wearer_no, requirement_id, valid_from) VALUES ($1, $2, $3)
    ON CONFLICT (wearer_no, requirement_id, valid_from) DO UPDATE SET valid_from = excluded.valid_from RETURNING entry_no
    """
    NEW_ZONE = """
    INSERT INTO zones (version, geometry) VALUES ($1, $2)
    ON CONFLICT (version) DO UPDATE SET version = excluded.version RETURNING zone_no
    """
    NEW_REQUIREMENT = """
    INSERT INTO requirement_versions (entry_no, wearer_no, requirement_id, kind, valid, zone_no, set_version_no, set_pinned,
                                      timetable, buffer_m, widen_m, confirm_points, confirm_ms, grace_ms, recorded, entered_by)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
    """

    async def _enter_requirements(self, forms: Sequence[RequirementForm], wearers: dict[str, int]) -> None:
        names, set_numbers = await known_sets(self._connection)
        current: dict[tuple[int, str], dict[str, int]] = defaultdict(dict)
        numbers = sorted({wearers[form.wearer_id] for form in forms})
        for row in await self._connection.fetch(self.REQUIREMENTS, numbers):
            current[row["wearer_no"], row["requirement_id"]][_fingerprint_of_row(row)] = row["version_no"]
        wanted: dict[tuple[int, str], dict[str, tuple[RequirementForm, Requirement]]] = defaultdict(dict)
        for form in forms:
            requirement = _resolved(form, names)
            key = wearers[form.wearer_id], form.requirement_id
            wanted[key][_fingerprint_of_form(form, requirement)] = (form, requirement)
        for key, entries in wanted.items():
            for fingerprint, version_no in current[key].items():
                if fingerprint not in entries:
                    await self._connection.execute(self.CLOSE_REQUIREMENT, version_no, self._now)
                    self._changed("requirement entry ended", key[0], requirement_id=key[1])
        for key, entries in wanted.items():
            for fingerprint, (form, requirement) in entries.items():
                if fingerprint not in current[key]:
                    await self._enter_requirement(key[0], form, requirement, set_numbers)

    async def _enter_requirement(
        self, wearer_no: int, form: RequirementForm, requirement: Requirement, set_numbers: dict[SetZone, int]
    ) -> None:
        zone_no = set_version_no = None
        if isinstance(requirement.zone, SetZone):
            set_version_no = set_numbers[requirement.zone]
        else:
            zone_no = await self._connection.fetchval(self.NEW_ZONE, version_of(requirement.zone), form.geometry)
        valid_from = datetime_of(requirement.from_ms)
        entry_no = await self._connection.fetchval(self.ENTRY, wearer_no, form.requirement_id, valid_from)
        timetable = None if form.timetable is None else [msgspec.to_builtins(row) for row in form.timetable]
        await self._connection.execute(
            self.NEW_REQUIREMENT,
            entry_no, wearer_no, form.requirement_id, str(form.kind), span(requirement.from_ms, requirement.to_ms),
            zone_no, set_version_no, _is_pinned(form), timetable, requirement.buffer_m, requirement.widen_m,
            requirement.confirm_points, requirement.confirm_ms, requirement.grace_ms, self._since, self._who,
        )  # fmt: skip
        self._changed("requirement entered", wearer_no, requirement_id=form.requirement_id, kind=str(form.kind))

    # ------------------------------------------------------------------------------------- home units

    HOME_UNITS = """
    SELECT version_no, hmu_id, wearer_no, requirement_id, during FROM home_units
    WHERE hmu_id = ANY($1::text[]) AND upper_inf(recorded)
    """
    CLOSE_HOME_UNIT = "UPDATE home_units SET recorded = tstzrange(lower(recorded), $2) WHERE version_no = $1"
    NEW_HOME_UNIT = """
    INSERT INTO home_units (hmu_id, wearer_no, requirement_id, during, recorded, entered_by) VALUES ($1, $2, $3, $4, $5, $6)
    """

    async def _enter_home_units(self, forms: Sequence[HomeUnitForm], wearers: dict[str, int]) -> None:
        names = sorted({form.hmu_id for form in forms})
        rows = await self._connection.fetch(self.HOME_UNITS, names)
        known = {(r["hmu_id"], r["wearer_no"], r["requirement_id"], r["during"]): r for r in rows}
        wanted = {
            (f.hmu_id, wearers[f.wearer_id], f.requirement_id, span(f.from_.ms, end_of(f.to))): f for f in forms
        }
        for key, row in known.items():
            if key not in wanted:
                await self._connection.execute(self.CLOSE_HOME_UNIT, row["version_no"], self._now)
                self._changed("home unit moved", row["wearer_no"], hmu_id=row["hmu_id"])
        for key in wanted:
            if key not in known:
                await self._connection.execute(self.NEW_HOME_UNIT, *key, self._since, self._who)
                self._changed("home unit entered", key[1], hmu_id=key[0], requirement_id=key[2])

    # ------------------------------------------------------------------------------------- absences and outages

    SAME_ABSENCE = """
    SELECT count(*) FROM absences WHERE wearer_no = $1 AND during = $2 AND reason = $3 AND upper_inf(recorded)
    """
    OVERLAPPING_ABSENCE = """
    SELECT reason, lower(during) AS begin_at, upper(during) AS end_at FROM absences
    WHERE wearer_no = $1 AND during && $2 AND upper_inf(recorded) ORDER BY 2 LIMIT 1
    """
    NEW_ABSENCE = """
    INSERT INTO absences (wearer_no, during, reason, recorded, entered_by) VALUES ($1, $2, $3, $4, $5)
    """

    async def _enter_absence(self, wearer_no: int, from_ms: int, to_ms: int, reason: str) -> None:
        during = span(from_ms, to_ms)
        if await self._connection.fetchval(self.SAME_ABSENCE, wearer_no, during, reason):
            return
        row = await self._connection.fetchrow(self.OVERLAPPING_ABSENCE, wearer_no, during)
        if row is not None:
            until = "without an end" if row["end_at"] is None else f"to {row['end_at']:%Y-%m-%dT%H:%M:%SZ}"
            raise OrdersConflict(
                f"The orders were not entered, because an absence overlaps the absence ({row['reason'] or 'no reason given'}) from "
                f"{row['begin_at']:%Y-%m-%dT%H:%M:%SZ} {until}. Two absences of one person must not overlap.",
                _overlapped(row, reason=row["reason"]),
            )
        await self._connection.execute(self.NEW_ABSENCE, wearer_no, during, reason, self._since, self._who)
        self._changed("absence entered", wearer_no)

    async def _enter_outages(self, outages: Sequence[Interval]) -> None:
        if not outages:
            return
        known = await load_outages(self._connection)
        for outage in subtracted(outages, known):
            await record_outage(self._connection, outage, "entered", self._now)
            self._changed("outage entered", None)


def _overlapped(row: asyncpg.Record, **what: Any) -> dict[str, Any]:
    """What is there already, for programs."""
    end_at = row["end_at"]
    return what | {
        "from": format_instant(instant_of(row["begin_at"])),
        "to": None if end_at is None else format_instant(instant_of(end_at)),
    }


def _fingerprint_of_row(row: asyncpg.Record) -> str:
    parts = (row["valid"].lower.isoformat(), None if row["valid"].upper is None else row["valid"].upper.isoformat())
    settings = (row["buffer_m"], row["widen_m"], row["confirm_points"], row["confirm_ms"], row["grace_ms"])
    on_set = stored_zone(row)
    zone = row["zone"] if on_set is None else version_of(on_set)
    return version_of((row["kind"], parts, zone, row["set_pinned"], row["timetable"], settings))


def _is_pinned(form: RequirementForm) -> bool:
    name = set_name_of(form)
    return name is not None and name.version is not None


def _resolved(form: RequirementForm, names: SetNames) -> Requirement:
    """The requirement on the sets that are entered. Raises FormError."""
    try:
        return requirement_of(form, "", names)
    except UnknownSetName as error:
        who = f"requirement {form.requirement_id!r} of wearer {form.wearer_id!r}"
        raise FormError(f"The orders were not entered, because of {who} the {error}") from error


def _fingerprint_of_form(form: RequirementForm, requirement: Requirement) -> str:
    upper = None if form.to is None else datetime_of(form.to.ms).isoformat()
    parts = (datetime_of(requirement.from_ms).isoformat(), upper)
    settings = (
        requirement.buffer_m, requirement.widen_m, requirement.confirm_points, requirement.confirm_ms, requirement.grace_ms,
    )  # fmt: skip
    timetable = None if form.timetable is None else [msgspec.to_builtins(row) for row in form.timetable]
    return version_of((str(form.kind), parts, version_of(requirement.zone), _is_pinned(form), timetable, settings))


# ---------------------------------------------------------------------------------------------- devices and keys

DEVICE = "SELECT device_no FROM devices WHERE device_id = $1"
NEW_DEVICE = "INSERT INTO devices (device_id, added_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING device_no"
NEW_KEY = "INSERT INTO device_keys (key_hash, device_no, label, added_at) VALUES ($1, $2, $3, $4)"
REVOKE_KEY = "UPDATE device_keys SET revoked_at = $2 WHERE key_hash = $1 AND revoked_at IS NULL"
DEVICES = """
SELECT d.device_id, d.added_at, count(k.key_hash) FILTER (WHERE k.revoked_at IS NULL) AS keys,
       c.received, c.stored, c.duplicates, c.refused
FROM devices d LEFT JOIN device_keys k USING (device_no) LEFT JOIN device_counts c USING (device_no)
WHERE $1::text IS NULL OR d.device_id = $1
GROUP BY d.device_no, c.device_no ORDER BY d.device_id
"""


async def enter_device(connection: Connection, device_id: str, now: Any) -> tuple[int, bool]:
    """The number of a device, and whether it was entered just now."""
    number = await connection.fetchval(NEW_DEVICE, device_id, now)
    if number is not None:
        return number, True
    return await connection.fetchval(DEVICE, device_id), False


async def add_key(connection: Connection, device_no: int, label: str, now: Any) -> str:
    """A new key of a device, to be shown once: only its hash is kept. Other keys stay valid."""
    key = secrets.token_urlsafe(32)
    await connection.execute(NEW_KEY, key_hash(key), device_no, label, now)
    return key


LOG_CHANGE = "INSERT INTO order_changes (changed_at, changed_by, what, wearer_no, detail) VALUES ($1, $2, $3, $4, $5)"


async def log_change(connection: Connection, change: Change, who: str, now: Any) -> None:
    """Log one change that was made outside `enter_orders`, under the same lock."""
    await connection.execute(LOCK_ORDERS, ORDERS_LOCK)
    await connection.execute(LOG_CHANGE, now, who, change.what, change.wearer_no, change.detail)


# ---------------------------------------------------------------------------------------------- outages

OUTAGES = """
SELECT (extract(epoch FROM lower(during)) * 1000)::bigint AS begin_ms, (extract(epoch FROM upper(during)) * 1000)::bigint AS end_ms
FROM outages ORDER BY during
"""
NEW_OUTAGE = "INSERT INTO outages (during, cause, recorded_at) VALUES ($1, $2, $3)"


async def load_outages(connection: Connection) -> list[Interval]:
    """Our own outages, sorted and apart. The one before we were first ready has no beginning."""
    rows = await connection.fetch(OUTAGES)
    return [Interval(ALWAYS_MS if row["begin_ms"] is None else row["begin_ms"], row["end_ms"]) for row in rows]


async def record_outage(connection: Connection, outage: Interval, cause: str, now: Any) -> None:
    """Record an outage; it must not overlap one that is recorded."""
    begin = None if outage.begin_ms <= ALWAYS_MS else datetime_of(outage.begin_ms)
    await connection.execute(NEW_OUTAGE, asyncpg.Range(begin, datetime_of(outage.end_ms)), cause, now)
