"""Who works here: roles, and the one who calls."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """Staff of the monitoring centre; officers of the programme's agencies, and their single point of contact; who audits it, and who
    sets it up."""

    OPERATOR = "operator"
    SUPERVISOR = "supervisor"
    OFFICER = "officer"
    CONTACT = "contact"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


EVERYBODY = frozenset(Role)
READERS = EVERYBODY - {Role.AUDITOR}
"""Who sees alerts and people. Auditors see who looked, and no more."""
STAFF = frozenset({Role.OPERATOR, Role.SUPERVISOR, Role.ADMINISTRATOR})
"""Who works alerts, of everybody."""
ORDER_KEEPERS = frozenset({Role.OFFICER, Role.CONTACT, Role.ADMINISTRATOR})
"""Who enters and varies orders."""
PLANNERS = frozenset({Role.SUPERVISOR, Role.OFFICER, Role.CONTACT, Role.ADMINISTRATOR})
"""Who tries out settings, zones and timetables over past positions. Who only works alerts has no need to."""
OVERSEERS = frozenset({Role.SUPERVISOR, Role.AUDITOR, Role.ADMINISTRATOR})
"""Who sees how others looked."""


class Needs(StrEnum):
    """What a person does before anything else."""

    CODE = "code"
    PASSWORD = "password"
    SECOND_FACTOR = "second factor"


class Caller(NamedTuple):
    """Who calls: the name of the token or of the account. `form_key`: of a session, stands in each of its forms. `credential`: the
    hash of the token or of the session, by which it is asked whether it still holds. `purpose`: for which it looks at people, if it
    was said; `reference`: what that refers to. `agency`: None is the programme itself."""

    name: str
    role: Role
    form_key: str | None = None
    credential: bytes = b""
    needs: Needs | None = None
    purpose: str | None = None
    reference: str | None = None
    agency: str | None = None
