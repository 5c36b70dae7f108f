"""The programme of a demonstration: who is in it and since when, what they did before and since, and who was in it once.

Everybody has a rate at which they offend. Those who are in the programme were picked because they did much in the year before; so
they do less in the year after whatever is done with them, and the page of figures has to tell that from what the programme did. The
rate falls by `EFFECT` while somebody is in it: what is true of this town is known.

All of it goes in as any system would bring it: as rows of an import. Then the signals of the past are made, and officers answer most
of the proposals, as they would have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from emtrack.clock import Clock
from emtrack.emulator.chance import dice
from emtrack.emulator.people import Wearer
from emtrack.emulator.schedule import DAY_MS, datetime_of
from emtrack.emulator.world import World
from emtrack.forms.iom import RagGrade
from emtrack.iom.entries import Author
from emtrack.iom.grading import Answer, decide_against, give_grade
from emtrack.iom.importing import Report, Source, import_rows
from emtrack.metrics import Metrics
from emtrack.service.signals import SignalMaker

if TYPE_CHECKING:
    from emtrack.db.session import Session

SYSTEM: Final = "demo case system"
SHAPE, MEAN = 0.8, 1.6
"""Of the rates in the town: proven offences a year, gamma."""
EFFECT: Final = 0.75
PICKED_FROM: Final = 3
"""Offences in the year before that get somebody picked."""
MONTHS_BACK: Final = (2, 34)
YEARS_BEFORE: Final = 3
FORMER, NEVER = 0.2, 0.5
"""People who were in the programme, and who were looked at and never were, as shares of those who are in it."""
KINDS: Final = (
    ("SHOPLIFTING", 30), ("THEFT_FROM_PERSON", 10), ("VEHICLE", 14), ("RESIDENTIAL_BURGLARY", 18), ("CRIMINAL_DAMAGE", 10),
    ("VIOLENCE_WITH_INJURY", 8), ("ROBBERY", 4), ("OTHER", 6),
)  # fmt: skip
REASONS: Final = (
    ("RISK_REDUCED", 60),
    ("SENTENCE_ENDED", 20),
    ("CRITERIA_NOT_MET", 8),
    ("MOVED", 7),
    ("LONG_CUSTODY", 5),
)
ETHNICITIES: Final = (
    ("White", 86),
    ("Asian or Asian British", 7),
    ("Mixed", 3),
    ("Black or Black British", 2),
    ("not stated", 2),
)
GIVEN: Final = (
    "Aldous",
    "Bryn",
    "Cerys",
    "Dorran",
    "Elin",
    "Fen",
    "Garrow",
    "Hesper",
    "Ivo",
    "Jory",
    "Kit",
    "Lowri",
    "Marek",
)
FAMILY: Final = (
    "Aldgate",
    "Brookmarl",
    "Cobridge",
    "Dalesend",
    "Etruria",
    "Fordwell",
    "Goldenhill",
    "Harthill",
    "Ironside",
)
ANSWERED: Final = 0.94
AGAINST: Final = 0.12


def rows_of(worlds: Sequence[World], end_ms: int) -> list[dict[str, Any]]:
    """Rows of an import: of the people of the worlds, of some who were in the programme, and of some who never were."""
    rows: list[dict[str, Any]] = []
    seed = worlds[0].seed
    wearers = [wearer for world in worlds for wearer in world.wearers]
    for wearer in wearers:
        rows += Life(seed, wearer.wearer_id, wearer.name, end_ms, wearer).rows()
    for kind, share in (("F", FORMER), ("N", NEVER)):
        for number in range(1, round(share * len(wearers)) + 1):
            reference = f"{kind}{number:04d}"
            rng = dice(seed, f"name of {reference}")
            name = f"{rng.choice(GIVEN)} {rng.choice(FAMILY)}"
            rows += Life(seed, reference, name, end_ms, None).rows()
    return rows


class Life:
    """One person's years. `wearer` None: somebody without a tag, who left the programme (F…), never was in it (N…), or is in a story.
    `picked_ms`: since when they are in it; None: as it falls."""

    def __init__(
        self, seed: int, reference: str, name: str, end_ms: int, wearer: Wearer | None, picked_ms: int | None = None
    ) -> None:
        self._rng = dice(seed, f"life of {reference}")
        self._reference = reference
        self._name = name
        self._end_ms = end_ms
        self._wearer = wearer
        self._was_picked = not reference.startswith("N")
        months = self._rng.uniform(*MONTHS_BACK)
        self._picked_ms = end_ms - round(months * 30.4 * DAY_MS) if picked_ms is None else picked_ms
        self._left_ms = self._leaving() if reference.startswith("F") else None
        self._rate, self._year_before = self._picked()

    def _leaving(self) -> int:
        stayed_ms = round(self._rng.uniform(5, 18) * 30.4 * DAY_MS)
        return min(self._picked_ms + stayed_ms, self._end_ms - 5 * DAY_MS)

    def _picked(self) -> tuple[float, int]:
        """The rate, and what was done in the year before being picked: of those who are picked, enough."""
        while True:
            rate = self._rng.gammavariate(SHAPE, MEAN / SHAPE)
            count = _poisson(self._rng, rate)
            if not self._was_picked or count >= PICKED_FROM:
                return rate, count

    def rows(self) -> list[dict[str, Any]]:
        rows = [self._person(), *self._membership(), *self._offences(), *self._assessment(), *self._circumstances()]
        return [row | {"person": self._reference, "system": SYSTEM} for row in rows]

    def _person(self) -> dict[str, Any]:
        born = self._end_ms - round(self._rng.uniform(18, 52) * 365.25) * DAY_MS
        row: dict[str, Any] = {
            "noun": "person",
            "record": f"person {self._reference}",
            "name": self._name,
            "date_of_birth": _day(born),
        }
        iom = {} if self._wearer is None else self._wearer.iom
        if iom:
            named = {key: iom[key] for key in ("agencies", "lead_officer", "lead_agency") if iom.get(key)}
            row |= named
        else:
            row |= {"agencies": ["Police", "Probation Service"], "lead_agency": "Probation Service"}
        return row | {
            "sex": self._rng.choices(("male", "female"), (88, 12))[0],
            "ethnicity": _weighted(self._rng, ETHNICITIES),
        }

    def _membership(self) -> Iterator[dict[str, Any]]:
        nominated_ms = self._picked_ms - round(self._rng.uniform(5, 25)) * DAY_MS
        panel = {
            "panel": "Selection panel", "panel_date": _day(self._picked_ms),
            "panel_reason": f"{self._year_before} proven offences in twelve months",
        }  # fmt: skip
        yield {
            "noun": "nomination", "record": f"nomination {self._reference}", "occurred": _day(nominated_ms), "nominated_by": "Police",
            "reason": "repeated acquisitive offending", "state": "ACCEPTED" if self._was_picked else "DECLINED", **panel,
        }  # fmt: skip
        if not self._was_picked:
            return
        cohort = (self._wearer.iom.get("cohort") if self._wearer else None) or "FIXED"
        row = {
            "noun": "membership",
            "record": f"membership {self._reference}",
            "cohort": cohort,
            "from": _day(self._picked_ms),
        }
        iom = {} if self._wearer is None else self._wearer.iom
        row |= {key: iom[key] for key in ("lead_officer", "lead_agency") if iom.get(key)}
        if self._left_ms is not None:
            row |= {
                "state": "ENDED", "to": _day(self._left_ms), "end_reason": _weighted(self._rng, REASONS), "panel": "Selection panel",
                "panel_date": _day(self._left_ms),
            }  # fmt: skip
        yield row
        yield {
            "noun": "status", "record": f"status {self._reference}", "status": "COMMUNITY", "from": _day(self._picked_ms),
        }  # fmt: skip

    def _offences(self) -> Iterator[dict[str, Any]]:
        """Some years before, the year before as it was picked for, and what came after."""
        year_ms = round(365.25 * DAY_MS)
        begin_ms = self._picked_ms - YEARS_BEFORE * year_ms
        before = _poisson(self._rng, self._rate * (YEARS_BEFORE - 1))
        instants = [round(self._rng.uniform(begin_ms, self._picked_ms - year_ms)) for _ in range(before)]
        instants += [
            round(self._rng.uniform(self._picked_ms - year_ms, self._picked_ms)) for _ in range(self._year_before)
        ]
        until_ms = self._left_ms or self._end_ms
        inside = self._rate * (EFFECT if self._was_picked else 1.0)
        for span, rate in (((self._picked_ms, until_ms), inside), ((until_ms, self._end_ms), self._rate)):
            count = _poisson(self._rng, rate * max(0, span[1] - span[0]) / year_ms)
            instants += [round(self._rng.uniform(*span)) for _ in range(count)]
        for number, at_ms in enumerate(sorted(instants), 1):
            yield from self._offence(number, at_ms)

    def _offence(self, number: int, at_ms: int) -> Iterator[dict[str, Any]]:
        proven_ms = at_ms + round(self._rng.gammavariate(2.0, 45.0)) * DAY_MS
        row = {"noun": "offence", "record": f"offence {self._reference}-{number}", "kind": _weighted(self._rng, KINDS),
               "occurred": _text(at_ms)}  # fmt: skip
        if proven_ms >= self._end_ms:
            yield row | {"outcome": "CHARGED"}
            return
        cautioned = self._rng.random() < 0.15
        yield row | {
            "outcome": "CAUTIONED" if cautioned else "CONVICTED", "proven_on": _day(proven_ms),
            "is_non_custodial": True,
        }  # fmt: skip

    def _assessment(self) -> Iterator[dict[str, Any]]:
        in_two_years = 100 * (1 - math.exp(-2 * self._rate))
        told = min(97.0, max(3.0, in_two_years + self._rng.gauss(0, 9)))
        harm = max(0.2, self._rng.gammavariate(1.4, 1.6))
        iom = {} if self._wearer is None else self._wearer.iom
        row = {
            "noun": "assessment", "record": f"assessment {self._reference}", "source": "Probation Service, at selection",
            "occurred": _day(self._picked_ms), "reoffending": round(told, 1), "serious_harm": round(harm, 1),
            "rosh": "LOW" if harm < 1 else "MEDIUM" if harm < 4 else "HIGH" if harm < 8 else "VERY_HIGH",
        }  # fmt: skip
        row |= {key: iom[key] for key in ("mappa_category", "mappa_level") if iom.get(key)}
        if iom.get("pathways"):
            row["needs"] = iom["pathways"]
        yield row

    def _circumstances(self) -> Iterator[dict[str, Any]]:
        if not self._was_picked:
            return
        housed = self._rng.random() < 0.78
        yield {
            "noun": "circumstance", "record": f"housing {self._reference}", "kind": "HOUSING", "from": _day(self._picked_ms),
            "what": "own tenancy" if housed else "no fixed address", "source": "Council housing team",
        }  # fmt: skip
        if self._wearer is not None and self._wearer.work is not None:
            yield {
                "noun": "circumstance", "record": f"work {self._reference}", "kind": "WORK", "from": _day(self._picked_ms),
                "what": "at work", "source": "Jobcentre",
            }  # fmt: skip


async def enter_programme(
    connection: Session, worlds: Sequence[World], more: Sequence[dict[str, Any]], end_ms: int, who: str
) -> Report:
    """Before the first orders: so the record knows since when somebody is in the programme. `more`: rows of others."""
    source = Source(SYSTEM, SYSTEM, ZoneInfo(worlds[0].timezone))
    return await import_rows(connection, Author(who), [*rows_of(worlds, end_ms), *more], source, worlds[0].start_ms)


OPEN_PROPOSALS = """
SELECT p.item_no, p.wearer_no, p.content ->> 'grade' AS grade, i.lead_officer FROM iom_now p
LEFT JOIN iom_versions i ON i.wearer_no = p.wearer_no AND upper_inf(i.recorded)
WHERE p.noun = 'proposal' AND p.state = 'OPEN' ORDER BY p.item_no
"""


async def answer_proposals(connection: Session, seed: int, end_ms: int, who: str) -> int:
    """Make the signals of the past, and answer most of the proposals that follow; how many were."""
    clock = Clock(end_ms, 0, 0.0, emulated=True)
    maker = SignalMaker("", clock, Metrics())
    await maker.load(connection)
    while await maker.pass_once(connection):
        pass
    answered = 0
    for row in await connection.fetch(OPEN_PROPOSALS):
        rng = dice(seed, "answer", row["item_no"])
        if rng.random() >= ANSWERED:
            continue
        author = Author(row["lead_officer"] or who)
        async with connection.transaction():
            if rng.random() < AGAINST:
                await decide_against(
                    connection, author, row["item_no"], "seen today: no change in what is done", end_ms
                )
            else:
                answer = Answer(RagGrade(row["grade"]), proposal=row["item_no"])
                await give_grade(connection, author, row["wearer_no"], answer, end_ms)
        answered += 1
    return answered


def _poisson(rng: Random, mean: float) -> int:
    """By counting how many exponential waits fit (Knuth); the means here are small."""
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def _weighted(rng: Random, chances: Sequence[tuple[str, int]]) -> str:
    return rng.choices([name for name, _ in chances], [weight for _, weight in chances])[0]


def _day(at_ms: int) -> str:
    return f"{datetime_of(at_ms):%Y-%m-%d}"


def _text(at_ms: int) -> str:
    return datetime_of(at_ms).isoformat(timespec="seconds").replace("+00:00", "Z")
