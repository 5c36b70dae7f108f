"""The kernels say the same as plain Python as they do compiled, and both say what Shapely says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import shapely

from geofence.shapes.geojson import zone_from_geojson
from geofence.shapes.margins import contained, margins_m, masks_of, verdicts
from geofence.shapes.packing import packed
from geofence.shapes.set_building import build
from geofence.shapes.zone_sets import Member
from geofence.sweep.duties import duties_of
from geofence.sweep.following import Sweep
from tests import lattice
from tests.test_geometry import SHAPES, away
from tests.test_sweep import START_MS, judged, plan, positions_of, wandered
from tests.test_zone_sets import scattered, union_of

ROOT = Path(__file__).parent.parent
Answers = dict[str, npt.NDArray[np.generic]]
HERE = [(-2.18, 53.0), (177.0, -35.0), (0.0, 0.0), (20.0, 80.0)]


def answers() -> Answers:
    """What the kernels say of a sample, by the question."""
    return of_the_lattice() | of_personal_zones() | of_a_set() | of_a_sweep()


def drawn() -> tuple[lattice.Lattice, npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A few lattice polygons, their probes (polygons, probes, 2), and the same as degrees (polygons × probes, 2)."""
    world = lattice.lattice(8, 5)
    probes = np.broadcast_to(lattice.probes(), (len(world.at), len(lattice.probes()), 2))
    return world, probes, lattice.degrees((probes + world.at[:, None]).reshape(-1, 2))


def of_the_lattice() -> Answers:
    world, probes, places = drawn()
    areas = [lattice.placed(shape, at) for shape, at in zip(world.polygons, world.at, strict=True)]
    zone_set = build([Member(f"{i:02d}", one) for i, one in enumerate(areas)], root_bits=2)
    wearer = np.repeat(np.arange(len(areas), dtype=np.int32), probes.shape[1])
    return {
        "sides of personal zones": contained(packed(areas), np.arange(len(areas) + 1), wearer, *places.T)[:, 0] == 1,
        "sides of a set": zone_set.contains(*places.T),
        "margins of a lattice": zone_set.margins_m(*places[::7].T),
    }


def of_personal_zones() -> Answers:
    said: Answers = {}
    for at, (lon_deg, lat_deg) in enumerate(HERE):
        rng = np.random.default_rng(at)
        shapes = [SHAPES[shape](lon_deg, lat_deg, size) for shape in sorted(SHAPES) for size in (30.0, 900.0)]
        widen_m = rng.choice([0.0, 100.0], len(shapes))
        zones = packed([zone_from_geojson(shape) for shape in shapes], widen_m)
        far_m = 500 * np.abs(rng.normal(size=60)) + rng.choice([0.0, 30_000.0, 9e6], 60, p=[0.8, 0.1, 0.1])
        lon, lat = np.array([away(lon_deg, lat_deg, rng.uniform(0, 360), metres) for metres in far_m]).T
        margin_m = margins_m(zones, lon, lat)
        radius_m = np.where(
            rng.random(60) < 0.5,
            np.abs(margin_m[np.arange(60), np.arange(60) % 8]),
            rng.choice([5.0, 300.0, 20_000.0], 60),
        )
        masks = masks_of(zones, np.array([0, len(shapes)]), np.zeros(60, np.int32), lon, lat, radius_m)
        expected = verdicts(margin_m + widen_m, radius_m.reshape(-1, 1))
        powers = 1 << np.arange(len(shapes), dtype=np.uint64)
        said |= {f"inside {at}": masks.inside, f"unknown {at}": masks.unknown, f"margins {at}": margin_m}
        said |= {
            f"expected inside {at}": (expected == 1) @ powers,
            f"expected unknown {at}": (expected == 0) @ powers,
        }
    return said


