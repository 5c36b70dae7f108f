"""Where somebody is in the eyes of the law: intervals, bitemporal. Custody is a status, not a grade."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from emtrack.iom.noun import Content, Noun
from emtrack.iom.states import states


class StatusKind(StrEnum):
    COMMUNITY = "COMMUNITY"
    REMAND = "REMAND"
    SENTENCED = "SENTENCED"
    RECALLED = "RECALLED"
    UNLAWFULLY_AT_LARGE = "UNLAWFULLY_AT_LARGE"
    WANTED = "WANTED"
    HOSPITAL = "HOSPITAL"
    OUT_OF_AREA = "OUT_OF_AREA"
    DECEASED = "DECEASED"


CUSTODY: Final = frozenset({StatusKind.REMAND, StatusKind.SENTENCED, StatusKind.RECALLED})
AT_LARGE: Final = frozenset({StatusKind.UNLAWFULLY_AT_LARGE, StatusKind.WANTED})


class Status(Content, frozen=True):
    """`place`: such as a prison or a hospital."""

    status: StatusKind
    place: str | None = None


STATUS: Final = Noun("status", Status, states("STATED", {"STATED": "WITHDRAWN", "WITHDRAWN": ""}), holds=True)
