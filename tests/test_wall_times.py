"""Times of a wall clock on the nights when the clocks change: named and counted, or chosen by a person, and never guessed."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emtrack.files.replay import Recording, Strangers, read_recording, said_of, without_strangers
from emtrack.forms.wall_time import NoSuchTime, TwoSuchTimes, UnknownZone, instant_of_wall, zone_named
from emtrack.people.roles import Role
from emtrack.web.wording import Words
from geofence import format_instant, parse_instant
from tests.command_line import emtrack
from tests.office import open_office
from tests.service_world import activation, curfew
from tests.visitor import Visitor

FIELD = Path(__file__).parent / "field"
LONDON = zone_named("Europe/London")
MOVEBANK = Recording(
    {
        "timestamp": "fix_time",
        "location-lat": "lat_deg",
        "location-long": "lon_deg",
        "tag-local-identifier": "device_id",
    },
    {"mechanism": "GPS"},
    "Europe/London",
)


def test_a_time_that_happens_twice_or_never_is_told_with_both_or_none() -> None:
    with pytest.raises(TwoSuchTimes, match=r"as BST \(2025-10-26T00:30:00Z\) and as GMT \(2025-10-26T01:30:00Z\)"):
        instant_of_wall("2025-10-26T01:30", LONDON)
    assert format_instant(instant_of_wall("2025-10-26T01:30", LONDON, "BST")) == "2025-10-26T00:30:00Z"
    assert format_instant(instant_of_wall("2025-10-26T01:30", LONDON, "GMT")) == "2025-10-26T01:30:00Z"
    with pytest.raises(NoSuchTime, match="does not exist in Europe/London"):
        instant_of_wall("2025-03-30 01:30:00.000", LONDON)
    assert format_instant(instant_of_wall("2025-10-26T00:59", LONDON)) == "2025-10-25T23:59:00Z"
    assert format_instant(instant_of_wall("2025-10-26T02:00", LONDON)) == "2025-10-26T02:00:00Z"


@pytest.mark.parametrize("name", ["Europe/Londn", "", "../../etc/passwd", "x\0y", "/etc/localtime"])
def test_a_zone_that_is_not_known_is_refused(name: str) -> None:
    with pytest.raises(UnknownZone, match="not a known time zone"):
        zone_named(name)


@given(st.integers(parse_instant("2000-01-01T00:00:00Z"), parse_instant("2037-01-01T00:00:00Z")))
def test_what_a_clock_shows_leads_back_to_its_instant(instant_ms: int) -> None:
    words = Words("Europe/London")
    shown = words.local(instant_ms).replace(tzinfo=None).isoformat(timespec="milliseconds")
    assert instant_of_wall(shown, LONDON, words.pass_name(instant_ms)) == instant_ms


# ------------------------------------------------------------------------------------------- recordings


def test_rows_of_times_that_happen_twice_or_never_are_named_and_counted_and_not_sent() -> None:
    reports, left_out = read_recording([FIELD / "24" / "movebank.csv"], MOVEBANK)
    assert [report.fields["fix_time"] for report in reports] == [
        "2025-10-25T23:30:00Z", "2025-10-26T02:30:00Z", "2025-03-30T01:30:00Z", "30/03/2025 14:30", "2025-03-30 15:30:00Z",
    ]  # fmt: skip
    assert Counter(row.reason for row in left_out) == {
        "are of a time that happens twice": 2, "are of a time that does not exist": 1,
    }  # fmt: skip
    said = list(said_of(left_out, Strangers({}, {})))
    assert said[0] == "2 rows are of a time that happens twice and are left out:"
    assert said[1].startswith(
        "  movebank.csv: line 3: fix_time: 2025-10-26 01:30:00.000 happens twice in Europe/London"
    )


def test_without_a_zone_nothing_is_guessed_and_the_service_refuses() -> None:
    recording = Recording(MOVEBANK.renamed, MOVEBANK.constants)
    reports, left_out = read_recording([FIELD / "24" / "movebank.csv"], recording)
    assert (len(reports), left_out) == (8, [])
    assert reports[0].fields["fix_time"] == "2025-10-26 00:30:00.000"


def test_devices_that_nobody_wears_are_counted_and_stop_nothing() -> None:
    reports, _ = read_recording([FIELD / "29" / "second_hour.csv"], Recording())
    kept, strangers = without_strangers(reports, ["another"])
    assert (kept, strangers) == ([], Strangers({"tag-7": 3}, {}))
    (said,) = said_of([], strangers)
    assert said == "3 rows are of devices that the orders do not activate, and are left out: 'tag-7' (3)"


@pytest.mark.parametrize("option", ["--timezone", "--zone"])
def test_a_replay_in_a_zone_that_is_not_known_ends_before_anything_is_entered(option: str, tmp_path: Path) -> None:
    ran = emtrack(
        "replay", FIELD / "24" / "movebank.csv", "--orders", FIELD / "24" / "orders.json", option, "Europe/Londn",
        "--map", "tag-local-identifier=device_id", EMTRACK_DATA_DIR=str(tmp_path / "none"),
    )  # fmt: skip
    assert (ran.returncode, "'Europe/Londn' is not a known time zone" in ran.stderr) == (2, True)
    assert not (tmp_path / "none").exists()


# ------------------------------------------------------------------------------------------- pages


def test_near_a_change_of_the_clocks_every_time_names_its_offset() -> None:
    words = Words("Europe/London")
    assert words.short(parse_instant("2025-10-26T00:35:00Z")) == "26 Oct 01:35:00 BST"
    assert words.short(parse_instant("2025-10-26T01:35:00Z")) == "26 Oct 01:35:00 GMT"
    assert words.short(parse_instant("2025-10-24T00:35:00Z")) == "24 Oct 01:35:00"


async def test_a_history_of_the_repeated_hour_is_reached_in_both_passes(database_url: str, data_dir: Path) -> None:
    with (FIELD / "29" / "second_hour.csv").open() as file:
        rows = [
            {"seq": n, "type": "position", "fix_time": row["fix_time"], "lat_deg": float(row["lat_deg"]),
             "lon_deg": float(row["lon_deg"]), "precision_m": 6, "mechanism": "GPS"}
            for n, row in enumerate(csv.DictReader(file), 1)
        ]  # fmt: skip
    worn = activation(1, device_id="tag-7", **{"from": "2025-10-01T00:00:00Z"})
    form = {"activations": [worn], "requirements": [curfew(1)]}
    async with open_office(database_url, data_dir, form) as office:
        await office.report("tag-7", *rows)
        visitor = Visitor(office)
        await visitor.log_in(await office.account(Role.OFFICER))
        fields = {"begin": "2025-10-26T01:30", "end": "2025-10-26T03:00", "purpose": "COMPLIANCE"}
        fields["form_key"] = await visitor.form_key()
        status, page = await visitor.post("/wearers/1/history", **fields)
        assert (status, "happens twice" in page) == (422, True)
        assert re.findall(r'name="begin_pass"[^>]*value="(\w+)"', page) == ["BST", "GMT"]
        assert 'name="end_pass"' not in page
        for name, times in (("BST", 3), ("GMT", 2)):
            status, path = await visitor.post("/wearers/1/history", **fields, begin_pass=name)
            assert status == 303
            _, page = await visitor.get(path)
            shown = re.findall(r"26 Oct 01:(?:35|40):00 (?:BST|GMT)", page)
            assert len(shown) == times, page
        missing = fields | {"begin": "2025-03-30T01:30", "end": "2025-03-30T03:00"}
        assert "does not exist" in (await visitor.post("/wearers/1/history", **missing))[1]
        await visitor.http.close()
