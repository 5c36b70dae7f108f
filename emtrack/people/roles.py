"""Who works here: roles, and the one who calls."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """Staff of the monitoring centre; officers of the programme's agencies; who sets it up."""

    OPERATOR = "operator"
    OFFICER = "officer"
    ADMINISTRATOR = "administrator"


EVERYBODY = frozenset(Role)
STAFF = frozenset({Role.OPERATOR, Role.ADMINISTRATOR})
"""Who works alerts."""
ORDER_KEEPERS = frozenset({Role.OFFICER, Role.ADMINISTRATOR})
"""Who enters and varies orders."""


class Needs(StrEnum):
    """What a person does before anything else."""

    CODE = "code"
    PASSWORD = "password"
    SECOND_FACTOR = "second factor"


class Caller(NamedTuple):
    """Who calls: the name of the token or of the account. `form_key`: of a session, stands in each of its forms. `credential`: the
    hash
    of the token or of the session, by which it is asked whether it still holds."""

    name: str
    role: Role
    form_key: str | None = None
    credential: bytes = b""
    needs: Needs | None = None
