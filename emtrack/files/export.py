"""`emtrack export`: what is stored, as the files that `emtrack evaluate` reads. The findings can then be judged again
by anybody, without the service and without the database."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec
from msgspec import UnsetType

from alerts import LedgerRules, rules_of
from emtrack.atomic_files import replace_file, replacing_file
from emtrack.db.opened import opened_database
from emtrack.files.facts import EVENT_COLUMNS, POSITION_COLUMNS
from emtrack.forms.features import Features, collection_of
from emtrack.forms.from_core import orders_of, sets_of_plans
from emtrack.forms.grades import AUTHENTICATED, authenticated_word
from emtrack.forms.orders import Orders
from emtrack.forms.reading import write_orders
from emtrack.people.looks import Looker, What, record_look
from emtrack.record.deployment_settings import silence_near_m
from emtrack.record.device_identifiers import forms_of_devices, unauthenticated_among
from emtrack.record.facts import load_facts
from emtrack.record.liveness import alive_ms
from emtrack.record.plans import Assignment, load_judged
from emtrack.record.protocols import protocol_forms
from emtrack.record.requirement_names import load_names
from emtrack.record.wearer_details import forms_of
from emtrack.record.wearers import canary_numbers
from emtrack.record.zone_sets import load_members
from emtrack.settings import Settings
from geofence import ALWAYS_MS, Fact, Position, format_instant

if TYPE_CHECKING:
    import asyncpg


async def export_to(settings: Settings, folder: Path, looker: Looker) -> dict[str, int]:
    """Write what is stored as files that only their owner can read; how many rows of each. That somebody looks at everybody is on
    record first."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with opened_database(settings, "export") as (connection, clock):
        await record_look(connection, looker, What.EXPORT, None, now_ms=clock.now_ms())
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            judged_ms = await alive_ms(connection)
            counts = await export(connection, folder, max(clock.now_ms(), judged_ms or ALWAYS_MS))
            if judged_ms is not None:
                replace_file(folder / "until.txt", f"{format_instant(judged_ms)}\n".encode())
    return counts


async def export(connection: asyncpg.Connection[Any], folder: Path, now_ms: int) -> dict[str, int]:
    """Write orders.json, a file for each zone set, positions.csv and events.csv; how many rows of each. Inside a snapshot,
    all fits together."""
    nobody = await canary_numbers(connection)
    assignments = [a for a in (await load_judged(connection, now_ms)).values() if a.wearer_no not in nobody]
    plans = [assignment.plan for assignment in assignments]
    members = {zone.content: await load_members(connection, zone.content) for zone in sets_of_plans(plans)}
    orders = with_ledger_settings(orders_of(plans, members), await rules_of(connection))
    orders = with_nearness_of_silence(orders, await silence_near_m(connection))
    orders = await _with_people(connection, _with_set_files(orders, folder), assignments)
    replace_file(folder / "orders.json", write_orders(orders))
    counts = {"activations": len(assignments), "zone sets": len(orders.zone_sets), "positions": 0, "events": 0}
    with (
        _table(folder / "positions.csv") as positions,
        _table(folder / "events.csv") as events,
    ):
        to_positions, to_events = csv.writer(positions), csv.writer(events)
        to_positions.writerow([*POSITION_COLUMNS, "received_time", AUTHENTICATED])
        to_events.writerow([*EVENT_COLUMNS, "received_time", "requirement_id", "sent_by", AUTHENTICATED])
        for assignment in assignments:
            facts = (await load_facts(connection, [(assignment, ALWAYS_MS)]))[assignment.activation_no]
            lower = await unauthenticated_among(connection, [fact.fact_id for fact in facts])
            for fact in sorted(facts, key=lambda fact: fact.key):
                word = authenticated_word(fact.fact_id not in lower)
                if isinstance(fact, Position):
                    counts["positions"] += 1
                    to_positions.writerow([*_position_row(assignment, fact), word])
                else:
                    counts["events"] += 1
                    to_events.writerow([*_event_row(assignment, fact), word])
    return counts


async def _with_people(
    connection: asyncpg.Connection[Any], orders: Orders, assignments: Sequence[Assignment]
) -> Orders:
    """With what is no part of a plan, because nobody is judged by it: names, contacts, orders of courts, scripted steps, and under
    which identifier devices, of which some are on nobody, are known in protocols of trackers."""
    wearer_ids = sorted({assignment.plan.activation.wearer_id for assignment in assignments})
    numbers: dict[str, int] = {a.plan.activation.wearer_id: a.wearer_no for a in assignments}
    names = await load_names(connection, sorted(set(numbers.values())))
    requirements = [
        msgspec.structs.replace(form, name=names.get((numbers[form.wearer_id], form.requirement_id)))
        for form in orders.requirements
    ]
    wearers, protocols = await forms_of(connection, wearer_ids), await protocol_forms(connection)
    devices = await forms_of_devices(connection)
    return msgspec.structs.replace(
        orders, requirements=requirements, wearers=wearers, protocols=protocols, devices=devices
    )


@contextmanager
def _table(path: Path) -> Iterator[IO[str]]:
    with replacing_file(path) as file, io.TextIOWrapper(file, "utf-8", newline="") as text:
        yield text


def _position_row(assignment: Assignment, fact: Position) -> list[Any]:
    precision = "" if fact.precision_m is None else repr(fact.precision_m)
    own, received = format_instant(fact.fix_ms), format_instant(fact.received_ms)
    device_id = assignment.plan.activation.device_id
    return [device_id, own, repr(fact.lat_deg), repr(fact.lon_deg), precision, fact.mechanism, received]


def _event_row(assignment: Assignment, fact: Fact) -> list[Any]:
    assert not isinstance(fact, Position)
    own, received = format_instant(fact.event_ms), format_instant(fact.received_ms)
    return [
        assignment.plan.activation.device_id,
        own,
        fact.type,
        received,
        fact.requirement_id or "",
        fact.sent_by or "",
    ]


def _with_set_files(orders: Orders, folder: Path) -> Orders:
    """The members of each set in a file of its own. Its name is a number: what a set is called may be no name of a file."""
    forms = []
    for number, form in enumerate(orders.zone_sets, 1):
        name = f"zone_set_{number}.geojson"
        replace_file(folder / name, msgspec.json.encode(collection_of(form.features.members)))
        features = Features(None, name, form.features.members)
        forms.append(msgspec.structs.replace(form, features=features))
    return msgspec.structs.replace(orders, zone_sets=forms)


def with_ledger_settings(orders: Orders, rules: LedgerRules) -> Orders:
    """The settings of the ledger are no part of a plan, because nobody is judged by them."""
    if rules == LedgerRules(None, counts_grace=False) or isinstance(orders.settings, UnsetType):
        return orders
    threshold_s = None if rules.threshold_ms is None else rules.threshold_ms / 1000
    settings = msgspec.structs.replace(
        orders.settings, atv_threshold_s=threshold_s, atv_counts_grace=rules.counts_grace
    )
    return msgspec.structs.replace(orders, settings=settings)


def with_nearness_of_silence(orders: Orders, near_m: float) -> Orders:
    """How grave a silence is goes by it, and no finding."""
    if isinstance(orders.settings, UnsetType):
        return orders
    return msgspec.structs.replace(orders, settings=msgspec.structs.replace(orders.settings, silence_near_m=near_m))
