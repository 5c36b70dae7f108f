"""Which ids and names are taken: one check at every door (docs/decisions/0015)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emtrack.forms.errors import FormError
from emtrack.forms.names import unfit_account, unfit_id, unfit_label, unfit_text
from emtrack.forms.reading import read_orders
from tests.command_line import emtrack
from tests.service_world import activation, curfew, orders

FIELD = Path(__file__).parent / "field"
FIT = ["D1", "AA:BB-26", "T2026-1 O'Neill", "R-26#1?x=é", "Zoë", "50 %", "Łódź", "家-1"]
UNSEEN = [
    "a\0b",
    "a\nb",
    "a\x7fb",
    "a\u200bb",
    "a\u202eb",
    "a\u200fb",
    "a\u2066b",
    "\ufeffa",
    "a\u2028b",
    "a\ue000b",
    "\ud800",
]
UNFIT_LABELS = [*UNSEEN, "", " a", "a ", "x" * 201, "e\u0301"]
UNFIT_IDS = [*UNFIT_LABELS, "A/26", ".", ".."]
LOOK_ALIKES = ["\u0430dmin", "\u03bfscar", "\uff21nn", "adm\u0131n\u04cf", "א"]


@pytest.mark.parametrize("text", FIT)
def test_what_can_be_addressed_and_seen_is_taken(text: str) -> None:
    assert unfit_id(text) is None


@pytest.mark.parametrize("text", UNFIT_IDS)
def test_what_cannot_be_addressed_or_seen_is_no_id(text: str) -> None:
    assert unfit_id(text) is not None


@pytest.mark.parametrize("text", UNFIT_LABELS)
def test_what_cannot_be_seen_is_no_label_and_no_account(text: str) -> None:
    assert unfit_label(text) is not None
    assert unfit_account(text) is not None


def test_a_label_may_hold_what_parts_an_address() -> None:
    assert unfit_label("way/1234") is None


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_nobody_looks_like_another_in_the_record_of_who_did_what(name: str) -> None:
    assert unfit_account(name) is not None
    assert unfit_text(name) is None, "a person may be called so"


def test_texts_for_people_hold_what_writing_needs_and_nothing_that_turns_other_text() -> None:
    assert unfit_text("first line\nsecond \u200d \u200f line") is None
    assert [unfit_text(text) is None for text in ("a\0b", "a\x1b[2Jb", "a\u202eb", "\u2067")] == [False] * 4


# ------------------------------------------------------------------------------------------- at the doors


def refusal(form: dict[str, Any]) -> str:
    with pytest.raises(FormError) as error:
        read_orders(json.dumps(form), "orders.json")
    return str(error.value)


def test_orders_name_the_field_of_an_id_that_cannot_be_taken() -> None:
    assert "activations[0].activation_id: 'A/26 ü' cannot be taken: it holds '/'" in refusal(
        json.loads((FIELD / "26" / "orders.json").read_text())
    )
    hidden = orders(activations=[activation(1, wearer_id="W1\u200b")])
    assert (
        "activations[0].wearer_id: 'W1\\u200b' cannot be taken: it holds a mark that is not seen (U+200B)"
        in refusal(hidden)
    )
    assert "home_units[0].hmu_id" in refusal(
        orders(
            home_units=[{"hmu_id": "a/b", "wearer_id": "W1", "requirement_id": "C1", "from": "2026-03-01T00:00:00Z"}]
        )
    )
    assert "wearers[0].iom.agencies[1]" in refusal(
        orders(wearers=[{"wearer_id": "W1", "iom": {"agencies": ["Police", "\x1b[2J"]}}])
    )


@pytest.mark.parametrize(
    "command",
    [("devices", "add"), ("users", "add", "--role", "operator"), ("tokens", "add", "--role", "operator")],
)
@pytest.mark.parametrize("name", ["a\u202eb", "a\nb", "", " a"])
def test_a_name_on_the_command_line_is_checked_before_anything_is_opened(command: tuple[str, ...], name: str) -> None:
    ran = emtrack(*command, name)
    assert (ran.returncode, "cannot be taken" in ran.stderr) == (2, True)


def test_an_account_with_letters_of_another_alphabet_is_refused() -> None:
    for group in ("users", "tokens"):
        ran = emtrack(group, "add", "--role", "operator", "\u0430dmin")
        assert (ran.returncode, "no Latin letter" in ran.stderr) == (2, True)
    assert "holds '/'" in emtrack("devices", "add", "AA:BB/26").stderr


# ------------------------------------------------------------------------------------------- two at one time


def overlap(form: dict[str, Any]) -> FormError:
    with pytest.raises(FormError) as error:
        read_orders(json.dumps(form), "orders.json")
    return error.value


def test_an_entry_that_stands_twice_or_overlaps_is_told_with_what_it_overlaps() -> None:
    twice = overlap(json.loads((FIELD / "15" / "orders_dup.json").read_text()))
    assert "requirement 'R15' of wearer 'W15' has two entries at one time" in str(twice)
    assert "it stands twice; keep one of them" in str(twice)
    partly = overlap(json.loads((FIELD / "15" / "orders_overlap.json").read_text()))
    assert "has two entries at one time: the first holds from 2026-03-01T00:00:00Z without an end" in str(partly)
    assert partly.overlaps is not None
    assert (partly.overlaps["requirement_id"], partly.overlaps["to"]) == ("R15", None)
    assert "end the first before the second begins" in str(partly)


def test_absences_home_units_and_wearers_are_checked_alike() -> None:
    absence = {"wearer_id": "W1", "from": "2026-03-02T18:00:00Z", "to": "2026-03-02T23:00:00Z", "reason": "hospital"}
    later = absence | {"from": "2026-03-02T22:00:00Z", "to": None}
    found = overlap(orders(absences=[absence, later]))
    assert "wearer 'W1' has two absences at one time" in str(found)
    assert found.overlaps == {"wearer_id": "W1", "reason": "hospital", "from": absence["from"], "to": absence["to"]}
    assert (
        len(read_orders(json.dumps(orders(absences=[absence, later | {"from": absence["to"]}])), "o").absences) == 2
    )
    unit = {"hmu_id": "H1", "wearer_id": "W1", "requirement_id": "C1", "from": "2026-03-01T00:00:00Z"}
    assert "home unit 'H1' has two entries" in str(
        overlap(orders(home_units=[unit, unit | {"requirement_id": "C2"}]))
    )
    together = orders(home_units=[unit, unit | {"wearer_id": "W2"}])
    assert len(read_orders(json.dumps(together), "o").home_units) == 2, "two people who live together have one unit"
    assert "wearer_id 'W1' stands twice" in str(overlap(orders(wearers=[{"wearer_id": "W1"}, {"wearer_id": "W1"}])))
    two_people = orders(1, 2, requirements=[curfew(1, requirement_id="C"), curfew(2, requirement_id="C")])
    assert len(read_orders(json.dumps(two_people), "o").requirements) == 2, "ids of requirements are a wearer's own"
