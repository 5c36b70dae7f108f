"""A contact: an appointment with an agency, and what came of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import states


class Outcome(StrEnum):
    KEPT = "KEPT"
    ACCEPTABLE_ABSENCE = "ACCEPTABLE_ABSENCE"
    UNACCEPTABLE_ABSENCE = "UNACCEPTABLE_ABSENCE"
    ATTENDED_DID_NOT_COMPLY = "ATTENDED_DID_NOT_COMPLY"
    NOT_RECORDED = "NOT_RECORDED"


class Contact(Content, frozen=True):
    """`code`: as the system that sent it calls it. `finding_no`: of an attendance that was not kept, for an officer to decide.
    `test_positive`: of a test that was taken; None: none was."""

    kind: str
    with_whom: str | None = None
    with_agency: str | None = None
    outcome: Outcome = Outcome.NOT_RECORDED
    code: str | None = None
    finding_no: int | None = None
    test_positive: bool | None = None


CONTACT: Final = Noun(
    "contact", Contact, states("RECORDED", {"RECORDED": "WITHDRAWN", "WITHDRAWN": "RECORDED"}), happens=True
)
"""WITHDRAWN: the finding that it came from is."""
