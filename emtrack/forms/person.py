"""What orders.json says of a person beside the IOM record: who must be called, where, and what the court ordered.

Whoever rings at night needs it; nobody is judged by it.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated

from msgspec import Meta

from emtrack.forms.strict import Form

Line = Annotated[str, Meta(min_length=1, max_length=200)]
Phone = Annotated[
    str,
    Meta(
        pattern=r"^\+?\(?[0-9][0-9 ()./-]*( ?(x|ext\.?) ?[0-9]+)?$",
        max_length=40,
        description="digits, with +, spaces, brackets and an extension",
    ),
]


class OfficerForm(Form, frozen=True):
    """The responsible officer."""

    name: Line
    agency: Line | None = None
    phone: Phone | None = None


class CourtOrderForm(Form, frozen=True):
    """The order of a court: its kind is what a protocol can be for. Days, in the time zone of the orders; it holds through `ends`."""

    kind: Line
    court: Line | None = None
    begins: date | None = None
    ends: date | None = None


class ContactForm(Form, frozen=True):
    """Somebody else who can be asked: who, and what they are to the person."""

    name: Line
    relation: Line | None = None
    agency: Line | None = None
    phone: Phone | None = None
    note: Annotated[str, Meta(max_length=1000)] | None = None
