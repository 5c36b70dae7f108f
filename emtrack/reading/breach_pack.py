"""What a breach rests on, for a warning and for the pack that goes to a court: findings with how they were decided, contacts that
were missed, and what was done before. As known now; a finding that was withdrawn since is said to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emtrack.iom.breaches import BREACH, Breach
from emtrack.iom.contacts import CONTACT, Contact, Outcome
from emtrack.iom.entries import load, records_of_person
from emtrack.reading.casefile import Basis, basis_of
from emtrack.reading.person_card import PersonCard, person_card
from emtrack.reading.transitions import BreachLine, lines_of
from emtrack.record.device_identifiers import unauthenticated_among
from emtrack.record.findings import FindingVersion, versions_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

BACK_MS: Final = 84 * 86_400_000
"""Contacts and breaches of the twelve weeks before are in a pack."""


class PackFinding(NamedTuple):
    """`versions`: how often it was told. `basis` None: nothing stands behind it. `unauthenticated`: of the facts it rests on, those
    behind which only an identifier stands."""

    finding: FindingVersion
    versions: int
    basis: Basis | None
    unauthenticated: int = 0


class Missed(NamedTuple):
    kind: str
    with_agency: str | None
    at_ms: int


class Before(NamedTuple):
    """An earlier breach, and how it ended."""

    at_ms: int
    state: str
    outcome: str | None


class Pack(NamedTuple):
    """`lacks`: what a pack needs and this has not."""

    line: BreachLine
    card: PersonCard
    findings: list[PackFinding]
    missed: list[Missed]
    before: list[Before]
    lacks: list[str]


async def pack_of(connection: Connection, row: Any, now_ms: int) -> Pack:
    """Of a row of `breach_row`, after the looks are on record."""
    (line,) = await lines_of(connection, [row])
    versions = await versions_of(connection, line.breach.findings)
    facts = {fact_id for told in versions for fact_id in told[-1].finding.evidence}
    lower = await unauthenticated_among(connection, facts)
    found = [
        PackFinding(
            told[-1], len(told), await basis_of(connection, told[-1]),
            sum(fact_id in lower for fact_id in told[-1].finding.evidence),
        )
        for told in versions
    ]  # fmt: skip
    entries = await load(connection, await records_of_person(connection, line.wearer_no), [CONTACT, BREACH])
    since_ms = now_ms - BACK_MS
    missed = [
        Missed(e.content.kind, e.content.with_agency, e.occurred_ms)
        for e in entries
        if isinstance(e.content, Contact) and e.content.outcome is Outcome.UNACCEPTABLE_ABSENCE and e.state != "WITHDRAWN"
        and e.occurred_ms is not None and e.occurred_ms >= since_ms
    ]  # fmt: skip
    before = [
        Before(e.occurred_ms, e.state or "", e.content.outcome)
        for e in entries
        if isinstance(e.content, Breach) and e.item_no != line.item_no and e.occurred_ms is not None
        and e.occurred_ms >= since_ms
    ]  # fmt: skip
    card = await person_card(connection, line.wearer_no, now_ms)
    return Pack(
        line, card, found, sorted(missed, key=lambda one: one.at_ms), sorted(before), _lacks(line, card, found)
    )


def _lacks(line: BreachLine, card: PersonCard, found: list[PackFinding]) -> list[str]:
    withdrawn = sum(one.finding.is_withdrawn for one in found)
    lasting = sum(not one.finding.is_withdrawn and one.finding.finding.end_ms is None for one in found)
    told = {
        "No finding is named: a breach of a tag’s conditions rests on one.": not line.breach.findings,
        "A finding that is named is not on record for you.": len(found) < len(line.breach.findings),
        f"{withdrawn} of the findings {'was' if withdrawn == 1 else 'were'} withdrawn: decide again.": withdrawn > 0,
        f"{lasting} of the findings {'is' if lasting == 1 else 'are'} not over yet.": lasting > 0,
        "What was breached is not said.": not line.breach.why,
        "The order of the court is not on record.": card.details.order is None,
        "No responsible officer is on record.": card.details.responsible_officer is None,
    }
    return [words for words, is_so in told.items() if is_so]
