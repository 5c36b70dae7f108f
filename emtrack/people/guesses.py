"""How often a password may be guessed wrongly: from one source with one name, from one source, and by all together.

No name can be locked by somebody else: only who guessed from a source waits there, with that name. Who has logged in with a name from
a source lately is known there, and waits for nobody's failures but those of that name and source. A guess is charged before it is
checked, so that guesses side by side are counted like guesses one after the other, and given back when it was right. Counts are in
memory, as the service is one process; failures are on record, and a start takes those of the last quarter of an hour from there
(`remember`). What was typed as a name and is none is not on record: such failures count for their source and for all.
"""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

WITHIN_S = 900.0
OF_A_NAME = 5
OF_A_SOURCE = 40
"""A source may be the address of an office."""
OF_ALL = 400


class TooManyGuesses(Exception):
    """The message says what to do, and not whether the name exists. `retry_after_s`: when one more is taken."""

    def __init__(self, what: str, retry_after_s: int) -> None:
        super().__init__(what)
        self.retry_after_s = retry_after_s


class _Budget:
    """Guesses of the last `WITHIN_S`, the oldest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.spent: deque[float] = deque()

    def waits_s(self, now_s: float) -> float:
        """How long until one more is taken; 0: now."""
        while self.spent and self.spent[0] <= now_s - WITHIN_S:
            self.spent.popleft()
        return 0.0 if len(self.spent) < self._most else self.spent[0] + WITHIN_S - now_s


class Failure(NamedTuple):
    """A wrong guess that is on record. `name`: None where there is no such account."""

    source: str
    name: str | None
    ago_s: float


class Charged(NamedTuple):
    """A guess that was charged, and where."""

    budgets: tuple[_Budget, ...]
    at_s: float

    def give_back(self) -> None:
        """It was right."""
        for budget in self.budgets:
            if self.at_s in budget.spent:
                budget.spent.remove(self.at_s)


class Guesses:
    """The budgets of all."""

    def __init__(self, stopwatch: Callable[[], float] = time.monotonic) -> None:
        self._stopwatch = stopwatch
        self._all = _Budget(OF_ALL)
        self._of: dict[bytes, _Budget] = {}

    def remember(self, failures: Iterable[Failure]) -> None:
        """What failed before the service started, the oldest first. It counts for all budgets: who was known is not kept."""
        now_s = self._stopwatch()
        for failure in failures:
            budgets = [self._budget(OF_A_SOURCE, failure.source), self._all]
            if failure.name is not None:
                budgets.append(self._budget(OF_A_NAME, failure.source, failure.name))
            for budget in budgets:
                budget.spent.append(now_s - failure.ago_s)

    def charge(self, source: str, name: str, *, is_known: bool) -> Charged:
        """One guess. `is_known`: this name has logged in from this source lately. Raises TooManyGuesses; then it is not charged."""
        now_s = self._stopwatch()
        self._forget(now_s)
        budgets = [self._budget(OF_A_NAME, source, name)]
        if not is_known:
            budgets += [self._budget(OF_A_SOURCE, source), self._all]
        waits_s = max(budget.waits_s(now_s) for budget in budgets)
        if waits_s > 0:
            minutes = -int(-waits_s // 60)
            whose = "with this name from here" if budgets[0].waits_s(now_s) else "from here"
            raise TooManyGuesses(
                f"Too many failed logins {whose}. Wait {minutes} minute{'s' * (minutes > 1)}, or ask for a new password.",
                int(waits_s) + 1,
            )
        for budget in budgets:
            budget.spent.append(now_s)
        return Charged(tuple(budgets), now_s)

    def _forget(self, now_s: float) -> None:
        """Budgets of which nothing is spent: so no more are kept than guesses of all, and of those who are known."""
        self._of = {key: budget for key, budget in self._of.items() if budget.waits_s(now_s) or budget.spent}

    def _budget(self, most: int, *whose: str) -> _Budget:
        key = hashlib.blake2b("\0".join(whose).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        return self._of.setdefault(key, _Budget(most))


def source_of_address(address: str) -> str:
    """What is counted as one source: an address, of IPv6 the network of 64 bits, which one subscriber has."""
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(read, ipaddress.IPv6Address) and read.ipv4_mapped is not None:
        return str(read.ipv4_mapped)
    return str(read) if read.version == 4 else str(ipaddress.ip_network((read, 64), strict=False))
