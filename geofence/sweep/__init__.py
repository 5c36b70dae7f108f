"""Violations of very many wearers in one go over their positions: replay, what-if and audit."""

from geofence.sweep.duties import MOST_ZONES, Duties, duties_of, requirements_of
from geofence.sweep.evidence import MECHANISMS, Received, evidence_of
from geofence.sweep.following import Positions, Sweep
from geofence.sweep.history import Known, judge_columns, judge_known
from geofence.sweep.violations import KINDS, findings_of

__all__ = [
    "KINDS",
    "MECHANISMS",
    "MOST_ZONES",
    "Duties",
    "Known",
    "Positions",
    "Received",
    "Sweep",
    "duties_of",
    "evidence_of",
    "findings_of",
    "judge_columns",
    "judge_known",
    "requirements_of",
]
