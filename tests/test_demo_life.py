"""One invented life moves the tag and fills the record: nothing on record contradicts it, or names a need that is not there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emtrack.demo.case_rows import Written, agencies_of, had, written
from emtrack.demo.details import with_details
from emtrack.demo.history import MIX
from emtrack.demo.life import AWAY_M, Life, is_treated, lives_of
from emtrack.demo.turns import ALWAYS, TURNS, TurnKind
from emtrack.emulator import World, build_world
from emtrack.emulator.geometry import distance_m, to_frame
from emtrack.emulator.schedule import DAY_MS

START_MS = 1_772_409_600_000
END_MS = START_MS + 6 * DAY_MS


@pytest.fixture(scope="module")
def town() -> World:
    return build_world(730, 1, START_MS, mix=MIX)


@pytest.fixture(scope="module")
def lives(town: World) -> list[Life]:
    return lives_of([town], END_MS)


@pytest.fixture(scope="module")
def records(lives: list[Life]) -> list[tuple[Life, list[Written]]]:
    return [(life, list(written(life, life.begin_ms))) for life in lives]


def of(rows: list[Written], noun: str) -> list[dict[str, Any]]:
    return [one.row for one in rows if one.row["noun"] == noun]


def test_no_reason_note_task_or_step_names_a_need_that_the_person_does_not_have(
    town: World, records: list[tuple[Life, list[Written]]]
) -> None:
    orders = with_details(town, town.orders(), END_MS)
    reasons = {one["wearer_id"]: one["iom"] for one in orders["wearers"]}
    turn_of = {turn.words: turn.need for turn in TURNS.values()}
    named = 0
    for life, rows in records:
        iom = reasons[life.reference]
        assert iom["pathways"] == list(life.needs)
        for given in iom["rag_history"][1:]:
            need = turn_of.get(given["reason"])
            assert need is None or need in life.needs
            named += need is not None
        for goal in of(rows, "plan")[0]["goals"]:
            assert goal.get("pathway") is None or goal["pathway"] in life.needs
        need_of_note = {told.note: told.need for told in TURNS.values()}
        for note in of(rows, "note"):
            assert need_of_note.get(note["text"]) in {None, *life.needs}
        need_of_task = {told.task: told.need for told in TURNS.values()}
        for task in of(rows, "task"):
            assert need_of_task[task["title"]] in {None, *life.needs}
    assert named > 300, "most grades follow from a need"


def test_a_grade_follows_from_a_turn_in_its_direction_that_was_noted(lives: list[Life]) -> None:
    for life in lives:
        grades = life.grades()
        assert [one["grade"] for one in grades] == [step.grade for step in life.steps]
        assert [one["from"] for one in grades] == sorted(one["from"] for one in grades)
        for step, turn in zip(life.steps[1:], life.turns, strict=False):
            assert turn.is_better is step.is_better
            assert 0 < step.at_ms - turn.at_ms < DAY_MS


def test_a_loss_comes_to_who_had_it_and_a_gain_to_who_had_not(lives: list[Life]) -> None:
    for life in lives:
        is_well = dict(life.begins_well)
        for turn in life.turns:
            if turn.need is not None and turn.kind not in ALWAYS:
                assert is_well[turn.need] is not turn.is_better, (life.reference, turn)
                is_well[turn.need] = turn.is_better


def test_what_the_tag_shows_is_so_on_record(lives: list[Life]) -> None:
    """Home, work and treatment when the tag is worn."""
    for life in lives:
        assert life.wearer is not None
        assert list(had(life, "ACCOMMODATION"))[-1][1] is None, "who is home each night has a home"
        work = [end for _, end in had(life, "EDUCATION_TRAINING_EMPLOYMENT")]
        assert (work[-1:] == [None]) is (life.wearer.work is not None)
        if is_treated(life.wearer):
            assert list(had(life, "DRUGS_ALCOHOL"))[-1][1] is None
        if life.wearer.drinks is not None:
            assert "DRUGS_ALCOHOL" in life.needs
            assert "Drug and alcohol service" in agencies_of(life) or "DRUGS_ALCOHOL" in life.wearer.iom["pathways"]


def test_who_is_prone_offends_more_and_nobody_offends_at_home_while_the_tag_is_worn(
    town: World, lives: list[Life]
) -> None:
    prone = [life.rate for life in lives if life.wearer and life.wearer.prone]
    others = [life.rate for life in lives if life.wearer and not life.wearer.prone]
    assert np.mean(prone) > 1.2 * np.mean(others)
    worn = [(life, one) for life in lives for one in life.offences if one.at_ms >= START_MS]
    assert worn
    for life, one in worn:
        lon, lat = town.position(life.reference, np.array([one.at_ms], dtype=np.int64))
        assert life.wearer is not None
        assert distance_m(to_frame(float(lon[0]), float(lat[0])), life.wearer.home) > AWAY_M


def test_a_charge_follows_an_offence_and_a_course_is_done_once(lives: list[Life]) -> None:
    for life in lives:
        kinds = [turn.kind for turn in life.turns]
        assert kinds.count(TurnKind.COURSE) <= 1
        for turn in life.turns:
            if turn.kind is TurnKind.CHARGED:
                assert any(
                    0 < turn.at_ms - one.at_ms <= 14 * DAY_MS and one.kind == turn.offence for one in life.offences
                )


def test_registrations_are_of_those_whose_life_has_them(records: list[tuple[Life, list[Written]]]) -> None:
    for life, rows in records:
        assert life.wearer is not None
        codes = [row["code"] for row in of(rows, "registration")]
        assert codes[0] == "IIOM"
        assert ("MAPP" in codes) is (life.wearer.iom["mappa_category"] is not None)
        assert len([code for code in codes if code in ("RVHR", "RHRH", "RMRH", "RLRH")]) == 1
        domestic = {"Domestic abuse service", "Victim liaison unit"} & set(life.wearer.iom["agencies"])
        assert ("ADVP" in codes) is bool(domestic)


def test_what_happens_while_the_tag_is_worn_is_recorded_after_it_happened(
    records: list[tuple[Life, list[Written]]],
) -> None:
    later = [one for _, rows in records for one in rows if one.at_ms is not None]
    assert len(later) > 100
    for life, rows in records:
        for one in rows:
            if one.at_ms is None and "occurred" in one.row:
                assert one.row["occurred"] < f"{np.datetime64(life.begin_ms, 'ms')}"
