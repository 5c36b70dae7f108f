"""A breach: from finding to outcome on one line. Its next deadline is `due_ms`."""

from __future__ import annotations

from typing import Final

from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import states


class Breach(Content, frozen=True):
    """`findings`, `alerts`: what it rests on. `steps`: what was done when: state to milliseconds. `outcome`: of the court, or why no
    action was taken. `recall`: it asks for a recall to prison."""

    requirement_id: str | None = None
    findings: list[int] = []
    alerts: list[int] = []
    decided_by: str | None = None
    why: str | None = None
    pack: str | None = None
    recall: bool = False
    outcome: str | None = None
    steps: dict[str, int] = {}


STATES: Final = states(
    "TO_DECIDE RECALL_REQUESTED",
    {
        "TO_DECIDE": "NO_ACTION WARNED PACK_IN_PREPARATION RECALL_REQUESTED",
        "WARNED": "PACK_IN_PREPARATION RECALL_REQUESTED CLOSED",
        "PACK_IN_PREPARATION": "PACK_SENT NO_ACTION",
        "PACK_SENT": "HEARING CLOSED",
        "HEARING": "CLOSED",
        "RECALL_REQUESTED": "RECALL_REFUSED RECALLED",
        "RECALLED": "ARRESTED",
        "RECALL_REFUSED": "WARNED CLOSED",
        "ARRESTED": "CLOSED",
        "NO_ACTION": "",
        "CLOSED": "",
    },
)
BREACH: Final = Noun("breach", Breach, STATES, happens=True, is_due=True)


def trouble_with(content: Breach, state: str) -> str | None:
    if state == "NO_ACTION" and not content.why:
        return "a breach without action says why"
    if state == "CLOSED" and not content.outcome:
        return "a breach is closed with an outcome"
    return None
