"""What the compiler makes of the kernels: never of older sources, and nothing in hot loops that does not belong there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from geofence.shapes.compiled import chosen_folder

ROOT = Path(__file__).parent.parent
PRELUDE = """
import json
import numpy as np
from geofence.shapes import kernels, kernels_cells, kernels_near, kernels_sets, kernels_sweep, kernels_zones
"""
MARGIN = """
import json
import numpy as np
from geofence.shapes.kernels_zones import PackedZones, margins_of
zones = PackedZones(np.zeros((1, 8), np.int32), np.zeros(6, np.int32), np.array([[0.0, 0.0, 500.0]]))
margin_m = np.empty((1, 1))
margins_of(zones, np.array([0.01]), np.array([0.0]), margin_m)
print(json.dumps([margin_m[0, 0], sum(margins_of.stats.cache_hits.values())]))
"""
"""The margin of a place 1,113 m from the middle of a circle of 500 m, and whether the kernel came from the cache."""
LLVM = """
import json
import sys
from numba import bool_, float32, float64, int8, int32, int64, njit, types, uint64
from geofence.shapes.kernels_near import Columns, Screened, ScreenedFor, follow_all, screen, unpack
from geofence.shapes.kernels_sets import Cells, Edges, set_contains, set_verdicts
from geofence.shapes.kernels_sweep import FoundViolations, Rules, SweepState, SweptPositions, follow
from geofence.shapes.kernels_zones import Fixes, Masks, PackedZones, Scratch, contains_of, verdicts_of

@njit
def half_of(values):
    return values[::2]

@njit
def counted(values, n):
    return half_of(values) if n else values

def tuple_of(named, *fields):
    return types.BaseTuple.from_types(fields, named)

words, table, wide, wide_table = int32[::1], int32[:, ::1], int64[::1], int64[:, ::1]
metres, masks, mask = float64[::1], uint64[:, ::1], uint64[::1]
zones = tuple_of(PackedZones, table, words, float64[:, ::1])
fixes, scratch = tuple_of(Fixes, words, metres, metres), tuple_of(Scratch, wide, wide)
cells = tuple_of(Cells, wide, words, wide, words)
edges = tuple_of(Edges, table, table, float32[:, ::1], wide)
state = tuple_of(SweepState, wide_table, wide, wide_table, wide_table, wide, float64[:, :, ::1])
positions = tuple_of(SweptPositions, words, wide, metres, metres, bool_[::1])
rules, found = tuple_of(Rules, wide_table, wide_table, wide, int64), tuple_of(FoundViolations, wide_table, wide)
asked = tuple_of(ScreenedFor, *[int64 if name.endswith("_ms") else float64 for name in ScreenedFor._fields])
signatures = {
    counted: (metres, int64),
    verdicts_of: (zones, wide, fixes, metres, tuple_of(Masks, masks, masks), scratch),
    contains_of: (zones, wide, fixes, masks, scratch),
    set_verdicts: (cells, edges, metres, metres, metres, float64, int8[::1], wide_table),
    set_contains: (cells, edges, metres, metres, bool_[::1], wide_table),
    screen: (asked, wide, wide, metres, metres, metres, metres, tuple_of(Screened, bool_[::1], bool_[::1])),
    follow_all: (wide, wide, metres, metres, metres, float64, float64, bool_[::1]),
    unpack: (wide, wide, wide, wide, words, metres, int64, int64, wide, tuple_of(Columns, wide, metres, metres, metres)),
    follow: (state, rules, positions, tuple_of(Masks, mask, mask), int64, found),
}
texts = {}
for function, types in signatures.items():
    if function is counted or function.__name__ in sys.argv[1:]:
        function.compile(types)
        texts[function.__name__] = "".join(function.inspect_llvm().values())
print(json.dumps({name: text.count("NRT_incref") + text.count("NRT_decref") for name, text in texts.items()}))
"""
WARM = (
    PRELUDE
    + """
