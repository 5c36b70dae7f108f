"""What a crime costs, as a table in the settings of the programme."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from emtrack.iom.offences import OffenceKind

Pounds = Annotated[float, Meta(gt=0)]


class UnitCost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pounds of one crime: the least and the most. The two differ where the record does not tell kinds apart that cost
    differently."""

    least: Pounds
    most: Pounds


COSTS_OF: Final = "unit costs at prices of 2015/16"
UNIT_COSTS: Final = {
    OffenceKind.ROBBERY: UnitCost(11_320, 11_320),
    OffenceKind.RESIDENTIAL_BURGLARY: UnitCost(5_930, 5_930),
    OffenceKind.VEHICLE: UnitCost(870, 10_290),
}
"""Theft from a vehicle costs £870 and theft of one £10,290; the record calls both VEHICLE, so that there is a range."""
