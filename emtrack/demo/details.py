"""Of the people of a demonstration what their orders say beside where they must be: where they live, whom to call, which court
ordered what.

All of it is invented, a function of (seed, number). Telephone numbers are of the ranges that Ofcom keeps for drama (07700 900000 to
900999, 01632 960000 to 960999): nobody has them.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Any, Final

from emtrack.demo.case_rows import agencies_of
from emtrack.demo.life import Life, life_of
from emtrack.emulator.chance import dice
from emtrack.emulator.people import Wearer
from emtrack.emulator.schedule import local_date
from emtrack.emulator.world import World

STREETS: Final = (
    "Claystall",
    "Larkburslow",
    "Rookton",
    "Kilnmoor",
    "Saggar",
    "Potbank",
    "Marlpit",
    "Weirside",
    "Tolgate",
    "Sedgeway",
)
WAYS: Final = ("Street", "Road", "Lane", "Terrace", "Grove", "Row", "Close", "Bank")
COURTS: Final = ("Rookton Crown Court", "Claystall Magistrates' Court", "Kilnmoor Magistrates' Court")
ORDERS: Final = (
    ("Community order", 365), ("Suspended sentence order", 540), ("Licence with GPS monitoring", 365), ("Home detention curfew", 180),
    ("Bail with electronic monitoring", 120),
)  # fmt: skip
OFFENCES: Final = (
    "burglary of a dwelling",
    "theft from a vehicle",
    "robbery",
    "theft of a vehicle",
    "assault",
    "criminal damage",
)
RELATIONS: Final = ("mother", "partner", "brother", "sister", "landlord", "support worker")
ZONES: Final = {
    "CURFEW": ("Home",), "INCLUSION": ("Workplace",), "ATTENDANCE": ("Treatment centre", "Unpaid work", "Probation office"),
    "EXCLUSION": tuple(f"{street} exclusion zone" for street in STREETS),
}  # fmt: skip


def with_details(world: World, orders: dict[str, Any], end_ms: int) -> dict[str, Any]:
    """The orders of a world with what they say of people and with names of zones; needs, partners and the reasons of grades as the
    life of each person gives them."""
    people = {wearer.wearer_id: wearer for wearer in world.wearers}
    today = local_date(world.start_ms, world.zone)
    wearers = [
        one
        | _details(world.seed, people[one["wearer_id"]], today)
        | {"iom": one["iom"] | _lived(life_of(world, people[one["wearer_id"]], end_ms))}
        for one in orders["wearers"]
    ]
    requirements = [one | {"name": _zone_name(world.seed, one)} for one in orders["requirements"]]
    return orders | {"wearers": wearers, "requirements": requirements}


def _lived(life: Life) -> dict[str, Any]:
    return {"pathways": list(life.needs), "agencies": agencies_of(life), "rag_history": life.grades()}


def _details(seed: int, wearer: Wearer, today: date) -> dict[str, Any]:
    rng = dice(seed, "details", wearer.number)
    kind, days = rng.choice(ORDERS)
    begins = today - timedelta(days=rng.randrange(1, days - 20))
    return {
        "date_of_birth": str(today - timedelta(days=rng.randrange(18 * 365, 55 * 365))),
        "address": f"{rng.randrange(1, 140)} {rng.choice(STREETS)} {rng.choice(WAYS)}, {rng.choice(STREETS)}",
        "phones": [_mobile(rng)],
        "responsible_officer": _officer(rng, wearer),
        "offence": rng.choice(OFFENCES),
        "order": {
            "kind": kind,
            "court": rng.choice(COURTS),
            "begins": str(begins),
            "ends": str(begins + timedelta(days=days)),
        },
        "contacts": [_contact(rng, wearer)] if rng.random() < 0.6 else [],
    }


def _officer(rng: Random, wearer: Wearer) -> dict[str, Any]:
    """Who leads the case in the IOM record."""
    name, agency = wearer.iom.get("lead_officer"), wearer.iom.get("lead_agency")
    found = {"name": name or "Duty officer", "phone": _landline(rng)}
    return found if agency is None else found | {"agency": agency}


def _contact(rng: Random, wearer: Wearer) -> dict[str, Any]:
    relation = rng.choice(RELATIONS)
    family = wearer.name.split()[1] if relation in RELATIONS[:4] else f"{rng.choice(STREETS)}son"
    return {"name": f"{rng.choice('ABCDEFGHJKLMNPRSTW')}. {family}", "relation": relation, "phone": _mobile(rng)}


def _mobile(rng: Random) -> str:
    return f"07700 900{rng.randrange(1000):03d}"


def _landline(rng: Random) -> str:
    return f"01632 960{rng.randrange(1000):03d}"


def _zone_name(seed: int, requirement: dict[str, Any]) -> str:
    return str(dice(seed, f"zone name {requirement['requirement_id']}").choice(ZONES[requirement["kind"]]))