import tempfile
from pathlib import Path
from numba.core.dispatcher import Dispatcher
from emtrack.service.warm_up import warm_up
from geofence.intervals import Interval
from geofence.nearness import Spot, Trail, evident, graded_all, packed, unpacked
from geofence.obligations import Requirement
from geofence.judgement.places import Places
from geofence.words import ObligationKind
from geofence.shapes.set_building import build
from geofence.shapes.zone_sets import Member, ZoneSet
from geofence.shapes.geojson import zone_from_geojson
from geofence.zones import SetZone
from tests.test_geometry import SHAPES

def compiled():
    return sorted(
        (module.__name__, name, len(one.signatures))
        for module in (kernels, kernels_cells, kernels_near, kernels_sets, kernels_sweep, kernels_zones)
        for name, one in vars(module).items() if isinstance(one, Dispatcher)
    )

warm_up()
before = compiled()
shapes = [zone_from_geojson(shape(-2.18, 53.0, 800.0)) for shape in SHAPES.values()]
made = build([Member(str(i), shape) for i, shape in enumerate(shapes) if type(shape).__name__ == "Area"])
with tempfile.TemporaryDirectory() as folder:
    made.save(Path(folder) / "set")
    kept = ZoneSet.load(Path(folder) / "set", made.content)
    zones = [*shapes, SetZone("schools", "1", made.content)]
    requirements = [
        Requirement("", str(i), "", ObligationKind.EXCLUSION, 0, 1, zone, buffer_m=100.0, widen_m=10.0)
        for i, zone in enumerate(zones)
    ]
    for zone_set in (made, kept):
        places = Places(requirements, {made.content: zone_set})
        lon_deg, lat_deg = np.linspace(-2.2, -2.15, 300), np.linspace(52.99, 53.01, 300)
        for radius_m in (5.0, 500.0, 50_000.0):
            places.verdicts(lon_deg, lat_deg, np.full(300, radius_m))
        places.margins_m(lon_deg, lat_deg)
        places.zone_id(len(shapes), -2.18, 53.0)
trail = Trail(np.arange(5) * 60_000, np.full(5, -2.18), np.full(5, 53.0), np.full(5, 6.0), np.arange(5))
graded_all(Spot(-2.18, 53.0, 100.0), Interval(60_000, 180_000), np.array([0, 2, 5]), trail)
evident(np.array([1, 1, 2, 2, 2]), trail)
(one, other) = packed(0, np.array([1, 1, 2, 2, 2]), trail)
hours, sizes = np.zeros(2, np.int64), np.array([len(one.body), len(other.body)])
unpacked(np.array([2, 1]), hours, sizes, one.body + other.body, Interval(0, 9))
print(json.dumps([list(one) for one in compiled() if one not in before]))
"""
)
HOT = ("verdicts_of", "contains_of", "set_verdicts", "set_contains", "follow", "screen", "follow_all", "unpack")
OPTIONS = (
    PRELUDE
    + """
