"""What agencies have on record of a life: rows of an import, written from what happened in it, and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from typing import Any, Final, NamedTuple

from emtrack.demo.life import Life, Offended, weighted
from emtrack.demo.turns import DRUGS, HOUSING, JOBCENTRE, POLICE, PROBATION, TURNS, Turn, TurnKind
from emtrack.emulator.chance import dice
from emtrack.emulator.iom import OF_DOMESTIC, OFFICER_FAMILY, OFFICER_GIVEN
from emtrack.emulator.schedule import DAY_MS, HOUR_MS, datetime_of

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
ROSH: Final = ((1.0, "LOW", "RLRH"), (4.0, "MEDIUM", "RMRH"), (8.0, "HIGH", "RHRH"), (math.inf, "VERY_HIGH", "RVHR"))
"""Below what percentage of the serious-harm predictor; the register's code of it."""
LAWFUL_BASIS: Final = "Crime and Disorder Act 1998, section 115"
WRITTEN_AFTER_MS: Final = 2 * HOUR_MS
TASKS_OF_DAYS: Final = 60
"""Tasks of earlier turns are with whoever did them then."""
REVIEW_DAYS: Final = 28

GOALS: Final = {
    "ACCOMMODATION": ("A settled place to live", "CHANGE", "Find a place and keep it", HOUSING),
    "EDUCATION_TRAINING_EMPLOYMENT": ("Work or training", "CHANGE", "Find work and stay in it", JOBCENTRE),
    "HEALTH": ("Health looked after", "CHANGE", "See the mental health team every other week", "Community mental health service"),
    "DRUGS_ALCOHOL": ("No drugs, and no drink that ends in offences", "CHANGE", "Treatment, and a test each week", DRUGS),
    "FINANCE": ("Debts under control", "CHANGE", "Agree a debt plan", "Debt and money advice service"),
    "RELATIONSHIPS_FAMILY": ("Peace at home", "CHANGE", "Sessions with the family", "Family support service"),
    "ATTITUDES_THINKING_BEHAVIOUR": ("Thinks before acting", "DIVERT", "The thinking skills course", "Peer mentoring service"),
}  # fmt: skip
"""Of a need: the goal, its strand, its step, and by whom."""


class By(NamedTuple):
    """Who writes it down; empty: the case system."""

    name: str = ""
    agency: str = ""


class Written(NamedTuple):
    """`at_ms`: when it was; None: with all that was there before the tag."""

    row: dict[str, Any]
    by: By = By()
    at_ms: int | None = None


def written(life: Life, begin_ms: int) -> Iterator[Written]:
    """All that is on record of a life. `begin_ms`: what is later comes when it happens."""
    row = {"person": life.reference}
    rng = dice(life.seed, f"record of {life.reference}")
    for one in (*_standing(life, rng), *_of_turns(life, begin_ms, rng), *_of_offences(life, begin_ms, rng)):
        yield one._replace(row=row | one.row)


def rows_of_life(life: Life) -> list[dict[str, Any]]:
    """Of somebody without a tag."""
    return [one.row for one in written(life, life.end_ms)]


# ---------------------------------------------------------------------------------------------- the person and the programme


def _standing(life: Life, rng: Random) -> Iterator[Written]:
    for row in (_person(life, rng), *_membership(life, rng), *_assessments(life, rng), *_circumstances(life, rng)):
        yield Written(row)


def _person(life: Life, rng: Random) -> dict[str, Any]:
    born = life.end_ms - round(rng.uniform(18, 52) * 365.25) * DAY_MS
    return {
        "noun": "person", "record": f"person {life.reference}", "name": life.name, "date_of_birth": _day(born),
        "sex": rng.choices(("male", "female"), (88, 12))[0], "ethnicity": weighted(rng, ETHNICITIES), "agencies": agencies_of(life),
        **_led_by(life),
    }  # fmt: skip


def agencies_of(life: Life) -> list[str]:
    """With whom somebody is shared: who was brought in, and whoever a need of theirs needs."""
    if life.wearer is None:
        return [POLICE, PROBATION]
    agencies = list(life.wearer.iom["agencies"])
    if "DRUGS_ALCOHOL" in life.needs and "DRUGS_ALCOHOL" not in life.wearer.iom["pathways"]:
        agencies.append(DRUGS)
    return list(dict.fromkeys(agencies))


def _led_by(life: Life) -> dict[str, Any]:
    if life.wearer is None:
        return {"lead_agency": PROBATION}
    return {name: life.wearer.iom[name] for name in ("lead_officer", "lead_agency")}


