"""Grades beside the truth: on an emulated world, and on real tracks of which most is withheld (docs/near.md)."""

from __future__ import annotations

import pytest

from benchmarks.nearness import DATA, Calibration, Tally, bins_of, birds, buses, emulated, withheld
from geofence.nearness import Grade


def wrongly(tally: Tally, grade: Grade) -> float:
    wrong, right = tally.grades[grade, False], tally.grades[grade, True]
    return wrong / max(1, wrong + right)


def test_in_a_world_p_is_how_often_and_nobody_who_was_there_was_elsewhere() -> None:
    calibration = Calibration([], [])
    tally = emulated("clean", 12, 600, calibration)
    assert wrongly(tally, Grade.INSIDE) <= 0.02
    assert wrongly(tally, Grade.PROBABLY) <= 0.4
    assert tally.grades[Grade.ELSEWHERE, True] == 0
    assert tally.grades[Grade.INSIDE, True] > 30
    for mean, share, count in bins_of(calibration):
        assert abs(mean - share) <= 0.05 + 2 / count**0.5, (mean, share, count)


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data, which is not in the repository")
@pytest.mark.parametrize(("tracks", "every"), [(buses, 5), (birds, 2)], ids=["buses", "birds"])
def test_on_real_tracks_nobody_who_was_there_was_elsewhere_for_certain(tracks: object, every: int) -> None:
    tally = withheld(list(tracks()), every, 800)  # type: ignore[operator]
    assert tally.grades[Grade.ELSEWHERE, True] == 0
    assert tally.grades[Grade.INSIDE, True] > 30