from numba.core.dispatcher import Dispatcher
modules = kernels, kernels_cells, kernels_near, kernels_sets, kernels_sweep, kernels_zones
print(json.dumps({
    f"{module.__name__}.{name}": sorted(key for key, value in one.targetoptions.items() if value)
    for module in modules for name, one in vars(module).items() if isinstance(one, Dispatcher)
}))
"""
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the core by itself, whose cache is empty."""
    shutil.copytree(ROOT / "geofence", tmp_path / "geofence", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def said(folder: Path, program: str, *arguments: str) -> object:
    """What Python prints as JSON when it runs a program on the sources in a folder."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA", "PYTHON"))}
    environment |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "XDG_CACHE_HOME": str(folder / "xdg")}
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_nothing_is_left_to_compile_when_the_service_listens() -> None:
    assert said(ROOT, WARM) == []


def test_a_kernel_whose_helper_changed_in_another_file_is_compiled_anew(copy: Path) -> None:
    kernels = copy / "geofence" / "shapes" / "kernels.py"
    before = kernels.read_text()
    line = "return 2.0 * ARC_RADIUS_M * math.asin("
    assert before.count(line) == 1
    assert said(copy, MARGIN) == [pytest.approx(500 - 1_113.2, abs=0.1), 0]
    assert said(copy, MARGIN) == [pytest.approx(500 - 1_113.2, abs=0.1), 1]  # the cache is used
    kernels.write_text(before.replace(line, "return 4.0 * ARC_RADIUS_M * math.asin("))
    assert said(copy, MARGIN) == [pytest.approx(500 - 2_226.4, abs=0.1), 0]
    kernels.write_text(before)
    assert said(copy, MARGIN) == [pytest.approx(500 - 1_113.2, abs=0.1), 0]


@pytest.mark.parametrize("names", [("contains_of", "follow"), pytest.param(HOT, marks=pytest.mark.long)], ids=len)
def test_hot_loops_count_no_references(copy: Path, names: tuple[str, ...]) -> None:
    counts = said(copy, LLVM, *names)
    assert isinstance(counts, dict)
    assert counts.pop("counted") > 0  # what is looked for is found where it is
    assert counts == dict.fromkeys(names, 0)


def test_no_kernel_trades_exactness_for_speed_or_starts_threads() -> None:
    options = said(ROOT, OPTIONS)
    assert isinstance(options, dict)
    assert len(options) > 60
    assert {tuple(names) for names in options.values()} == {("nogil", "nopython")}


def test_the_service_does_not_load_data_frames() -> None:
    loaded = said(
        ROOT,
        "import emtrack.service.app, json, sys; print(json.dumps([m for m in ('geopandas', 'pandas') if m in sys.modules]))",
    )
    assert loaded == []


# Where it lies: what is in the cache is run


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A cache beside the sources, and one of the user."""
    return tmp_path / "sources" / "kernels-1", tmp_path / "users" / "kernels-1"


def test_a_cache_that_only_we_may_write_to_is_used(places: tuple[Path, Path]) -> None:
    beside, users = places
    assert chosen_folder(beside, users) == beside
    assert not beside.stat().st_mode & 0o022


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o000])
def test_a_cache_is_believed_again_at_the_next_start_whatever_the_modes_of_the_process(
    places: tuple[Path, Path], umask: int
) -> None:
    beside, users = places
    before = os.umask(umask)
    try:
        folder = chosen_folder(beside, users)
        (folder / "shapes").mkdir()
        (folder / "shapes" / "kernel.nbc").write_bytes(b"code")
        again = chosen_folder(beside, users)
    finally:
        os.umask(before)
    assert again == folder == beside
    assert (again / "shapes" / "kernel.nbc").exists()


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_what_others_could_have_put_into_our_cache_is_thrown_away(places: tuple[Path, Path], mode: int) -> None:
    beside, users = places
    beside.mkdir(parents=True)
    (beside / "planted.nbc").write_bytes(b"code")
    beside.chmod(mode)
    assert chosen_folder(beside, users) == beside
    assert list(beside.iterdir()) == []
    assert not beside.stat().st_mode & 0o022


def test_a_folder_in_which_others_can_put_another_cache_is_not_used(places: tuple[Path, Path]) -> None:
    beside, users = places
    beside.parent.mkdir()
    beside.parent.chmod(0o777)
    assert chosen_folder(beside, users) == users


def test_where_no_place_is_ours_it_lies_in_one_that_ends_with_the_program(places: tuple[Path, Path]) -> None:
    for place in places:
        place.parent.mkdir(exist_ok=True)
        place.parent.chmod(0o777)
    folder = chosen_folder(*places)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder not in places


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a cache of another user")
def test_a_cache_of_another_user_is_neither_used_nor_taken_along(places: tuple[Path, Path]) -> None:
    beside, users = places
    beside.mkdir(parents=True)
    (beside / "planted.nbc").write_bytes(b"code")
    os.chown(beside, 65534, 65534)
    assert chosen_folder(beside, users) == users
    assert list(users.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
def test_a_cache_below_a_folder_of_another_user_is_not_used(places: tuple[Path, Path]) -> None:
    beside, users = places
    beside.mkdir(parents=True)
    os.chown(beside.parent, 65534, 65534)
    assert chosen_folder(beside, users) == users
