"""How long a fresh interpreter takes to the first fix that is judged."""

from __future__ import annotations

import statistics
import subprocess
import sys
from typing import NamedTuple

from benchmarks.geofence.timing import ROUNDS

_NUMBA = "import time; s = time.perf_counter(); import numba; print(time.perf_counter() - s)"

_FIRST_FIX = """
import time
start = time.perf_counter()
from geofence.facts import Position
from geofence.judgement.judge import judge_history
from geofence.obligations import Activation, Plan, Requirement
from geofence.words import Mechanism, ObligationKind
from geofence.zones import Disc
requirement = Requirement("", "", "", ObligationKind.EXCLUSION, 0, 1, Disc((0.0, 0.0), 1.0))
judge_history(Plan(Activation("", "", "", 0, 1), (requirement,)), [Position(0, 0.0, 1.0, None, Mechanism.GPS, 0)], 0)
print(time.perf_counter() - start)
"""

_SERVICE = """
import time
start = time.perf_counter()
from emtrack.service.app import warm_up
warm_up()
print(time.perf_counter() - start)
"""


class ColdStart(NamedTuple):
    """Seconds in fresh interpreters with a warm cache, medians: `import numba`; the core imported and its first fix judged; the
    same with all that the service imports."""

    numba_s: float
    core_s: float
    service_s: float


def cold_start() -> ColdStart:
    def taken(code: str) -> float:
        run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        return float(run.stdout)

    programs = (_NUMBA, _FIRST_FIX, _SERVICE)
    for program in programs:
        taken(program)
    rounds = [[taken(program) for program in programs] for _ in range(ROUNDS)]
    return ColdStart(*(statistics.median(column) for column in zip(*rounds, strict=True)))
