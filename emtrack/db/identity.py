"""For whom a session of the pages asks: row-level security goes by it (migration 0020).

Whoever takes a connection out of the pool sets it first; the pool clears it when the connection comes back. Nobody: no row.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, NamedTuple


class Identity(NamedTuple):
    """An account or a token with its role and agency (None: of the programme itself)."""

    account: str
    role: str
    agency: str | None


_asking: ContextVar[Identity | None] = ContextVar("asking", default=None)

SET = """
SELECT set_config('emtrack.account', $1, false), set_config('emtrack.role', $2, false), set_config('emtrack.agency', $3, false)
"""


def ask_as(identity: Identity) -> None:
    """From here on in this request."""
    _asking.set(identity)


async def identify(connection: Any) -> None:
    """What is done with each connection out of the pool."""
    identity = _asking.get()
    if identity is not None:
        await identify_as(connection, identity)


async def identify_as(connection: Any, identity: Identity) -> None:
    """A connection of one's own, for as long as it lasts."""
    await connection.execute(SET, identity.account, identity.role, identity.agency or "")
