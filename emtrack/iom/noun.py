"""What all nouns of the IOM record have in common: a form of content, states, and which of the columns of an entry they use."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from emtrack.iom.states import States


class Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """`not_understood`: what an import gave under names or in forms that we do not know, kept as it was given."""

    not_understood: dict[str, str] = {}


class Noun(NamedTuple):
    """`holds`: it is true from an instant to another (`valid`). `happens`: at an instant (`occurred_ms`). `is_due`: it expires, is to
    be done or looked at again (`due_ms`). `may_be_narrow`: it may be for some only. `of_nobody`: it may be of no person."""

    name: str
    form: type[Content]
    states: States | None = None
    holds: bool = False
    happens: bool = False
    is_due: bool = False
    may_be_narrow: bool = False
    of_nobody: bool = False
