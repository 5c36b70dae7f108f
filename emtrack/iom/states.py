"""States of nouns as tables: what may follow what. What is not in a table is loud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from emtrack.errors import MendableError


class NoTransition(MendableError, ValueError):
    """A state that does not follow from the one before."""

    exit_code = 2


class States(NamedTuple):
    """`begin`: in which of them an item may begin. `after`: what may follow each; nothing follows the last ones.

    A version that stays in its state is a correction, and is always allowed.
    """

    begin: frozenset[str]
    after: Mapping[str, frozenset[str]]

    def check(self, noun: str, before: str | None, then: str | None) -> None:
        """`before` None: the item is new. Raises NoTransition."""
        self.check_known(noun, then)
        if before is None:
            if then not in self.begin:
                raise NoTransition(f"a {noun} does not begin as {then}; expected {' or '.join(sorted(self.begin))}")
        elif then is not None and then != before and then not in self.after[before]:
            allowed = " or ".join(sorted(self.after[before])) or "nothing: it has ended"
            raise NoTransition(f"a {noun} that is {before} does not become {then}; expected {allowed}")

    def check_known(self, noun: str, state: str | None) -> None:
        """Of what comes from another system, which may begin in any state: its earlier ones are there. Raises NoTransition."""
        if state not in self.after:
            raise NoTransition(f"{state!r} is no state of a {noun}; expected one of {', '.join(self.after)}")


def states(begin: str, table: Mapping[str, str]) -> States:
    """Of names with spaces between them."""
    return States(frozenset(begin.split()), {state: frozenset(after.split()) for state, after in table.items()})


NO_STATES: Final = None
"""Of nouns that only are, and are corrected."""
