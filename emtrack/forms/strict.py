"""What all forms have in common."""

from __future__ import annotations

from msgspec import Struct


class Form(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Forms are strict: a field that is not known is an error."""
