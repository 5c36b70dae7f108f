"""What the logs say of an error: where it was raised, and nothing of what it was about."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from emtrack.logs import origin_of
from tests.office import Office


def _raises() -> None:
    raise ValueError("Ada Lovelace")


def test_an_error_is_told_by_the_function_and_the_line_that_raised_it() -> None:
    with pytest.raises(ValueError) as caught:
        _raises()
    origin = origin_of(caught.value)
    assert origin.function == "_raises"
    assert origin.line == f"test_logs.py:{_raises.__code__.co_firstlineno + 1}"


async def test_who_may_not_is_in_the_log_with_role_and_route_and_nothing_of_whom_they_asked_about(
    office: Office,
) -> None:
    with capture_logs() as lines:
        status, _ = await office.get("/v1/wearers/W1/atv", role="auditor")
    assert status == 403
    (refused,) = [line for line in lines if line["event"] == "refused"]
    assert (refused["role"], refused["method"]) == ("auditor", "GET")
    assert "W1" not in str(refused)
    assert refused["route"].startswith("/v1/")
