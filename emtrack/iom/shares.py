"""A share: what of a record was given to whom outside the programme, for which purpose and on which basis (Data Protection Act
2018, section 62). Who looks inside the service stands in `looks`."""

from __future__ import annotations

from typing import Final

from emtrack.iom.noun import Content, Noun


class Share(Content, frozen=True):
    """`fields`: which parts were given."""

    purpose: str
    basis: str
    recipient: str
    fields: list[str]
    released_by: str | None = None


SHARE: Final = Noun("share", Share, happens=True)
