"""The two kinds of work of a sweep, each in pieces that nobody has to do in a certain order.

Reading: the positions of a bundle are checked and kept apart on the disk, so many wearers in a file. Judging: those wearers, from the
files of all bundles in the order of the bundles, so that who read which changes nothing. Memory holds a batch of rows, or the
positions of so many wearers, in each process.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from emtrack.files.bundles import Bundle
from emtrack.files.columns import FIXES, Activations, Fixes, checked_groups
from emtrack.files.parts import Parts, received_of
from emtrack.forms.lines import LineKey, RefusedRow, keyed_lines
from emtrack.forms.orders import Orders
from emtrack.forms.to_core import plans_of
from geofence import Kind, Plan
from geofence.sweep import Sweep, duties_of, evidence_of, findings_of, requirements_of


class Read(NamedTuple):
    """A bundle that was read: its number, its rows, and how many were refused."""

    number: int
    rows: int
    refused: int


class Judged(NamedTuple):
    """Of some wearers, from plan `first` on: lines of findings in the order of their requirements, with what they are sorted by, and
    how many of a kind; positions that are evidence; seconds in the judge."""

    first: int
    lines: list[tuple[LineKey, bytes]]
    kinds: Counter[Kind]
    evidence: int
    seconds: float


class Workshop:
    """What a process needs for a sweep. The folder is shared by all of them."""

    def __init__(self, orders: Orders, folder: Path, at_once: int, until_ms: int, bundles: int) -> None:
        self._orders = orders
        self._folder = folder
        self._at_once = at_once
        self._until_ms = until_ms
        self._bundles = bundles
        self._plans = plans_of(orders)
        self._activations = Activations(self._plans)

    def __reduce__(self) -> tuple[type[Workshop], tuple[Orders, Path, int, int, int]]:
        """To another process goes what it is made of."""
        return Workshop, (self._orders, self._folder, self._at_once, self._until_ms, self._bundles)

    def read(self, bundle: Bundle) -> Read:
        """Raises FormError for a file that cannot be read."""
        self._of(bundle.number).mkdir()
        parts, rows, refused = Parts(self._of(bundle.number), self._at_once), 0, 0
        with self._refusals(bundle.number).open("wb") as refusals:
            for span in bundle.spans:
                for batch in checked_groups(span.path, span.groups, span.first, self._activations):
                    parts.add(batch.fixes)
                    refusals.writelines(msgspec.json.encode(row) + b"\n" for row in batch.refused)
                    rows += batch.rows
                    refused += len(batch.refused)
        return Read(bundle.number, rows, refused)

    def refused_in(self, number: int) -> Iterator[RefusedRow]:
        """Of a bundle that was read. They were kept on the disk: a file may hold nothing else."""
        with self._refusals(number).open("rb") as file:
            for line in file:
                yield msgspec.json.decode(line, type=RefusedRow)

    def judge(self, first: int) -> Judged:
        """Once all bundles are read. The wearers' files are gone then."""
        parts = [Parts(self._of(number), self._at_once).taken(first) for number in range(self._bundles)]
        plans = self._plans[first : first + self._at_once]
        return _judged(plans, np.concatenate([np.empty(0, FIXES), *parts]), first, self._until_ms)

    def _of(self, number: int) -> Path:
        return self._folder / str(number)

    def _refusals(self, number: int) -> Path:
        return self._folder / f"{number}.refused"


def _judged(plans: Sequence[Plan], fixes: Fixes, first: int, now_ms: int) -> Judged:
    asked = [(plan.activation, requirement) for plan in plans for requirement in requirements_of(plan)]
    requirements = [requirement for _, requirement in asked]
    positions = evidence_of(received_of(fixes, first), now_ms)
    duties = duties_of(plans, now_ms)
    start_s = time.perf_counter()
    following = Sweep(duties)
    rows = np.concatenate([following.feed(positions), following.finish(now_ms)])
    seconds = time.perf_counter() - start_s
    ordered = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    found = [(asked[zone][0], finding) for zone, finding in findings_of(ordered, requirements, now_ms)]
    kinds = Counter(finding.kind for _, finding in found)
    return Judged(first, list(keyed_lines(found)), kinds, len(positions.wearer), seconds)
