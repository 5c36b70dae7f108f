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


class Caller(NamedTuple):
    """Who calls: the name of the token or of the account. `form_key`: of a session, stands in each of its forms. `purpose`: for which
    it looks at people, if it was said; `reference`: what that refers to."""

    name: str
    role: Role
    form_key: str | None = None
    purpose: str | None = None
    reference: str | None = None
