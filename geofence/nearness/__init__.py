"""Who was near a place, and who was near whom: grades out of positions that are evidence, with how sure they are (docs/near.md)."""

from geofence.nearness.grading import (
    MAX_MPS,
    NAMED,
    RULES,
    Grade,
    Nearness,
    NearRules,
    Spot,
    Trail,
    evident,
    graded,
    graded_all,
    joined,
    trail_of,
)
from geofence.nearness.probability import distances_m, probability_within, sigma_of
from geofence.nearness.together import Togetherness, graded_together

__all__ = [
    "MAX_MPS",
    "NAMED",
    "RULES",
    "Grade",
    "NearRules",
    "Nearness",
    "Spot",
    "Togetherness",
    "Trail",
    "distances_m",
    "evident",
    "graded",
    "graded_all",
    "graded_together",
    "joined",
    "probability_within",
    "sigma_of",
    "trail_of",
]