def of_a_set() -> Answers:
    rng = np.random.default_rng(3)
    members = scattered(-2.18, 53.0, 300.0, 1, 3)
    zone_set = build(members, root_bits=2)
    lon, lat = np.array([away(-2.18, 53.0, rng.uniform(0, 360), 900 * abs(rng.normal())) for _ in range(120)]).T
    margin_m = zone_set.margins_m(lon, lat)
    radius_m = np.where(rng.random(120) < 0.5, np.abs(margin_m), rng.choice([5.0, 300.0, 20_000.0], 120))
    return {
        "margins of a set": margin_m,
        "verdicts of a set": zone_set.verdicts(lon, lat, radius_m),
        "expected verdicts of a set": verdicts(margin_m, radius_m),
        "expected verdicts of a wider set": verdicts(margin_m + 70.0, radius_m),
        "margins on all members": margins_m(packed([union_of(members)]), lon, lat)[:, 0],
        "verdicts of a wider set": zone_set.verdicts(lon, lat, radius_m, 70.0),
    }


def of_a_sweep() -> Answers:
    now_ms = START_MS + 100 * 3_600_000
    plans, walked = [plan("W0"), plan("W1")], [wandered(1, 60), wandered(2, 60)]
    sweep = Sweep(duties_of(plans, now_ms))
    ended = sweep.feed(positions_of(walked))
    told = [
        (4 * who + int(name[1:]) - 1, *rest)
        for who in range(2)
        for name, *rest in judged(plans[who], [fact for fact in walked[who] if fact.fix_ms <= now_ms], now_ms)
    ]
    violations = np.concatenate([ended, sweep.finish(now_ms)])[:, :5]
    return {"ended": ended, "violations": np.array(sorted(map(tuple, violations))), "judged": np.array(sorted(told))}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """The answers of an interpreter that compiles nothing, in which any warning (an overflow, say) is an error."""
    file = tmp_path_factory.mktemp("plain") / "answers.npz"
    program = "import sys, numpy; from tests.test_plain_kernels import answers; numpy.savez(sys.argv[1], **answers())"
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(file)],
        cwd=ROOT,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    with np.load(file) as kept:
        return dict(kept)


@pytest.fixture(scope="module")
def compiled() -> Answers:
    return answers()


def test_plain_python_says_what_the_compiled_kernels_say_and_overflows_nowhere(
    plain: Answers, compiled: Answers
) -> None:
    assert plain.keys() == compiled.keys()
    for question, answer in compiled.items():
        if answer.dtype == np.float64:
            np.testing.assert_allclose(plain[question], answer, rtol=0, atol=1e-9, err_msg=question)
        else:
            np.testing.assert_array_equal(plain[question], answer, err_msg=question)


def test_the_sample_is_one_in_which_everything_occurs(compiled: Answers) -> None:
    assert set(compiled["verdicts of a set"]) == {-1, 0, 1}
    assert len(compiled["ended"]) > 0
    for at in range(len(HERE)):
        assert compiled[f"inside {at}"].any()
        assert compiled[f"unknown {at}"].any()


def test_plain_python_and_shapely_agree_on_all_sides(plain: Answers) -> None:
    world, probes, _ = drawn()
    shapes = world.polygons[:, None]
    inside = shapely.contains_xy(shapes, probes[..., 0], probes[..., 1]).ravel()
    clear = inside | ~shapely.intersects_xy(shapes, probes[..., 0], probes[..., 1]).ravel()
    for question in ("sides of personal zones", "sides of a set"):
        np.testing.assert_array_equal(plain[question][clear], inside[clear])
    # On the boundary too: ties are broken alike.
    np.testing.assert_array_equal(plain["sides of personal zones"], plain["sides of a set"])
    assert clear.sum() > 2_000


def test_plain_verdicts_are_those_of_plain_margins(plain: Answers) -> None:
    for question, answer in plain.items():
        if question.startswith("expected "):
            np.testing.assert_array_equal(plain[question.removeprefix("expected ")].ravel(), answer, err_msg=question)


def test_plain_margins_on_a_set_are_those_on_the_union_of_its_members(plain: Answers) -> None:
    np.testing.assert_allclose(plain["margins of a set"], plain["margins on all members"], rtol=1e-9, atol=0.02)


def test_a_plain_sweep_finds_what_the_judgement_finds(plain: Answers) -> None:
    np.testing.assert_array_equal(plain["violations"], plain["judged"])
