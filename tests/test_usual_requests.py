"""Requests of the usual shape are read quickly, and exactly as the slow way reads them; whatever is not of it goes the slow way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.usual import read_usual
from ingest.wire import SentReports, WireError, read_any, read_request

JSON = "application/json"
REPORT: dict[str, Any] = {
    "seq": 1, "type": "position", "fix_time": "2026-03-02T19:00:00Z", "lat_deg": 53.0, "lon_deg": -2.1, "precision_m": 6,
    "mechanism": "GPS",
}  # fmt: skip


def told(sent: SentReports) -> Any:
    """All that a request says, and how its reports are kept."""
    reports = [(one.boot, one.seq, one.report, one.body, one.digest) for one in sent.reports]
    return sent.sent_ms, sent.boot, sent.signature, sent.body, reports


def read(body: bytes, by: Any) -> Any:
    try:
        return told(by(body, JSON))
    except WireError as error:
        return error.status, str(error), error.keep


TIMES = st.sampled_from([
    "2026-03-02T19:00:00Z", "2026-03-02T19:00:00.123456Z", "2026-03-02 19:00:00+01:00", "20260302T190000Z", "2026-02-30T19:00:00Z",
    "2026-03-02T24:00:00Z", "now", "2026-03-02T19:00:00", "", "2026-03-02T19:00:00Z\u0000",
])  # fmt: skip
NUMBERS = st.one_of(
    st.floats(-200, 200), st.integers(-200, 200), st.integers(), st.just(None), st.just("6"), st.just(True), st.just([]),
    st.sampled_from([10**400, -0.0, 1e308, 90, -90, 180.0000001, 2**53 + 1]),
)  # fmt: skip
FIELDS: dict[str, Any] = {
    "seq": st.one_of(st.integers(0, 5), st.sampled_from([2**63 - 1, 2**63, -1, 1.0, "1", None])),
    "type": st.sampled_from(["position", "event", "Position", None]),
    "fix_time": st.one_of(TIMES, st.just(5)),
    "lat_deg": NUMBERS,
    "lon_deg": NUMBERS,
    "precision_m": NUMBERS,
    "mechanism": st.sampled_from(["GPS", "WIFI", "LBS", "RF", "gps", 7]),
    "speed_kmh": NUMBERS,
    "direction_deg": NUMBERS,
    "satellites": NUMBERS,
    "hdop": NUMBERS,
    "recorded_time": TIMES,
    "tag": st.sampled_from([None, "D1"]),
}


@st.composite
def some_report(draw: st.DrawFn) -> Any:
    """Mostly good ones."""
    report = REPORT | {
        "seq": draw(st.integers(0, 9)),
        "lat_deg": draw(st.floats(-90, 90)),
        "precision_m": draw(st.integers(0, 99)),
    }
    for name in draw(st.lists(st.sampled_from([*FIELDS, "remove"]), max_size=2)):
        if name == "remove":
            report.pop(draw(st.sampled_from(list(REPORT))), None)
        else:
            report[name] = draw(FIELDS[name])
    return report


REQUESTS = st.builds(
    lambda boot, rows, more: {"boot": boot, "reports": rows} | more,
    st.sampled_from([0, 3, 2**63 - 1, 2**63, -1, 1.0, True, None]),
    st.lists(some_report(), max_size=4),
    st.sampled_from(
        [{}, {}, {"sent_at": "2026-03-02T19:00:00Z"}, {"sent_at": None}, {"sent_at": "soon"}, {"more": 1}]
    ),
)


@given(request=REQUESTS, ascii_only=st.booleans(), spaces=st.booleans())
def test_every_request_is_read_as_the_slow_way_reads_it(request: Any, *, ascii_only: bool, spaces: bool) -> None:
    body = json.dumps(request, ensure_ascii=ascii_only, indent=1 if spaces else None).encode()
    assert read(body, read_request) == read(body, read_any)


@given(st.binary(max_size=40), st.integers(0, 400))
def test_every_garbled_request_is_read_as_the_slow_way_reads_it(noise: bytes, place: int) -> None:
    good = json.dumps({"boot": 3, "reports": [REPORT, REPORT | {"seq": 2}]}).encode()
    body = good[:place] + noise + good[place:]
    assert read(body, read_request) == read(body, read_any)


@pytest.mark.parametrize(
    "body",
    [
        b'{"boot": 1, "boot": 2, "reports": [%s]}',
        b'{"boot": 1, "reports": [], "reports": [%s]}',
        b'\xef\xbb\xbf{"boot": 1, "reports": [%s]}',
        b'{"boot": 1, "reports": [%s], "sent_at": "2026-03-02T19:00:00Z", "sent_at": null}',
        b'{"boot": 1, "reports": [%s], "signature": {"alg": "Ed25519"}}',
    ],
)
def test_what_is_said_twice_or_of_another_shape_goes_the_slow_way(body: bytes) -> None:
    assert read_usual(body.replace(b"%s", json.dumps(REPORT).encode())) is None


def test_a_key_of_a_report_that_stands_twice_goes_the_slow_way() -> None:
    twice = json.dumps(REPORT)[:-1].encode() + b', "lat_deg": 54.0}'
    assert read_usual(b'{"boot": 1, "reports": [' + twice + b"]}") is None


@pytest.mark.parametrize("repeated", [
    b'"lat_deg": 10, "lon_deg": 11', b'"mechanism": "RF"', b'"seq": 2, "seq": 3',
])  # fmt: skip
def test_what_is_left_out_does_not_pay_for_what_stands_twice(repeated: bytes) -> None:
    """Texts are counted over the whole request."""
    bare = {name: value for name, value in REPORT.items() if name != "type"}
    body = b'{"boot": 1, "reports": [' + json.dumps(bare)[:-1].encode() + b", " + repeated + b"}]}"
    assert read_usual(body) is None
    assert read(body, read_request) == read(body, read_any)


def test_numbers_that_do_not_ascend_go_the_slow_way() -> None:
    assert read_usual(json.dumps({"boot": 1, "reports": [REPORT, REPORT]}).encode()) is None


def test_what_a_fleet_sends_is_of_the_usual_shape() -> None:
    body = json.dumps(
        {"boot": 3, "reports": [REPORT, REPORT | {"seq": 2}], "sent_at": "2026-03-02T19:00:00Z"}
    ).encode()
    assert read_usual(body) is not None
