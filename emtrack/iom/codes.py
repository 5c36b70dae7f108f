"""Codes that probation systems speak: registrations and contacts, in and out, so that nobody keys anything twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from emtrack.iom.assessments import Rosh
from emtrack.iom.signals import SignalKind

IOM = "IIOM"
MAPPA = "MAPP"
DOMESTIC_ABUSE = "ADVP"
ROSH_OF: Final = {"RVHR": Rosh.VERY_HIGH, "RHRH": Rosh.HIGH, "RMRH": Rosh.MEDIUM, "RLRH": Rosh.LOW}
LEVELS: Final = {"M1": 1, "M2": 2, "M3": 3}
CATEGORIES: Final = {"M1": 1, "M2": 2, "M3": 3, "M4": 4}
REGISTRATIONS: Final = (IOM, MAPPA, DOMESTIC_ABUSE, *ROSH_OF)

CONTACTS: Final[Mapping[str, str]] = {
    "C145": "curfew violation",
    "EM01": "exclusion zone",
    "EM02": "strap tamper",
    "ICON": "IOM case conference",
    "CAIR": "IOM review",
    "ERFI": "IOM referral",
    "INFFES": "information from the monitoring provider",
    "INFTES": "information to the monitoring provider",
    "C041": "recall requested",
}
CODE_OF_SIGNAL: Final = {
    SignalKind.CURFEW_VIOLATION: "C145",
    SignalKind.EXCLUSION: "EM01",
    SignalKind.STRAP_TAMPER: "EM02",
    SignalKind.RECALL_REQUESTED: "C041",
}
