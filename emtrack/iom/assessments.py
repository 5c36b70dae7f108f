"""What others assessed: predictors, risk of serious harm, MAPPA, needs by pathway. Imported with date and source; superseded by
the next one, never edited."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from emtrack.forms.iom import Pathway
from emtrack.iom.noun import Content, Noun

Percentage = Annotated[float, Meta(ge=0, le=100)]
REOFFENDING_BANDS: Final = (50.0, 75.0, 90.0)
HARM_BANDS: Final = (1.0, 3.0, 6.9)
BANDS: Final = ("LOW", "MEDIUM", "HIGH", "VERY_HIGH")


class Rosh(StrEnum):
    """Risk of serious harm."""

    LOW = "L"
    MEDIUM = "M"
    HIGH = "H"
    VERY_HIGH = "VH"


class Assessment(Content, frozen=True):
    """`reoffending`: percent within two years. `serious_harm`: percent. `source`: who assessed, with what. `counts_from_release`: the
    predictor of somebody in custody. `domestic_abuse`: a perpetrator of it is registered."""

    source: str | None = None
    reoffending: Percentage | None = None
    serious_harm: Percentage | None = None
    rosh: Rosh | None = None
    mappa_category: Annotated[int, Meta(ge=1, le=4)] | None = None
    mappa_level: Annotated[int, Meta(ge=1, le=3)] | None = None
    needs: list[Pathway] = []
    counts_from_release: bool = False
    domestic_abuse: bool = False


ASSESSMENT: Final = Noun("assessment", Assessment, happens=True)


def band_of(percent: float, bands: tuple[float, ...]) -> str:
    """A value on a border belongs to the higher band."""
    return BANDS[sum(percent >= border for border in bands)]
