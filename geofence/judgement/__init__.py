"""From facts and obligations to findings: evidence, presence, periods, and how findings change."""

from geofence.judgement.amend import Amendments, amendments
from geofence.judgement.evidence import PositionStatus, Track, position_statuses
from geofence.judgement.explain import Sighting, Weighed, Weights, weighed
from geofence.judgement.findings import DEVICE_KINDS, Finding
from geofence.judgement.judge import (
    DEVICE,
    SILENCE,
    ActivationJudge,
    Checkpoint,
    Judged,
    Late,
    NewestVerdict,
    Part,
    Silence,
    State,
    judge_history,
    judges_of,
)
from geofence.judgement.places import NO_SETS, Places, UnknownSet
from geofence.judgement.provisional import as_judged
from geofence.judgement.timetable import DAY_MS, Schedule

__all__ = [
    "DAY_MS",
    "DEVICE",
    "DEVICE_KINDS",
    "NO_SETS",
    "SILENCE",
    "ActivationJudge",
    "Amendments",
    "Checkpoint",
    "Finding",
    "Judged",
    "Late",
    "NewestVerdict",
    "Part",
    "Places",
    "PositionStatus",
    "Schedule",
    "Sighting",
    "Silence",
    "State",
    "Track",
    "UnknownSet",
    "Weighed",
    "Weights",
    "amendments",
    "as_judged",
    "judge_history",
    "judges_of",
    "position_statuses",
    "weighed",
]