def _membership(life: Life, rng: Random) -> Iterator[dict[str, Any]]:
    panel = {
        "panel": "Selection panel", "panel_date": _day(life.picked_ms),
        "panel_reason": f"{life.year_before} proven offences in twelve months",
    }  # fmt: skip
    yield {
        "noun": "nomination", "record": f"nomination {life.reference}", "nominated_by": "Police",
        "occurred": _day(life.picked_ms - round(rng.uniform(5, 25)) * DAY_MS), "reason": "repeated acquisitive offending",
        "state": "ACCEPTED" if life.was_picked else "DECLINED", **panel,
    }  # fmt: skip
    if not life.was_picked:
        return
    row = {"record": f"membership {life.reference}", "from": _day(life.picked_ms), "cohort": "FIXED"}
    if life.wearer is not None:  # a probation system tells it as a registration
        yield row | {"noun": "registration", "code": "IIOM", "cohort": life.wearer.iom["cohort"], **_led_by(life)}
    elif life.left_ms is None:
        yield row | {"noun": "membership"}
    else:
        yield row | {
            "noun": "membership", "state": "ENDED", "to": _day(life.left_ms), "end_reason": weighted(rng, REASONS),
            "panel": "Selection panel", "panel_date": _day(life.left_ms),
        }  # fmt: skip
    yield {
        "noun": "status", "record": f"status {life.reference}", "status": "COMMUNITY", "from": _day(life.picked_ms),
    }  # fmt: skip


def _assessments(life: Life, rng: Random) -> Iterator[dict[str, Any]]:
    in_two_years = 100 * (1 - math.exp(-2 * life.rate))
    told = min(97.0, max(3.0, in_two_years + rng.gauss(0, 9)))
    harm = max(0.2, rng.gammavariate(1.4, 1.6))
    _, rosh, code = next(row for row in ROSH if harm < row[0])
    row = {
        "noun": "assessment", "record": f"assessment {life.reference}", "source": "Probation Service, at selection",
        "occurred": _day(life.picked_ms), "reoffending": round(told, 1), "serious_harm": round(harm, 1),
    }  # fmt: skip
    if life.wearer is None:
        yield row | {"rosh": rosh}
        return
    yield row | ({"needs": list(life.needs)} if life.needs else {})
    yield from (
        {"noun": "registration", "record": f"{said['code']} {life.reference}", "from": _day(life.picked_ms), **said}
        for said in _registrations(life, code)
    )


def _registrations(life: Life, rosh_code: str) -> Iterator[dict[str, Any]]:
    """Of whoever's life has them; the one of the programme is the membership."""
    assert life.wearer is not None, "the register is of those on probation"
    iom = life.wearer.iom
    yield {"code": rosh_code}
    if iom.get("mappa_category"):
        yield {"code": "MAPP", "level": f"M{iom['mappa_level']}", "category": f"M{iom['mappa_category']}"}
    if {name for _, name in OF_DOMESTIC} & set(iom["agencies"]):
        yield {"code": "ADVP"}


# ---------------------------------------------------------------------------------------------- how somebody lives

CIRCUMSTANCES: Final = {
    "ACCOMMODATION": ("HOUSING", HOUSING, TurnKind.BED_FOUND, TurnKind.BED_LOST),
    "EDUCATION_TRAINING_EMPLOYMENT": ("WORK", JOBCENTRE, TurnKind.JOB_FOUND, TurnKind.JOB_LOST),
    "DRUGS_ALCOHOL": ("TREATMENT", DRUGS, TurnKind.TREATMENT_BEGUN, TurnKind.TREATMENT_LEFT),
    "RELATIONSHIPS_FAMILY": ("RELATIONSHIP", PROBATION, TurnKind.MADE_UP, TurnKind.FELL_OUT),
}  # fmt: skip
"""Of a need: the kind of circumstance, who tells, and the turns at which it begins and ends."""
WHAT: Final = {
    "HOUSING": ("own tenancy", "room in a shared house", "with family", "supported housing"),
    "WORK": ("warehouse", "building site", "kitchen", "garage"),
    "TREATMENT": ("structured treatment",),
    "RELATIONSHIP": ("lives with a partner",),
}


def _circumstances(life: Life, rng: Random) -> Iterator[dict[str, Any]]:
    if not life.was_picked:
        return
    for need, (kind, source, *_) in CIRCUMSTANCES.items():
        for number, (begin_ms, end_ms) in enumerate(had(life, need), 1):
            row = {
                "noun": "circumstance", "record": f"{kind.lower()} {number} {life.reference}", "kind": kind, "from": _text(begin_ms),
                "what": rng.choice(WHAT[kind]), "source": source,
            }  # fmt: skip
            yield row if end_ms is None else row | {"to": _text(end_ms)}


