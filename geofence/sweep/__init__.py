"""Violations of very many wearers in one go over their positions: replay, what-if and audit."""

from geofence.sweep.violations import Duties, Positions, Sweep

__all__ = [
    "Duties",
    "Positions",
    "Sweep",
]
