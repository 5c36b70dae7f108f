"""What errors of the program have in common."""

from __future__ import annotations


class MendableError(Exception):
    """Something that a person can put right. The message says what happened, to what, and what to do; the command line prints it
    and ends with `exit_code`: 2 where the call, a file or a setting does not fit, 1 where it failed while running."""

    exit_code = 2
