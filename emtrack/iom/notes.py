"""A case note: what an author of an agency saw or was told. A correction is a new version; nothing is deleted.

Who may read it: everybody with whom the person is shared (ALL), named accounts and agencies (NAMED), the author's agency (OWN), or
the police (POLICE_INTEL). The author always may. Staff of the centre and the programme's own officers are no exception.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from emtrack.iom.noun import Content, Noun


class Visibility(StrEnum):
    ALL = "ALL"
    NAMED = "NAMED"
    OWN = "OWN"
    POLICE_INTEL = "POLICE_INTEL"


class Note(Content, frozen=True):
    """`lawful_basis`: why it may be held and shared. `kind`: such as visit, call, safeguarding, challenge."""

    text: str
    kind: str | None = None
    lawful_basis: str | None = None


NOTE: Final = Noun("note", Note, happens=True, may_be_narrow=True)
