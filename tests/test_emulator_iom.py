"""IOM records of invented wearers: parts that make sense together, and people who share a caseload."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from emtrack.emulator import World, build_world
from emtrack.emulator.iom import BETTER, FIRST, GRADES, PARTNERS, PATHWAYS, WORSE
from emtrack.emulator.schedule import iso_of
from emtrack.forms.reading import read_orders

START_MS = 1_772_409_600_000


@pytest.fixture(scope="module")
def programme() -> World:
    return build_world(730, 1, START_MS)


@pytest.fixture(scope="module")
def records(programme: World) -> list[dict[str, Any]]:
    return [wearer.iom for wearer in programme.wearers]


def share(rows: list[dict[str, Any]], **wanted: Any) -> float:
    return sum(all(row[name] == value for name, value in wanted.items()) for row in rows) / len(rows)


def test_the_form_of_orders_takes_every_record(programme: World) -> None:
    read = read_orders(msgspec.json.encode(programme.orders()).decode(), "orders.json")
    assert len(read.wearers) == 730
    assert all(wearer.iom is not None for wearer in read.wearers)


def test_the_same_seed_gives_the_same_records_and_another_seed_others(records: list[dict[str, Any]]) -> None:
    assert [wearer.iom for wearer in build_world(730, 1, START_MS).wearers] == records
    assert [wearer.iom for wearer in build_world(730, 2, START_MS).wearers] != records


def test_a_grade_is_the_last_of_a_history_of_single_steps_before_the_start(records: list[dict[str, Any]]) -> None:
    assert {len(row["rag_history"]) for row in records} == {1, 2, 3, 4, 5}
    for row in records:
        history = row["rag_history"]
        assert history[-1]["grade"] == row["rag"]
        assert history[-1]["from"] < iso_of(START_MS)
        assert history[0]["reason"] in FIRST
        assert {change["by"] for change in history} == {row["lead_officer"]}
        for before, after in pairwise(history):
            assert before["from"] < after["from"]
            step = GRADES.index(after["grade"]) - GRADES.index(before["grade"])
            assert abs(step) == 1
            assert after["reason"] in (WORSE if step > 0 else BETTER)


def test_whoever_is_prone_to_break_an_order_is_graded_so_more_often(programme: World) -> None:
    prone = [wearer.iom for wearer in programme.wearers if wearer.prone]
    others = [wearer.iom for wearer in programme.wearers if not wearer.prone]
    assert share(prone, rag="RED") > 1.5 * share(others, rag="RED")
    assert share(prone, rag="GREEN") < 0.6 * share(others, rag="GREEN")


def test_mappa_has_a_level_with_a_category_and_level_three_is_rare(records: list[dict[str, Any]]) -> None:
    assert all((row["mappa_category"] is None) == (row["mappa_level"] is None) for row in records)
    third = [row for row in records if row["mappa_level"] == 3]
    assert 0 < len(third) < 0.03 * len(records)
    assert all(row["rag"] == "RED" for row in third)
    flex, fixed = ([row for row in records if row["cohort"] == cohort] for cohort in ("FLEX", "FIXED"))
    managed = [sum(row["mappa_category"] is not None for row in rows) / len(rows) for rows in (flex, fixed)]
    assert managed[0] > 3 * managed[1]


def test_pathways_fit_the_cohort_and_partners_fit_the_pathways(records: list[dict[str, Any]]) -> None:
    by_cohort: dict[str, Counter[str]] = defaultdict(Counter)
    for row in records:
        by_cohort[row["cohort"]].update(row["pathways"])
        assert row["pathways"]
        assert set(row["pathways"]) <= set(PATHWAYS)
        assert row["agencies"][:2] == ["Police", "Probation Service"]
        assert len(set(row["agencies"])) == len(row["agencies"])
        for pathway, partners in PARTNERS.items():
            only_here = {name for _, name in partners} - {
                name for other in row["pathways"] for _, name in PARTNERS[other]
            }
            assert pathway in row["pathways"] or not only_here & set(row["agencies"])
    assert by_cohort["FIXED"]["DRUGS_ALCOHOL"] > 2 * by_cohort["FIXED"]["RELATIONSHIPS_FAMILY"]
    assert by_cohort["FLEX"]["RELATIONSHIPS_FAMILY"] > by_cohort["FLEX"]["FINANCE"]
    everybody = {agency for row in records for agency in row["agencies"]}
    assert 12 <= len(everybody) <= 18


def test_an_officer_leads_25_to_40_cases_for_one_agency(records: list[dict[str, Any]]) -> None:
    cases = Counter(row["lead_officer"] for row in records)
    assert set(cases.values()) <= set(range(25, 41))
    agency: dict[str, set[str]] = defaultdict(set)
    for row in records:
        agency[row["lead_officer"]].add(row["lead_agency"])
    assert {frozenset(names) for names in agency.values()} == {
        frozenset({"Police"}),
        frozenset({"Probation Service"}),
    }


def test_ids_have_forms_that_no_real_system_gives(records: list[dict[str, Any]]) -> None:
    for name in ("pnc", "crn", "nomis", "ecins"):
        assert len({row[name] for row in records}) == len(records)
        assert all(row[name].startswith("DEMO") for row in records)