def had(life: Life, need: str) -> Iterator[tuple[int, int | None]]:
    """When somebody had what a need is about; of a need that they do not have: a home and, with work, work all the time."""
    _, _, gained, lost = CIRCUMSTANCES[need]
    since_ms = life.picked_ms if life.begins_well.get(need, _has_without_need(life, need)) else None
    for turn in life.turns if need in life.needs else ():
        if turn.at_ms >= life.begin_ms:
            break  # told when it happens
        if turn.kind is gained and since_ms is None:
            since_ms = turn.at_ms
        elif turn.kind is lost and since_ms is not None:
            yield since_ms, turn.at_ms
            since_ms = None
    if since_ms is not None:
        yield since_ms, None


def _has_without_need(life: Life, need: str) -> bool:
    if need == "ACCOMMODATION":
        return life.wearer is not None
    return need == "EDUCATION_TRAINING_EMPLOYMENT" and life.wearer is not None and life.wearer.work is not None


# ---------------------------------------------------------------------------------------------- what turned


def _of_turns(life: Life, begin_ms: int, rng: Random) -> Iterator[Written]:
    if life.wearer is None:
        return
    yield Written(_plan(life, begin_ms), _officer(life, PROBATION))
    if not any(turn.kind is TurnKind.MISSED and turn.at_ms > begin_ms - 20 * DAY_MS for turn in life.turns):
        at_ms = begin_ms - round(rng.uniform(1, 13)) * DAY_MS
        yield Written(_contact(life, "last", at_ms, "KEPT"), _officer(life, PROBATION))
    for number, turn in enumerate(life.turns, 1):
        by = _officer(life, TURNS[turn.kind].agency)
        known_ms = None if turn.at_ms < begin_ms else min(turn.at_ms + WRITTEN_AFTER_MS, life.end_ms)
        for row in (_note(life, number, turn), *_contacts(life, number, turn), *_tasks(life, number, turn, rng)):
            yield Written(row, by, known_ms)
        if known_ms is not None and turn.need is not None:
            yield Written(_plan(life, turn.at_ms + 1), _officer(life, PROBATION), known_ms)
            yield from (Written(row, By(), known_ms) for row in _ended(life, turn))


def _officer(life: Life, agency: str) -> By:
    """Who writes for an agency: who leads, if it is theirs; of an agency with which the person is not shared, who leads too."""
    led = _led_by(life)
    if agency not in agencies_of(life) or agency == led["lead_agency"]:
        return By(led["lead_officer"], led["lead_agency"])
    rng = dice(life.seed, f"officer of {agency}")
    return By(f"{rng.choice(OFFICER_GIVEN)} {rng.choice(OFFICER_FAMILY)}", agency)


def _note(life: Life, number: int, turn: Turn) -> dict[str, Any]:
    told = TURNS[turn.kind]
    return {
        "noun": "note", "record": f"note {number} {life.reference}", "kind": told.about, "occurred": _text(turn.at_ms),
        "text": told.note if turn.offence is None else f"{turn.words.capitalize()}. {told.note}", "lawful_basis": LAWFUL_BASIS,
    }  # fmt: skip


def _contacts(life: Life, number: int, turn: Turn) -> Iterator[dict[str, Any]]:
    """What a turn was seen by: appointments and tests, the last on its day."""
    days, outcome, test = {
        TurnKind.MISSED: ((2, 0), "UNACCEPTABLE_ABSENCE", None),
        TurnKind.KEPT: ((28, 14, 0), "KEPT", None),
        TurnKind.POSITIVE: ((0,), "KEPT", True),
        TurnKind.NEGATIVE: ((14, 0), "KEPT", False),
    }.get(turn.kind, ((), "", None))
    for nth, ago in enumerate(days):
        at_ms = turn.at_ms - ago * DAY_MS - HOUR_MS
        row = _contact(life, f"{number}-{nth}", at_ms, outcome)
        yield row if test is None else row | {"kind": "drug test", "with_agency": DRUGS, "test_positive": test}


def _contact(life: Life, name: str, at_ms: int, outcome: str) -> dict[str, Any]:
    return {
        "noun": "contact", "record": f"contact {name} {life.reference}", "kind": "office appointment", "with_agency": PROBATION,
        "outcome": outcome, "occurred": _text(at_ms),
    }  # fmt: skip


