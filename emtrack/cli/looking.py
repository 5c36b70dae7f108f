"""Why a command reads where people were: for the record, before it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from emtrack.cli.saying import refuse, who

if TYPE_CHECKING:
    from emtrack.people.looks import Looker

PurposeOption = Annotated[
    str,
    typer.Option(
        help="why you look: COMPLIANCE, SUPERVISION, SAFEGUARDING, INVESTIGATION, COURT, EQUIPMENT or SERVICE "
        "(to run the service itself)"
    ),
]
ReferenceOption = Annotated[str | None, typer.Option(help="what the purpose refers to, such as the number of a case")]


def looker_here(purpose: str, reference: str | None) -> Looker:
    """Who calls, and why. Ends the command if the purpose is none that can be given."""
    from emtrack.people.looks import CHOSEN, LONGEST_REFERENCE, SERVICE, commander

    if purpose not in (*CHOSEN, SERVICE):
        refuse(f"--purpose: {purpose[:60]!r}; expected one of {', '.join((*CHOSEN, SERVICE))}")
    if reference is not None and len(reference) > LONGEST_REFERENCE:
        refuse(f"--reference: it has {len(reference):,} characters; at most {LONGEST_REFERENCE:,} are kept")
    return commander(who(), purpose, reference)
