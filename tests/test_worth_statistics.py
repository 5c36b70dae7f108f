"""Intervals, curves and fits against worked examples that were published; the third bar against a simulation."""

from __future__ import annotations

import numpy as np
import pytest

from emtrack.worth.intervals import mean_of, newcombe, ratio_of, wilson
from emtrack.worth.keeping import p_chart
from emtrack.worth.pool import UnfitPool, expected, fitted
from emtrack.worth.survival import kaplan_meier, waits


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_a_share_has_the_score_interval_of_wilson(hits: int, of: int, low: float, high: float) -> None:
    """Newcombe 1998, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17, table I, method 3."""
    share = wilson(hits, of)
    assert share is not None
    assert (share.low, share.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_of_nobody_there_is_no_share() -> None:
    assert wilson(0, 0) is None


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926), ((0, 10), (0, 20), -0.1611, 0.2775), ((10, 10), (0, 20), 0.6791, 1.0000),
    ],
)  # fmt: skip
def test_a_difference_has_the_interval_of_newcombe(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    """Newcombe 1998, Interval estimation for the difference between independent proportions, Statistics in Medicine 17, table II,
    method 10."""
    shares = wilson(*one), wilson(*other)
    assert shares[0] is not None
    assert shares[1] is not None
    found = newcombe(*shares)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_how_long_it_takes_is_the_estimate_of_kaplan_and_meier() -> None:
    """Remission of leukaemia, 6-MP against placebo: Freireich et al. 1963; as worked out in Kleinbaum and Klein, Survival Analysis,
    chapter 2."""
    curve = kaplan_meier([6, 6, 6, 7, 10, 13, 16, 22, 23], [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35])
    at = dict(zip(curve.times, curve.waiting, strict=True))
    expected_at = {6: 0.8571, 7: 0.8067, 10: 0.7529, 13: 0.6902, 16: 0.6275, 22: 0.5378, 23: 0.4482}
    assert {time: round(at[time], 4) for time in expected_at} == expected_at
    assert (curve.within(0.5), curve.within(0.9)) == (23, None), "nine in ten cannot be told: too many are open"
    placebo = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
    assert waits(placebo, []).median == 8


def test_nothing_done_yet_is_no_time_at_all() -> None:
    assert waits([], [1, 2, 3]).median is None
    assert waits([], []) == (0, 0, None, None)


CLAIMS = [7840, 1317, 239, 42, 14, 4, 4, 1]
"""How many of 9,461 holders of a motor insurance policy made 0, 1, 2 … claims in a year."""


def test_what_is_expected_next_is_the_estimate_of_empirical_bayes() -> None:
    """Efron and Hastie 2016, Computer Age Statistical Inference, table 6.1, row "Gamma MLE"; ν = 0.70, σ = 0.31."""
    counts = [claims for claims, holders in enumerate(CLAIMS) for _ in range(holders)]
    spread = fitted(counts, [1.0] * len(counts))
    assert (round(spread.shape, 2), round(1 / spread.rate, 2)) == (0.70, 0.31)
    found = [expected(spread, claims, 1, 1) for claims in range(7)]
    assert found == pytest.approx([0.164, 0.398, 0.633, 0.87, 1.10, 1.34, 1.57], abs=0.006)


def test_a_fit_takes_each_person_for_the_time_that_they_had() -> None:
    chance = np.random.default_rng(7)
    times = chance.uniform(0, 2, 40_000)
    events = chance.poisson(chance.gamma(0.8, 1.6 / 0.8, 40_000) * times)
    spread = fitted(events, times)
    assert (spread.shape, spread.mean) == (pytest.approx(0.8, rel=0.05), pytest.approx(1.6, rel=0.03))


def test_a_pool_that_chance_alone_spreads_expects_the_mean_of_everybody() -> None:
    events = np.random.default_rng(7).poisson(1.0, 20_000)
    assert expected(fitted(events, np.ones(20_000)), 8, 1, 1) == pytest.approx(1.0, abs=0.2)
    with pytest.raises(UnfitPool):
        fitted([0, 0], [1, 1])


def test_the_worst_of_a_pool_improve_by_themselves_and_the_third_bar_says_by_how_much() -> None:
    """IOM.md: choosing the worst 730 of 20,000 gives -27.4 % by itself (gamma shape 0.8, mean 1.6; standard deviation 1.3)."""
    chance = np.random.default_rng(2026)
    changes, beyond, covered = [], [], 0
    for _ in range(40):
        rates = chance.gamma(0.8, 2.0, 20_000)
        before, after = chance.poisson(rates), chance.poisson(rates)
        worst = np.argsort(-before, kind="stable")[:730]
        spread = fitted(before, np.ones(20_000))
        changes.append(100 * (after[worst].mean() / before[worst].mean() - 1))
        gap = mean_of([after[no] - expected(spread, before[no], 1, 1) for no in worst])
        assert gap is not None
        beyond.append(gap.value / after[worst].mean())
        covered += gap.low <= 0 <= gap.high
    assert np.mean(changes) == pytest.approx(-27.4, abs=4 * 1.3 / np.sqrt(40))
    assert np.std(changes) == pytest.approx(1.3, abs=0.5)
    assert abs(np.mean(beyond)) < 0.01, "nothing worked, and the third bar says so"
    assert covered >= 34, "of 40 intervals of 95 %"


def test_the_bootstrap_is_over_people_and_the_same_at_every_reading() -> None:
    amounts = [0.0] * 90 + [10.0] * 10
    found = mean_of(amounts)
    assert found == mean_of(amounts)
    assert found is not None
    assert found.value == 1.0
    # The normal approximation: 1.96 standard errors of 3/10 to each side.
    assert (found.low, found.high) == (pytest.approx(0.41, abs=0.15), pytest.approx(1.59, abs=0.15))
    assert ratio_of([1.0, 3.0], [100.0, 300.0], per=100) == (1.0, 1.0, 1.0), "each is drawn with their own time"
    assert mean_of([1.0]) is None
    assert ratio_of([1.0, 1.0], [0.0, 0.0]) is None


def test_the_limits_of_a_p_chart_are_three_standard_errors() -> None:
    """Montgomery, Introduction to Statistical Quality Control, example 7.1: cans of frozen orange juice, 30 samples of 50."""
    bad = [12, 15, 8, 10, 4, 7, 16, 9, 14, 10, 5, 6, 17, 12, 22, 8, 10, 5, 13, 11, 20, 18, 24, 15, 9, 12, 7, 13, 9, 6]
    chart = p_chart((str(no), count, 50) for no, count in enumerate(bad, 1))
    assert chart.centre == pytest.approx(0.2313, abs=5e-5)
    assert (chart.points[0].lower, chart.points[0].upper) == (
        pytest.approx(0.0524, abs=5e-5),
        pytest.approx(0.4102, abs=5e-5),
    )
    assert [point.name for point in chart.points if point.is_outside] == ["15", "23"]
