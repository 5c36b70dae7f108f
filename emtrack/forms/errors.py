"""A form that does not fit, told so that a person can mend it."""

from __future__ import annotations

from emtrack.errors import MendableError


class FormError(MendableError, ValueError):
    """A file that does not fit its form. The message names the line, the field and what was expected."""
