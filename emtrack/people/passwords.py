"""Which passwords are taken: long enough, not among the common ones, not made of a name, and not one sign again and again.

How easily a password is guessed is worked out by zxcvbn, which has lists of common passwords, names and words with it. No
composition rules: they make passwords that are hard to remember and easy to guess (NIST SP 800-63B, section 3.1.1.2).
"""

from __future__ import annotations

import re

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 200
FEWEST_SIGNS = 5
"""So many different characters at least."""
LOOKED_AT = 72
"""Of a longer one only so much is looked at: the time to estimate grows faster than the length."""
FEWEST_GUESSES = 10**8
"""zxcvbn's score of 3: safe against guessing at a login, with a slow hash behind it."""
OF_THE_SERVICE = ("emtrack", "monitoring", "electronic monitoring", "probation", "curfew", "tagging", "operator", "officer",
                  "administrator", "supervisor", "auditor", "police", "stoke", "staffordshire")  # fmt: skip


class UnfitPassword(ValueError):
    """A password that cannot be taken. The message says why."""


def require_fit(password: str, name: str) -> None:
    """Takes some milliseconds: not in the loop. Raises UnfitPassword."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise UnfitPassword(f"Password must be between {SHORTEST_PASSWORD} and {LONGEST_PASSWORD} characters")
    if len(set(password)) < FEWEST_SIGNS:
        raise UnfitPassword("Password must not be the same few characters again and again")
    if any(word in password.casefold() for word in _words_of(name)):
        raise UnfitPassword("Password must not contain your username")
    if _guesses(password, name) < FEWEST_GUESSES:
        raise UnfitPassword("Password is too easy to guess. Choose a less common one, such as three random words")


def _words_of(name: str) -> list[str]:
    """The name, and its parts that are long enough to mean something."""
    return [word for word in {name.casefold(), *re.split(r"\W+", name.casefold())} if len(word) >= 4]


def _guesses(password: str, name: str) -> float:
    from zxcvbn import zxcvbn  # its lists take 0.1 s to load

    inputs = [name, *re.split(r"\W+", name), *OF_THE_SERVICE]
    return float(zxcvbn(password[:LOOKED_AT], user_inputs=[word for word in inputs if word])["guesses"])
