"""A person: identifiers of other systems, names, and what the fairness table and the career graph need.

Sex and ethnicity are held for these two and for nothing else; no rule reads them. Whether somebody wears a tag is said by
activations. Two records of one person are merged, and unmerged, by an item of its own, so that both histories stay.
"""

from __future__ import annotations

from datetime import date

from emtrack.iom.identifiers import Identifier
from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import states


class Person(Content, frozen=True):
    """`agencies`: with whom the record is shared. `other_names`: as given elsewhere. `ethnicity`: as recorded by the
    source. `lead_officer`, `lead_agency`: of somebody who is in no cohort; a membership says its own."""

    name: str | None = None
    other_names: list[str] = []
    identifiers: list[Identifier] = []
    date_of_birth: date | None = None
    sex: str | None = None
    ethnicity: str | None = None
    agencies: list[str] = []
    lead_officer: str | None = None
    lead_agency: str | None = None


class Merge(Content, frozen=True):
    """The record of the entry is read under `into`, a number of a person, too. `reason`: why they are one person, or are not."""

    into: int
    reason: str


PERSON = Noun("person", Person)
MERGE = Noun("merge", Merge, states("MERGED", {"MERGED": "UNMERGED", "UNMERGED": "MERGED"}))