def _tasks(life: Life, number: int, turn: Turn, rng: Random) -> Iterator[dict[str, Any]]:
    """Of a turn for the worse: what somebody does about it, done where things turned well again."""
    told = TURNS[turn.kind]
    if told.task is None or turn.at_ms < life.end_ms - TASKS_OF_DAYS * DAY_MS:
        return
    healed = next((one for one in life.turns[number:] if one.is_better and one.need == turn.need), None)
    row = {
        "noun": "task", "record": f"task {number} {life.reference}", "title": told.task,
        "for_agency": _officer(life, told.agency).agency,
    }  # fmt: skip
    if healed is not None and healed.at_ms < life.begin_ms:
        yield row | {"state": "DONE", "evidence": healed.words, "due": _text(turn.at_ms + 7 * DAY_MS)}
    else:
        due_ms = max(turn.at_ms, life.end_ms) + round(rng.uniform(0.2, 6) * DAY_MS)
        yield row | {"state": "ACCEPTED", "due": _text(due_ms)}


def _ended(life: Life, turn: Turn) -> Iterator[dict[str, Any]]:
    """A circumstance that ends, or begins, while the tag is worn."""
    if turn.kind is TurnKind.FELL_OUT:
        spans = list(had(life, "RELATIONSHIPS_FAMILY"))
        if spans and spans[-1][1] is None:
            row = {
                "noun": "circumstance", "record": f"relationship {len(spans)} {life.reference}", "kind": "RELATIONSHIP",
                "what": WHAT["RELATIONSHIP"][0], "source": PROBATION,
            }  # fmt: skip
            yield row | {"from": _text(spans[-1][0]), "to": _text(turn.at_ms)}


def _plan(life: Life, until_ms: int) -> dict[str, Any]:
    """As it stands by an instant: a goal for each need, and the order."""
    kept = {
        "what": "Keeps to the order", "strand": "CONTROL",
        "steps": [{"step": "order", "what": "The tag is looked at each day", "agency": POLICE, "state": "IN_PROGRESS"}],
    }  # fmt: skip
    goals = [_goal(life, need, until_ms) for need in life.needs]
    due_ms = life.end_ms + round(dice(life.seed, f"review of {life.reference}").uniform(-2, REVIEW_DAYS - 2)) * DAY_MS
    agreed = dice(life.seed, f"agreed {life.reference}").random() < 0.85
    return {
        "noun": "plan", "record": f"plan {life.reference}", "goals": [kept, *goals], "agreed": agreed, "due": _day(due_ms),
        "reviewed_on": _day(due_ms - REVIEW_DAYS * DAY_MS),
    }  # fmt: skip


def _goal(life: Life, need: str, until_ms: int) -> dict[str, Any]:
    what, strand, step, agency = GOALS[need]
    turned = [turn for turn in life.turns if turn.need == need and turn.at_ms < until_ms]
    said: dict[str, Any] = {
        "step": need.lower(),
        "what": step,
        "agency": _officer(life, agency).agency,
        "state": "IN_PROGRESS",
    }
    if turned and TURNS[turned[-1].kind].completes:
        said |= {"state": "COMPLETED"}
    if turned:
        said |= {"evidence": f"{turned[-1].words}, {_day(turned[-1].at_ms)}"}
    return {"what": what, "strand": strand, "pathway": need, "steps": [said]}


# ---------------------------------------------------------------------------------------------- offences


def _of_offences(life: Life, begin_ms: int, rng: Random) -> Iterator[Written]:
    for number, one in enumerate(life.offences, 1):
        known_ms = None if one.at_ms < begin_ms else min(one.at_ms + WRITTEN_AFTER_MS, life.end_ms)
        yield Written(_offence(life, number, one, rng), By(), known_ms)


def _offence(life: Life, number: int, one: Offended, rng: Random) -> dict[str, Any]:
    proven_ms = one.at_ms + round(rng.gammavariate(2.0, 45.0)) * DAY_MS
    row = {
        "noun": "offence", "record": f"offence {life.reference}-{number}", "kind": one.kind, "occurred": _text(one.at_ms),
    }  # fmt: skip
    if proven_ms >= life.end_ms:
        return row | {"outcome": "CHARGED"}
    cautioned = rng.random() < 0.15
    return row | {
        "outcome": "CAUTIONED" if cautioned else "CONVICTED", "proven_on": _day(proven_ms), "is_non_custodial": True,
    }  # fmt: skip


def _day(at_ms: int) -> str:
    return f"{datetime_of(at_ms):%Y-%m-%d}"


def _text(at_ms: int) -> str:
    return datetime_of(at_ms).isoformat(timespec="seconds").replace("+00:00", "Z")
