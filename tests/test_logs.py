"""What the logs say of an error: where it was raised, and nothing of what it was about."""

from __future__ import annotations

import pytest

from emtrack.logs import origin_of


def _raises() -> None:
    raise ValueError("Ada Lovelace")


def test_an_error_is_told_by_the_function_and_the_line_that_raised_it() -> None:
    with pytest.raises(ValueError) as caught:
        _raises()
    origin = origin_of(caught.value)
    assert origin.function == "_raises"
    assert origin.line == f"test_logs.py:{_raises.__code__.co_firstlineno + 1}"
