"""The file of a person: all that is held about them and nothing about others, less what is withheld, with the reason."""

from __future__ import annotations

import csv
import json
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emtrack.files.subject import NAMES, PARTS, UnfitSubject, export_subject
from emtrack.iom.entries import Author
from emtrack.iom.standing import merge
from geofence import parse_instant
from tests.office import BEGINS, ORDERS, Office, open_office
from tests.service_world import curfew


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    async with open_office(database_url, data_dir, ORDERS | {"requirements": [curfew(1), curfew(2)]}) as office:
        await office.two_are_out()
        yield office


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


async def test_everything_about_the_person_is_there_and_nothing_about_another(office: Office, tmp_path: Path) -> None:
    folder = tmp_path / "W1"
    index = await export_subject(office.settings, "W1", folder, "Ann")
    assert {path.stem for path in folder.glob("*.csv")} == set(NAMES)
    assert {row["device_id"] for row in table(folder, "positions")} == {"D1"}
    assert len(table(folder, "positions")) == 2
    assert [row["last_seq"] for row in table(folder, "raw_requests")] == ["2"], "both of one request"
    assert "CURFEW" in {row["kind"] for row in table(folder, "findings")}
    assert {row["requirement_id"] for row in table(folder, "requirements")} == {"C1"}
    assert [row["wearer_id"] for row in table(folder, "person")] == ["W1"]
    assert len(table(folder, "alerts")) == 1
    text = "".join(path.read_text() for path in folder.iterdir())
    assert not re.search(r"\b(W2|D2|A2|C2)\b", text)
    counts = {one.file.removesuffix(".csv"): one.rows for one in index.tables}
    assert counts == {name: len(table(folder, name)) for name in NAMES}


async def test_the_export_is_itself_a_look_that_stands_in_the_file(office: Office, tmp_path: Path) -> None:
    await export_subject(office.settings, "W1", tmp_path / "W1", "Ann (command line)")
    last = table(tmp_path / "W1", "looks")[-1]
    assert (last["looked_by"], last["what"], last["purpose"]) == ("Ann (command line)", "export", "SERVICE")
    assert last["reference"] == "subject access request"


async def test_only_its_owner_can_read_it(office: Office, tmp_path: Path) -> None:
    folder = tmp_path / "W1"
    await export_subject(office.settings, "W1", folder, "Ann")
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_what_is_withheld_is_not_there_and_the_index_says_why(office: Office, tmp_path: Path) -> None:
    folder = tmp_path / "W1"
    await export_subject(office.settings, "W1", folder, "Ann", {"looks": "an inquiry into staff goes on"})
    assert not (folder / "looks.csv").exists()
    told = (folder / "index.txt").read_text()
    assert "an inquiry into staff goes on" in told
    withheld = json.loads((folder / "index.json").read_text())["withheld"]
    assert "who looked at them, when and why; looks at everybody are among them" in [one["what"] for one in withheld]
    assert any("section 45(4)(e)" in one["reason"] for one in withheld)


@pytest.mark.parametrize(
    ("wearer", "withheld", "what"),
    [("W9", {}, "there is no wearer"), ("W1", {"names": "x"}, "expected one of"), ("W1", {"looks": " "}, "say why")],
)
async def test_what_does_not_fit_is_refused(
    office: Office, tmp_path: Path, wearer: str, withheld: dict[str, str], what: str
) -> None:
    with pytest.raises(UnfitSubject, match=what):
        await export_subject(office.settings, wearer, tmp_path / "x", "Ann", withheld)


async def test_the_files_of_two_people_do_not_mix(office: Office, tmp_path: Path) -> None:
    await export_subject(office.settings, "W1", tmp_path / "one", "Ann")
    with pytest.raises(UnfitSubject, match="is not empty"):
        await export_subject(office.settings, "W2", tmp_path / "one", "Ann")


async def test_what_is_held_in_merged_records_of_a_person_is_in_one_file(office: Office, tmp_path: Path) -> None:
    one, two = [
        await office.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = $1", name)
        for name in ("W1", "W2")
    ]
    async with office.connection.transaction():
        await merge(office.connection, Author("Ann"), two, one, "the same", parse_instant(BEGINS))
    for name, other in (("W1", "W2"), ("W2", "W1")):
        folder = tmp_path / name
        index = await export_subject(office.settings, name, folder, "Ann")
        assert index.merged == [other]
        assert f"other records of the same person: {other}" in (folder / "index.txt").read_text()
        assert {row["wearer_id"] for row in table(folder, "person")} == {"W1", "W2"}
        assert {row["device_id"] for row in table(folder, "positions")} == {"D1", "D2"}
        assert {row["requirement_id"] for row in table(folder, "requirements")} == {"C1", "C2"}
        looks = table(folder, "looks")
        assert len(looks) == len({tuple(row.values()) for row in looks if row["at_everybody"] == "True"}) + sum(
            row["at_everybody"] == "False" for row in looks
        ), "looks at everybody are told once"
    looked = await office.connection.fetch("SELECT wearer_no FROM looks WHERE what = 'export' ORDER BY look_no")
    assert [row["wearer_no"] for row in looked] == [one, two, one, two]


LEFT_OUT = {
    "access_limits": "withheld by rule: it may show intelligence",
    "alert_people": "in `alerts`: that they were among many, not who else was",
    "record_openings": "the look that opened the record is in `looks`",
    "requirement_entries": "numbers of entries; their versions are in `requirements`",
    "atv_timers": "when the ledger is looked at next",
}


async def test_no_table_of_a_person_is_missing(office: Office) -> None:
    """Each that has a column `wearer_no` is in the file, or stands here with why it is not."""
    rows = await office.connection.fetch(
        "SELECT table_name FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name) "
        "WHERE column_name = 'wearer_no' AND table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    read = " ".join(part.statement for part in PARTS)
    missing = {row["table_name"] for row in rows if not re.search(rf"\b{row['table_name']}\b", read)}
    assert missing == LEFT_OUT.keys() - {"alert_people"}
