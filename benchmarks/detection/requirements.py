"""On which side of its zone a requirement is broken, and how far positions are past its boundary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from geofence import ObligationKind, Requirement
from geofence.judgement import Places


def is_exclusion(requirement: Requirement) -> bool:
    return requirement.kind is ObligationKind.EXCLUSION


COMPARED = (ObligationKind.EXCLUSION, ObligationKind.INCLUSION, ObligationKind.CURFEW)
"""What everybody can judge by the side on which positions lie. How long somebody stayed, only the core can."""


def margins_m(
    requirements: Sequence[Requirement], lon_deg: npt.ArrayLike, lat_deg: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    return Places(requirements).margins_m(lon_deg, lat_deg)
