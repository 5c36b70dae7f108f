"""Why a version was added although no fact came: "time passed" tells a person nothing."""

from __future__ import annotations

from geofence import Kind
from geofence.judgement import Finding

BY_THE_CLOCK = "time passed"
"""Stands for the reasons below until it is known what changed."""

_BEGAN = {
    Kind.NO_COMMUNICATION: "nothing was received for longer than is allowed",
    Kind.UNVERIFIED: "where the person was had not been known for longer than is allowed",
    Kind.ATTENDANCE: "the person could no longer stay as long as is required",
}
_IN_FORCE = "the obligation began while this was so"
_SETTLED = "no report came in time that says it went on"
_OVER = "the period of the obligation, or the time of the device, ended"
_GRACE = "the time of grace ended"


def why_by_the_clock(was: Finding | None, finding: Finding) -> str:
    """`was`: the version before; None of a new finding."""
    if was is None:
        return _BEGAN.get(finding.kind, _IN_FORCE)
    if was.end_ms == finding.end_ms:
        return _GRACE
    return _OVER if was.unknown_since_ms is None else _SETTLED
