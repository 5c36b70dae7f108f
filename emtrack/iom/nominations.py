"""A nomination: somebody is proposed for the programme, and a panel decides, with its date and reason."""

from __future__ import annotations

from datetime import date

from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import states


class Nomination(Content, frozen=True):
    """`scores`: of predictors at that time, by their names. `panel`, `panel_date`, `panel_reason`: of the last step."""

    reason: str
    nominated_by: str | None = None
    offence_kind: str | None = None
    scores: dict[str, float] = {}
    panel: str | None = None
    panel_date: date | None = None
    panel_reason: str | None = None


STATES = states(
    "NEW",
    {
        "NEW": "SCREENED DECLINED",
        "SCREENED": "ACCEPTED DECLINED DEFERRED",
        "DEFERRED": "SCREENED ACCEPTED DECLINED",
        "ACCEPTED": "",
        "DECLINED": "",
    },
)
DECIDED = frozenset({"ACCEPTED", "DECLINED", "DEFERRED", "SCREENED"})
"""Each with panel, date and reason."""
NOMINATION = Noun("nomination", Nomination, STATES, happens=True)


def trouble_with(content: Nomination, state: str) -> str | None:
    """What a step of a nomination lacks."""
    if state in DECIDED and not (content.panel and content.panel_date and content.panel_reason):
        return f"a nomination that is {state} says by which panel, when and why (panel, panel_date, panel_reason)"
    return None
