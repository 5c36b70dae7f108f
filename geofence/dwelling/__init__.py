"""Where somebody stayed: stops out of positions that are evidence, and the places that they are visits of (docs/stops.md)."""

from geofence.dwelling.places import Place, places_of
from geofence.dwelling.stops import STOP_RULES, Certainty, Stop, StopRules, stops_of

__all__ = ["STOP_RULES", "Certainty", "Place", "Stop", "StopRules", "places_of", "stops_of"]
