"""All workloads in one run, as a page's part in markdown."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import numba
import numpy as np
import pyproj
import shapely

from benchmarks.geofence import worlds
from benchmarks.geofence.cold_start import ColdStart, cold_start
from benchmarks.geofence.memory import limits, lines_of_memory
from benchmarks.geofence.personal import PersonalWorld, personal_world, w1
from benchmarks.geofence.postgis import postgis
from benchmarks.geofence.projection import projection
from benchmarks.geofence.scaling import growth, two_threads
from benchmarks.geofence.set_routes import prepared_on_candidates
from benchmarks.geofence.set_worlds import SetWorld, real_world, set_world
from benchmarks.geofence.shared_sets import hits, shared
from benchmarks.geofence.timing import ROUNDS, Line, medians_ns
from geofence.sweep import Sweep

SCHOOLS = 30_000


def report(options: argparse.Namespace) -> list[str]:
    """All that is published, line by line."""
    n, few = options.fixes, options.fixes // 8
    rng = np.random.default_rng(2)
    personal = personal_world(30_000, max(2, n // 30_000), peers=True)
    count = len(personal.fixes.wearer)
    table = w1(personal, count, min(few, count))
    w2 = schools(rng, n)
    table += shared("W2", w2, n, few, ("10", "17", "10"))
    w3 = districts(rng, n)
    table += [candidates_given(w3, n, few), *shared("W3", w3, n, few // 20, ("", "", "15"))[1:]]
    table += [*w4(table), projection(n), two_threads(personal)]
    if options.postgis:
        table.append(postgis(options.postgis, w2, 20_000))
    start = cold_start()
    return [
        machine_line(n), "",
        *lines_of(table), "",
        f"W2: {hits(w2)}. W3: {hits(w3)}.", "",
        *limits(table, touched(personal, w2, w3)), "",
        *memory_and_building(personal, w2, w3, start), "",
        *growth_lines(options.sizes, n),
        *real_lines(options.data),
    ]  # fmt: skip


def schools(rng: np.random.Generator, n: int) -> SetWorld:
    """W2: many small polygons, and places near them."""
    middles = worlds.towns(rng, SCHOOLS)
    rings = list(worlds.blobs(rng, middles, rng.uniform(40, 120, SCHOOLS), 12))
    return set_world(rings, worlds.about(rng, middles, 150.0, n), worlds.radii_like_the_field(rng, n))


def districts(rng: np.random.Generator, n: int) -> SetWorld:
    """W3: a few polygons of very many corners, and places near them."""
    rings = worlds.districts(rng)
    middles = np.array([ring.mean(axis=0) for ring in rings])
    return set_world(rings, worlds.about(rng, middles, 8_000.0, n), worlds.radii_like_the_field(rng, n))


def candidates_given(world: SetWorld, n: int, few: int) -> Line:
    theirs, ours = medians_ns(
        [prepared_on_candidates(world, few), (lambda: world.zone_set.contains(world.lon_deg, world.lat_deg), n)]
    )
    return Line("W3 in/out", ours, "GEOS prepared, candidates given", theirs, "15")


def machine_line(n: int) -> str:
    return (
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, numba {numba.__version__}, "
        f"numpy {np.__version__}, shapely {shapely.__version__} (GEOS {shapely.geos_version_string}), pyproj "
        f"{pyproj.__version__}; {n:,} fixes, medians of {ROUNDS} rounds, one thread"
    )


def megabytes_of(world: PersonalWorld) -> float:
    """Zones and state."""
    return (world.zones.boxes.nbytes + world.zones.shapes.nbytes + Sweep(world.duties).nbytes) / 2**20


def touched(personal: PersonalWorld, w2: SetWorld, w3: SetWorld) -> dict[str, tuple[float, float]]:
    """By workload: lines of memory that a fix touches, and the megabytes in which they are."""
    megabytes = megabytes_of(personal)
    return {
        "W1 in/out, in order of arrival": (5.0, megabytes),
        "W1 full step, in order of arrival": (7.0, megabytes),
        "W2 in/out": lines_of_memory(w2),
        "W3 in/out": lines_of_memory(w3),
    }


def memory_and_building(personal: PersonalWorld, w2: SetWorld, w3: SetWorld, start: ColdStart) -> list[str]:
    return [
        "| memory and building | |",
        "|---|---:|",
        f"| bytes a wearer with 5 zones of 20 corners (zones and state) | {megabytes_of(personal) * 2**20 / 30_000:,.0f} |",
        f"| bytes a small polygon of W2 | {w2.zone_set.nbytes / SCHOOLS:,.0f} |",
        f"| bytes a vertex of W3 | {w3.zone_set.nbytes / w3.vertices:,.0f} |",
        f"| 30,000 polygons of W2 built, s | {w2.built_s:.2f} |",
        f"| W3 built ({w3.vertices:,} vertices), s | {w3.built_s:.2f} |",
        f"| `import numba`, s | {start.numba_s:.2f} |",
        f"| the core imported and its first fix judged, s (ratio; wanted at most 2.5) | {start.core_s:.2f} "
        f"({start.core_s / start.numba_s:.2f}) |",
        f"| the same with all that the service imports, s (ratio) | {start.service_s:.2f} ({start.service_s / start.numba_s:.2f}) |",
    ]


def growth_lines(sizes: Sequence[int], n: int) -> list[str]:
    return [
        "| wearers | full step in order of arrival, ns a fix | bytes a wearer |",
        "|---:|---:|---:|",
        *(f"| {size:,} | {cost_ns:,.0f} | {nbytes:,.0f} |" for size, cost_ns, nbytes in growth(sizes, n)),
    ]


def real_lines(data: str) -> list[str]:
    """The same for real shapes and places, where there are any."""
    real = real_world(Path(data)) if data else None
    if real is None:
        return []
    return [
        "",
        "Real shapes and places: LSOAs of four districts, and street crime with radii like the field's.",
        "",
        *lines_of(shared("LSOA", real, len(real.lon_deg), 25_000, ("", "", ""))),
        "",
        f"LSOA: {hits(real)}.",
    ]


def w4(table: Sequence[Line]) -> list[Line]:
    """All of it for every fix: the sums, each with what it was measured beside."""
    cost = {line.what: line for line in table}
    sets = cost["W2r verdict with radii"], cost["W3r verdict with radii"]
    both_ns, theirs_ns = sum(line.ours_ns for line in sets), sum(line.other_ns for line in sets)
    out = []
    for order, wanted in (("by device", "25"), ("in order of arrival", "15")):
        step = cost[f"W1 full step, {order}"]
        out.append(
            Line(
                f"W4, {order} (sum of W1, W2r, W3r)",
                step.ours_ns + both_ns,
                "the same by shapely",
                step.other_ns + theirs_ns,
                wanted,
            )
        )
    return out


def lines_of(table: Sequence[Line]) -> list[str]:
    out = ["| workload | ours, ns a fix | beside | ns a fix | ratio | wanted |", "|---|---:|---|---:|---:|---:|"]
    for line in table:
        digits = 2 if line.ours_ns < 5 else 0
        out.append(
            f"| {line.what} | {line.ours_ns:,.{digits}f} | {line.other} | {line.other_ns:,.{digits}f} | "
            f"**{line.ratio:,.1f}** | {line.wanted} |"
        )
    return out
