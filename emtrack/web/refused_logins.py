"""What is answered to somebody whose password is not taken."""

from __future__ import annotations

from emtrack.people.accounts import LoginRefused
from emtrack.people.guesses import TooManyGuesses
from emtrack.people.hashing import TooManyHashes
from emtrack.web.guard import Problem

LOGIN_ERRORS = (LoginRefused, TooManyGuesses, TooManyHashes)


def problem_of_login(error: Exception) -> Problem:
    """One of `LOGIN_ERRORS` as an answer."""
    if isinstance(error, TooManyHashes):
        return Problem(
            429, "Too many people log in just now. Try again in a moment.", retry_after_s=error.retry_after_s
        )
    if isinstance(error, TooManyGuesses):
        return Problem(429, str(error), retry_after_s=error.retry_after_s)
    return Problem(401, str(error))
