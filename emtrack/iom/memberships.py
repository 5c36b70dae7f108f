"""Membership of the programme: a cohort, from when to when, and who leads.

It ends by a panel's decision only, for a listed reason. Who was removed is in no list any more; coming back is a new membership.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Final

from emtrack.forms.iom import Cohort
from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import states


class EndReason(StrEnum):
    """Why a panel removed somebody."""

    RISK_REDUCED = "RISK_REDUCED"
    SENTENCE_ENDED = "SENTENCE_ENDED"
    CRITERIA_NOT_MET = "CRITERIA_NOT_MET"
    MOVED = "MOVED"
    MAPPA_2_3 = "MAPPA_2_3"
    LONG_CUSTODY = "LONG_CUSTODY"
    DEPORTED = "DEPORTED"
    DIED = "DIED"
    IN_ERROR = "IN_ERROR"


class Membership(Content, frozen=True):
    """`end_reason`, `panel`, `panel_date`: of the decision that ended it."""

    cohort: Cohort
    lead_agency: str | None = None
    lead_officer: str | None = None
    deputy: str | None = None
    end_reason: EndReason | None = None
    panel: str | None = None
    panel_date: date | None = None


MEMBERSHIP: Final = Noun("membership", Membership, states("OPEN", {"OPEN": "ENDED", "ENDED": ""}), holds=True)


def trouble_with(content: Membership, state: str, has_end: bool) -> str | None:
    """What does not fit together."""
    by_panel = content.end_reason is not None and content.panel is not None and content.panel_date is not None
    if state == "ENDED" and not (by_panel and has_end):
        return "a membership ends by a panel's decision: say end_reason, panel, panel_date and until when it lasted"
    if state == "OPEN" and (content.end_reason is not None or has_end):
        return "a membership with an end or a reason for it is ENDED"
    return None
