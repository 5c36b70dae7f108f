"""The form of orders.json: errors name the line, the field and what was expected."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emtrack.forms.errors import FormError
from emtrack.forms.reading import read_orders, write_orders
from emtrack.forms.to_core import plans_of, requirement_of, settings_of
from geofence.obligations import version_of
from tests.service_world import activation, curfew, ms, orders

FORM = orders(
    1, 2, absences=[{"wearer_id": "W1", "from": "2026-03-05T18:00:00Z", "to": "2026-03-05T22:00:00Z", "reason": "x"}],
    outages=[{"from": "2026-03-04T02:00:00Z", "to": "2026-03-04T02:20:00Z"}],
    home_units=[{"hmu_id": "U", "wearer_id": "W1", "requirement_id": "C1", "from": "2026-03-01T00:00:00Z"}],
    settings={"max_gap_s": 900, "unknown_limit_s": 1800, "silence_buffer_s": 540}, wearers=[{"wearer_id": "W1"}],
)  # fmt: skip


def test_what_is_written_reads_as_what_was_read() -> None:
    first = read_orders(json.dumps(FORM), "orders.json")
    again = read_orders(write_orders(first).decode(), "orders.json")
    assert write_orders(again) == write_orders(first)
    assert version_of(plans_of(again)) == version_of(plans_of(first))


def test_a_default_that_is_written_out_is_the_same_order() -> None:
    """Otherwise the same orders, imported twice, would be two versions."""
    short = read_orders(json.dumps({"requirements": [curfew(1)]}), "short").requirements[0]
    full = {"to": None, "buffer_m": 0.0, "confirm_points": 2, "confirm_seconds": 0.0, "grace_s": 0.0}
    whole = read_orders(json.dumps({"requirements": [curfew(1, **full)]}), "whole").requirements[0]
    assert version_of(requirement_of(short, "")) == version_of(requirement_of(whole, ""))


def test_defaults_are_those_of_the_rules() -> None:
    activations = [{**activation(1), "report_interval_s": 60}]
    form = read_orders(json.dumps({"activations": activations}), "orders.json")
    settings = settings_of(form)
    assert (settings.max_gap_ms, settings.unknown_limit_ms, settings.silence_buffer_ms) == (
        900_000,
        1_800_000,
        540_000,
    )
    (plan,) = plans_of(form)
    assert (plan.timezone, plan.silence_limit_ms) == ("Europe/London", 600_000)
    assert plan.activation.from_ms == ms("08:00")


def changed(path: str, value: Any) -> dict[str, Any]:
    form = copy.deepcopy(FORM)
    target: Any = form
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        target = target[step]
    target[last] = value
    return form


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("requirements.0.kind", "PARADE", "CURFEW"),
        ("requirements.0.timetable.3.day", "SOMEDAY", "MON"),
        ("requirements.0.timetable.3.start", "24:00", "timetable[3].start"),
        ("requirements.0.timetable", [], "empty timetable"),
        ("requirements.0.from", "2026-03-01T00:00:00", "zone"),
        ("requirements.0.to", "2026-02-01T00:00:00Z", "not after"),
        ("requirements.0.confirm_points", 0, "confirm_points"),
        ("requirements.0.grace_s", -1, "grace_s"),
        (
            "requirements.1.geometry",
            {"type": "Circle", "centre": [-2, 53], "radius_m": -1},
            "requirements[1].geometry",
        ),
        ("requirements.1.geometry", {"type": "Point", "coordinates": [0, 0]}, "requirements[1].geometry"),
        ("activations.1.from", 7, "ISO 8601"),
        ("activations.1.device_id", "", "device_id"),
        ("activations.1.device_id", "D1", "activated twice"),
        ("activations.1.activation_id", "A1", "stands twice"),
        ("activations.0.report_interval_s", 0, "report_interval_s"),
        ("timezone", "Europe/Atlantis", "known time zone"),
        ("timezone", "../../etc/passwd", "known time zone"),
        ("settings.max_gap_s", 0, "max_gap_s"),
        ("surprise", 1, "surprise"),
        ("requirements.0.surprise", 1, "surprise"),
    ],
)
def test_an_error_names_the_line_the_field_and_what_was_expected(path: str, value: Any, says: str) -> None:
    text = json.dumps(changed(path, value), indent=1)
    with pytest.raises(FormError) as refused:
        read_orders(text, "orders.json")
    message = str(refused.value)
    assert says in message
    assert message.startswith("orders.json: line ")
    line = int(message.split(": line ")[1].split(":")[0])
    step = path.split(".")[-1]
    named = text.splitlines()[line - 1]
    assert f'"{step}"' in named or step == "surprise" or "activated twice" in says


def test_what_is_not_json_is_named_with_its_line() -> None:
    with pytest.raises(FormError, match=r"orders\.json: line 3: this is not JSON"):
        read_orders('{\n"activations": [],\n}', "orders.json")


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["activations", "requirements", "geometry", "from", "timetable", "kind"]), inner
            ),
        ),
    )
)
def test_whatever_stands_in_the_file_the_error_is_ours(value: Any) -> None:
    try:
        read_orders(json.dumps(value), "orders.json")
    except FormError as error:
        assert "orders.json: line" in str(error)  # noqa: PT017  some values are orders
