"""A proposal of a grade: what the rules say of the live signals. No machine changes a grade; a person decides, and both are kept."""

from __future__ import annotations

from typing import Final

from emtrack.forms.iom import RagGrade
from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import states


class Proposal(Content, frozen=True):
    """`rules`: of which list they are live, by code. `signals`: numbers of items. `rules_version`: of the settings. `because`: the
    rules in words. `decided_why`: of who decided against it, or when it was withdrawn. `grade_item`: the grade that came of it."""

    grade: RagGrade
    grade_before: RagGrade | None = None
    rules: list[str] = []
    signals: list[int] = []
    rules_version: int = 0
    because: str = ""
    decided_why: str | None = None
    grade_item: int | None = None


STATES: Final = states(
    "OPEN",
    {
        "OPEN": "ACCEPTED DECIDED_AGAINST SUPERSEDED WITHDRAWN",
        "ACCEPTED": "",
        "DECIDED_AGAINST": "",
        "SUPERSEDED": "",
        "WITHDRAWN": "",
    },
)
"""SUPERSEDED: the rules say something else by now. WITHDRAWN: they no longer say anything else than the grade that holds."""
PROPOSAL: Final = Noun("proposal", Proposal, STATES, is_due=True, may_be_narrow=True)
