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
from geofence.nearness.hours import FORM, HEAD, HOUR_MS, Heads, Unpacked, away_devices, packed, unpacked
from geofence.nearness.probability import distances_m, probability_within, sigma_of
from geofence.nearness.together import PAIR_MS, Togetherness, graded_together

__all__ = [
    "FORM",
    "HEAD",
    "HOUR_MS",
    "MAX_MPS",
    "NAMED",
    "PAIR_MS",
    "RULES",
    "Grade",
    "Heads",
    "NearRules",
    "Nearness",
    "Spot",
    "Togetherness",
    "Trail",
    "Unpacked",
    "away_devices",
    "distances_m",
    "evident",
    "graded",
    "graded_all",
    "graded_together",
    "joined",
    "packed",
    "probability_within",
    "sigma_of",
    "trail_of",
    "unpacked",
]
