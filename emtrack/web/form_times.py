"""Dates and times that people choose in a form, in the time zone of the orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emtrack.forms.wall_time import NoSuchTime, TwoSuchTimes
from geofence import NotAnInstant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from emtrack.web.wording import Words


class UnfitTimes(ValueError):
    """What was chosen is no time, or two. The message says what to do."""


def read_times(words: Words, form: Mapping[str, str], names: Sequence[str]) -> list[int]:
    """Milliseconds of fields; of a time that comes twice, the field `name_pass` says which is meant. Raises UnfitTimes."""
    try:
        return [words.read_field(form.get(name, ""), form.get(f"{name}_pass", "")) for name in names]
    except (TwoSuchTimes, NoSuchTime) as error:
        advice = "Choose one of the two." if isinstance(error, TwoSuchTimes) else "Choose a time before or after."
        raise UnfitTimes(f"{error}. {advice}") from error
    except NotAnInstant as error:
        raise UnfitTimes("Give the beginning and the end as a date and a time.") from error
