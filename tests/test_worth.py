"""The measures by their definitions, each on people whose days are written out."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from emtrack.forms.iom import Cohort, Pathway, RagGrade
from emtrack.iom.circumstances import CircumstanceKind
from emtrack.iom.costs import UNIT_COSTS
from emtrack.iom.offences import OffenceKind
from emtrack.worth.before_after import before_after
from emtrack.worth.career import career, median_career
from emtrack.worth.facts import Due, Month, Step
from emtrack.worth.fairness import age_group, fairness
from emtrack.worth.figures import LEAST_PEOPLE, Measure, Unit, counted, public_cell, public_rows, shared
from emtrack.worth.intervals import wilson
from emtrack.worth.keeping import kept
from emtrack.worth.lives import (
    Circumstances,
    Deed,
    Index,
    Life,
    Needs,
    Selected,
    Spell,
    days_in,
    is_known,
    months_later,
)
from emtrack.worth.money import break_even
from emtrack.worth.process import HOUR_MS, hours_of, on_time
from emtrack.worth.reoffending import reoffending, risk_factors
from emtrack.worth.settling import QUESTIONS, Answer, answer, settled

TODAY = date(2026, 3, 2)
INDEX = date(2024, 1, 10)
PERIOD = date(2023, 1, 1), TODAY


def deed(committed: date, proven: date | None = None, item: int = 1, harm: float | None = 5.0) -> Deed:
    return Deed(item, committed, OffenceKind.VEHICLE, proven, harm)


def life(person: int = 1, *deeds: Deed, index: date | None = INDEX, **more: object) -> Life:
    indexes = () if index is None else (Index(index),)
    return Life(person, deeds=deeds, indexes=indexes, **more)  # type: ignore[arg-type]


def reoffends(*deeds: Deed, index: date = INDEX) -> bool:
    return bool(reoffending([life(1, *deeds, index=index)], *PERIOD, TODAY).reoffended)


# ------------------------------------------------------------------ proven reoffending


@pytest.mark.parametrize(
    ("days", "counts"),
    [(-1, False), (0, True), (1, True), (365, True), (366, False)],
)
def test_an_offence_counts_that_was_committed_within_365_days_of_the_index_date(days: int, counts: bool) -> None:
    committed = INDEX + timedelta(days=days)
    assert reoffends(deed(committed, committed)) is counts


@pytest.mark.parametrize(
    ("proven", "counts"),
    [(date(2025, 7, 9), True), (date(2025, 7, 10), False), (None, False)],
)
def test_it_counts_if_it_was_proven_in_the_year_or_the_six_months_after(proven: date | None, counts: bool) -> None:
    assert INDEX + timedelta(days=365) == date(2025, 1, 9)
    assert reoffends(deed(date(2024, 6, 1), proven)) is counts


def test_the_offence_from_which_the_index_date_comes_is_no_reoffence() -> None:
    cautioned = Life(1, deeds=(deed(INDEX, INDEX, 7),), indexes=(Index(INDEX, 7),))
    assert reoffending([cautioned], *PERIOD, TODAY).reoffended == ()


def test_each_person_counts_once_by_the_first_index_date_in_the_period() -> None:
    twice = Life(1, indexes=(Index(date(2022, 1, 1)), Index(INDEX), Index(date(2024, 5, 1))))
    found = reoffending([twice], *PERIOD, TODAY)
    assert [one.index_date.day for one in found.follow_up.known] == [INDEX]
    assert found.rate is not None
    assert (found.rate.hits, found.rate.of) == (0, 1)


def test_what_came_of_an_index_date_of_less_than_18_months_ago_is_not_yet_known() -> None:
    late = life(2, deed(date(2025, 2, 1), date(2025, 2, 2)), index=date(2025, 1, 1))
    found = reoffending([life(1), late], *PERIOD, TODAY)
    assert (len(found.follow_up.known), [one.person for one in found.follow_up.not_yet]) == (1, [2])
    assert found.reoffended == (), "not even what is proven already counts: the others had less time"
    assert is_known(date(2024, 9, 2), TODAY)
    assert not is_known(date(2024, 9, 3), TODAY)


def test_frequency_and_harm_are_for_each_person_and_at_liberty_for_100_days_free() -> None:
    custody = (Spell(INDEX, INDEX + timedelta(days=165)),)
    one = life(1, deed(date(2024, 8, 1), date(2024, 9, 1), 1, 365.0), deed(date(2024, 9, 1), date(2024, 9, 2), 2, None),
               custody=custody)  # fmt: skip
    found = reoffending([one, life(2)], *PERIOD, TODAY)
    assert found.per_person is not None
    assert found.harm is not None
    assert found.at_liberty is not None
    assert (found.per_person.value, found.harm.value) == (1.0, 182.5)
    assert found.at_liberty.value == pytest.approx(100 * 2 / (200 + 365))
    assert found.without_harm == 1
    assert found.follow_up.known[1].untold_days == 365, "no status is on record"


def test_days_that_lie_in_two_spells_count_once() -> None:
    spells = [
        Spell(date(2024, 1, 1), date(2024, 1, 11)),
        Spell(date(2024, 1, 6), date(2024, 1, 21)),
        Spell(date(2024, 2, 1)),
    ]
    assert days_in(spells, date(2024, 1, 1), date(2024, 2, 6)) == 20 + 5
    assert months_later(date(2024, 8, 31), 6) == date(2025, 2, 28)


def test_needs_count_as_assessed_by_the_index_date() -> None:
    def one(person: int, *needs: Needs, again: bool = False) -> Life:
        deeds = (deed(date(2024, 6, 1), date(2024, 6, 2)),) if again else ()
        return life(person, *deeds, needs=needs)

    before, later = date(2023, 5, 1), date(2024, 3, 1)
    drugs, health = frozenset({Pathway.DRUGS_ALCOHOL}), frozenset({Pathway.HEALTH})
    lives = [
        one(1, Needs(before, health), Needs(date(2023, 6, 1), drugs), again=True), one(2, Needs(before, drugs)),
        one(3, Needs(before, health)), one(4, Needs(later, drugs), again=True), one(5),
    ]  # fmt: skip
    found = risk_factors(reoffending(lives, *PERIOD, TODAY).follow_up.known)
    assert [each.life.person for each in found.not_assessed] == [4, 5]
    factor = next(each for each in found.factors if each.pathway is Pathway.DRUGS_ALCOHOL)
    assert factor.with_it is not None
    assert factor.without is not None
    assert (factor.with_it.hits, factor.with_it.of, factor.without.hits, factor.without.of) == (1, 2, 0, 1)
    assert factor.among_reoffenders is not None
    assert (factor.among_reoffenders.hits, factor.among_reoffenders.of) == (1, 1)


# ------------------------------------------------------------------ before and after


def chosen(person: int, day: date, *deeds: Deed, until: date | None = None, **more: object) -> Life:
    return life(person, *deeds, index=None, selected=(Selected(Cohort.FIXED, Spell(day, until)),), **more)


def test_before_and_after_hold_the_removed_and_leave_out_what_is_not_yet_known() -> None:
    there = [
        chosen(1, INDEX, deed(date(2023, 5, 1), date(2023, 6, 1)), deed(date(2023, 6, 1), date(2023, 6, 2), 2)),
        chosen(2, INDEX, deed(date(2024, 5, 1), date(2024, 6, 1)), until=date(2024, 8, 1)),
        chosen(3, date(2025, 1, 1)),
    ]
    found = before_after(there, there, TODAY)
    assert [(one.life.person, one.before, one.after) for one in found.known] == [(1, 2, 0), (2, 0, 1)]
    assert [one.person for one in found.not_yet] == [3]
    assert found.expected is None, "a pool of the selected alone says nothing of chance"
    assert found.pool is not None
    assert found.pool.trouble is not None


def test_what_is_expected_comes_from_the_whole_pool_and_from_the_time_at_liberty() -> None:
    def pooled(person: int, count: int) -> Life:
        return life(person, *(deed(date(2023, 3 + n, 1), date(2023, 11, 1), n) for n in range(count)), index=None)

    pool = [pooled(no, (0, 0, 0, 1, 2, 6)[no % 6]) for no in range(10, 610)]
    bad = tuple(deed(date(2023, 3 + n, 1), date(2023, 11, 1), n) for n in range(6))
    free, held = chosen(1, INDEX, *bad), chosen(2, INDEX, *bad, custody=(Spell(INDEX, INDEX + timedelta(days=365)),))
    found = before_after([free, held], [free, held, *pool], TODAY)
    assert found.pool is not None
    assert found.pool.spread is not None
    assert found.expected is not None
    assert found.before is not None
    shape, rate = found.pool.spread
    assert found.expected.value == pytest.approx((shape + 6) / (rate + 1) / 2), (
        "nobody is expected to offend in custody"
    )
    assert found.expected.value < found.before.value


def test_a_career_is_counted_by_year_of_age_and_the_programme_is_marked() -> None:
    one = chosen(1, INDEX, deed(date(2020, 6, 1), date(2020, 7, 1)), deed(date(2021, 6, 1)), born=date(2000, 5, 1))
    years = {year.age: year for year in career(one, TODAY)}
    assert (years[20].offences, years[21].offences, max(years)) == (1, 0, 25)
    assert [age for age, year in years.items() if year.in_programme] == [23, 24, 25]
    other = chosen(2, INDEX, born=date(2000, 5, 1))
    assert next(year for year in median_career([one, other], TODAY) if year.age == 20).median == 0.5
    assert career(chosen(3, INDEX), TODAY) == []
    assert career(chosen(4, INDEX, born=date(2004, 2, 29)), TODAY)[-1].age == 22


# ------------------------------------------------------------------ needs, process, compliance, money, fairness


def test_unknown_is_an_answer_of_its_own() -> None:
    night, months, _, _, treatment = QUESTIONS
    released = date(2025, 1, 10)

    def asked(*spells: Spell, question: object = night) -> Answer:
        kind = question.kind  # type: ignore[attr-defined]
        return answer(life(circumstances=tuple(Circumstances(kind, one) for one in spells)), question, released)  # type: ignore[arg-type]

    assert asked() is Answer.UNKNOWN
    assert asked(Spell(date(2025, 1, 10))) is Answer.YES
    assert asked(Spell(date(2024, 1, 1), date(2025, 1, 10))) is Answer.NO
    assert asked(Spell(date(2025, 1, 11))) is Answer.NO
    assert asked(Spell(date(2025, 1, 10), date(2025, 4, 10)), question=months) is Answer.NO
    assert asked(Spell(date(2025, 1, 20), date(2025, 1, 25)), question=treatment) is Answer.YES
    assert asked(Spell(date(2025, 2, 1)), question=treatment) is Answer.NO
    there = life(releases=(released,), circumstances=(Circumstances(CircumstanceKind.HOUSING, Spell(released)),))
    found = settled([there, life(2, releases=(released,)), life(3, releases=(TODAY,))], *PERIOD, TODAY)[0]
    assert (found.people[Answer.YES], found.people[Answer.UNKNOWN], found.not_yet) == ((1,), (2,), ())


def test_what_is_overdue_is_late_and_what_is_not_due_is_in_no_share() -> None:
    dues = [Due(1, 10, 5), Due(1, 10, 15), Due(2, 10, None), Due(3, 99, None)]
    found = on_time(dues, 20)
    assert found.share is not None
    assert (found.share.hits, found.share.of, found.not_due) == (1, 3, 1)
    assert hours_of([Step(1, 0, HOUR_MS), Step(2, 0, None)], 5 * HOUR_MS).open_ == 1


def test_hours_for_which_nobody_could_tell_are_in_neither_part_of_the_share() -> None:
    found = kept(
        [Month(1, "FIXED", "2026-01", 4, 2, 100, 10, 20, 30, 1), Month(2, "FIXED", "2026-01", 0, 0, 0, 0, 0, 0, 0)]
    )
    assert (found.kept, found.untold, found.per_week) == (pytest.approx(70 / 80), 20, (0.5, 0.5, 0.5))
    assert kept([Month(1, "FIXED", "2026-01", 4, 0, 10, 0, 10, 0, 0)]).kept is None, "nothing is known"


def test_money_is_a_range_and_leaves_out_what_has_no_price() -> None:
    mix = [OffenceKind.VEHICLE, OffenceKind.ROBBERY, OffenceKind.SHOPLIFTING]
    found = break_even(500_000, mix, UNIT_COSTS)
    assert found is not None
    assert found.mean_cost == (6_095, 10_805)
    assert [round(crimes, 1) for crimes in found.crimes] == [46.3, 82.0]
    assert (found.priced, found.unpriced) == (2, 1)
    assert break_even(1, [OffenceKind.OTHER], UNIT_COSTS) is None


def test_a_group_stands_beside_all_others_of_the_cohort() -> None:
    lives = [
        life(
            no,
            sex="F" if no < 3 else "M",
            grades=((TODAY - timedelta(days=9), RagGrade.RED),) if no in (1, 5) else (),
        )
        for no in range(8)
    ]
    row = next(
        one
        for one in fairness(lives, date(2025, 3, 2), TODAY)
        if (one.event, one.by, one.group) == ("red was given", "sex", "F")
    )
    assert row.share is not None
    assert row.others is not None
    assert (row.share.hits, row.share.of, row.others.hits, row.others.of, row.hit) == (1, 3, 1, 5, (1,))
    assert [age_group(born, TODAY) for born in (None, date(2008, 3, 3), date(2008, 3, 2), date(1981, 3, 2))] == [
        "not recorded", "under 18", "18 to 24", "45 and over",
    ]  # fmt: skip


# ------------------------------------------------------------------ few people, and the public


def test_below_30_people_there_are_counts_and_no_rates() -> None:
    few = shared("k", "w", wilson(3, 29), rests_on=29)
    assert (few.few, few.count, few.of, few.value, few.low) == (True, 3, 29, None, None)
    assert shared("k", "w", wilson(3, 30), rests_on=LEAST_PEOPLE).value == pytest.approx(10)
    assert shared("k", "w", wilson(90, 300), rests_on=29).value is None, "300 tasks of 29 people are 29 people"


@pytest.mark.parametrize(
    ("count", "cell"),
    [
        (None, ""),
        (0, "fewer than 5"),
        (4, "fewer than 5"),
        (5, "5"),
        (7, "5"),
        (8, "10"),
        (12, "10"),
        (1_234, "1235"),
    ],
)
def test_the_public_sees_no_cell_below_5(count: int | None, cell: str) -> None:
    assert public_cell(count) == cell


def test_the_public_gets_no_rate_of_which_a_small_count_can_be_told() -> None:
    figures = [
        shared("a", "few hits", wilson(3, 100), rests_on=100), shared("b", "few others", wilson(97, 100), rests_on=100),
        shared("c", "enough", wilson(31, 97), rests_on=97, unknown=2), counted("d", "count", 41),
    ]  # fmt: skip
    measure = Measure(key="m", title="M", definition="", figures=tuple(figures))
    rows = {row.figure: row for row in public_rows([measure])}
    assert (rows["few hits"].value, rows["few others"].value) == ("", "")
    assert (rows["enough"].counted, rows["enough"].of, rows["enough"].value) == ("30", "95", "32")
    assert (rows["enough"].not_known, rows["count"].counted, rows["enough"].unit) == (
        "fewer than 5",
        "40",
        Unit.PERCENT,
    )
