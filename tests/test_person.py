"""What orders say of a person beside the IOM record: who must be called, what zones are called, which steps are to be done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alerts import PROTOCOL_KINDS, Case, Protocol, Step, StepAction, Tick, chosen, shipped, states_of
from emtrack.files.export import export_to
from emtrack.forms.errors import FormError
from emtrack.forms.reading import read_orders
from emtrack.orders.importing import import_orders
from emtrack.people.looks import SERVICE, commander
from emtrack.record.protocols import protocols_for
from emtrack.record.wearer_details import load_details
from tests.office import ORDERS, Office
from tests.visitor import Visitor

DETAILS: dict[str, Any] = {
    "date_of_birth": "1990-02-03", "sex": "female", "ethnicity": "White", "address": "12 Sample Street, Hanley, ST1 0AA",
    "phones": ["01632 960001", "+44 (0)7700 900002"],
    "responsible_officer": {"name": "B. Ash", "agency": "Probation Service", "phone": "01632 960003 ext 4"}, "offence": "Burglary",
    "order": {"kind": "Suspended sentence order", "court": "North Staffordshire", "begins": "2026-02-01", "ends": "2026-03-31"},
    "contacts": [{"name": "C. Other", "relation": "mother", "phone": "01632 960004", "note": "Not after ten"}],
}  # fmt: skip
STEPS = [{"text": "Ring the neighbour", "action": "CALL"}, {"text": "Look again", "action": "WAIT", "wait_s": 600}]


def read(**form: Any) -> Any:
    return read_orders(json.dumps(form), "orders")


async def enter(office: Office, **form: Any) -> dict[str, int]:
    return (await import_orders(office.settings, read(**form), who="Eve", dry_run=False)).counts


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ({"wearers": [{"wearer_id": "W1", "date_of_birth": "3 Feb 1990"}]}, "wearers[0].date_of_birth"),
        ({"wearers": [{"wearer_id": "W1", "phones": ["ring the pub"]}]}, "wearers[0].phones[0]"),
        ({"wearers": [{"wearer_id": "W1", "responsible_officer": {"agency": "Police"}}]}, "wearers[0].responsible_officer"),
        ({"wearers": [{"wearer_id": "W1", "order": {"kind": "x", "begins": "2026-03-02", "ends": "2026-03-01"}}]}, "order.ends"),
        ({"wearers": [{"wearer_id": "W1", "addres": "x"}]}, "wearers[0].addres"),
        ({"wearers": [{"wearer_id": "W1", "address": "a\x00b"}]}, "NUL"),
        ({"protocols": [{"steps": []}]}, "protocols[0]"),
        ({"protocols": [{"kind": "PARTY", "steps": []}]}, "protocols[0].kind"),
        ({"protocols": [{"kind": "CURFEW", "steps": []}, {"kind": "CURFEW", "steps": []}]}, "protocols[1]"),
        ({"protocols": [{"kind": "CURFEW", "steps": [{"text": "x", "action": "SHOUT"}]}]}, "steps[0].action"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_place(form: dict[str, Any], path: str) -> None:
    with pytest.raises(FormError) as refused:
        read(**form)
    assert path in str(refused.value)


async def test_details_are_versions_with_who_and_when_and_the_same_again_changes_nothing(office: Office) -> None:
    wearer = {"wearer_id": "W1", "name": "Ann Other", **DETAILS}
    assert await enter(office, wearers=[wearer]) == {"details entered": 1}
    assert await enter(office, wearers=[wearer]) == {}
    assert await enter(office, wearers=[wearer | {"address": "13 Sample Street"}]) == {"details entered": 1}
    assert await enter(office, wearers=[{"wearer_id": "W1", "name": "Ann Other"}]) == {}, "what is not said stays"
    rows = await office.connection.fetch(
        "SELECT address, entered_by, upper_inf(recorded) AS holds FROM wearer_details ORDER BY version_no"
    )
    assert [tuple(row) for row in rows] == [
        ("12 Sample Street, Hanley, ST1 0AA", "Eve", False),
        ("13 Sample Street", "Eve", True),
    ]
    details = (await load_details(office.connection, [1]))[1]
    assert details.phones == DETAILS["phones"]
    assert details.responsible_officer is not None
    assert details.responsible_officer.phone == "01632 960003 ext 4"


async def test_what_was_entered_comes_back_out_of_an_export(office: Office, tmp_path: Path) -> None:
    requirement = ORDERS["requirements"][2] | {"name": "Hanley exclusion zone", "reason": "a name"}
    protocols = [{"kind": "CURFEW", "steps": STEPS}, {"wearer_id": "W1", "zone": "X1", "steps": STEPS[:1]}]
    await enter(
        office, requirements=[requirement], protocols=protocols,
        wearers=[{"wearer_id": "W1", "name": "Ann Other", **DETAILS}],
    )  # fmt: skip
    await export_to(office.settings, tmp_path / "out", commander("Eve", SERVICE))
    written = json.loads((tmp_path / "out" / "orders.json").read_text())
    assert written["wearers"] == [{"wearer_id": "W1", "name": "Ann Other", **DETAILS}]
    assert [r.get("name") for r in written["requirements"]] == [None, "Hanley exclusion zone", None]
    again = read_orders(json.dumps(written), "orders")
    assert again.protocols == read(protocols=protocols).protocols


async def test_a_protocol_is_a_version_and_without_steps_it_ends(office: Office) -> None:
    await enter(office, protocols=[{"kind": "CURFEW", "steps": STEPS}])
    await enter(office, protocols=[{"kind": "CURFEW", "steps": STEPS[:1]}])
    assert [(p.version, len(p.steps)) for p in await protocols_for(office.connection, 1)] == [(2, 1)]
    await enter(office, protocols=[{"kind": "CURFEW", "steps": []}])
    assert await protocols_for(office.connection, 1) == []


# ------------------------------------------------------------------ which steps, and where they stand


def test_the_person_goes_before_the_order_the_order_before_the_zone_and_the_zone_before_the_kind() -> None:
    steps = (Step("x"),)
    by_kind = Protocol(1, 1, steps, kind="CURFEW")
    by_zone = Protocol(2, 1, steps, zone="schools")
    by_order = Protocol(3, 1, steps, order="Licence")
    by_person = Protocol(4, 1, steps, wearer_no=7)
    by_person_and_kind = Protocol(5, 1, steps, wearer_no=7, kind="CURFEW")
    case = Case("CURFEW", 7, "Licence", frozenset({"C1", "schools"}))
    left = [by_kind, by_zone, by_order, by_person, by_person_and_kind]
    while left:
        assert chosen(left, case) is left[-1]
        left.pop()
    assert chosen([], case) == shipped("CURFEW")


@pytest.mark.parametrize(
    "other", [Case("TAMPER", 7), Case("CURFEW", 8), Case("CURFEW", None), Case("CURFEW", 7, None, frozenset({"C2"}))]
)
def test_a_protocol_is_for_alerts_that_fit_all_that_it_names(other: Case) -> None:
    protocol = Protocol(5, 1, (Step("x"),), wearer_no=7, zone="C1", kind="CURFEW")
    assert chosen([protocol], other).protocol_no is None
    assert chosen([protocol], Case("CURFEW", 7, "Licence", frozenset({"C1"}))) is protocol


@pytest.mark.parametrize("kind", PROTOCOL_KINDS)
def test_every_kind_of_alert_is_shipped_with_steps_in_plain_words(kind: str) -> None:
    steps = shipped(kind).steps
    assert 3 <= len(steps) <= 8
    assert all(step.text and not step.text.endswith(".") and len(step.text) < 140 for step in steps)
    assert len({step.text for step in steps}) == len(steps)


def test_a_step_with_a_wait_is_due_so_long_after_the_one_before_it_was_done() -> None:
    protocol = Protocol(1, 1, (Step("a"), Step("b", StepAction.WAIT, 600), Step("c", StepAction.WAIT, 60)))
    tick = Tick(1, "a", True, 5_000, "Ann", 1)
    assert [s.due_ms for s in states_of(protocol, [], 1_000)] == [None, None, None], (
        "nobody waits for what is not reached"
    )
    assert [s.due_ms for s in states_of(protocol, [tick], 1_000)] == [None, 5_600, None]
    both = [tick, Tick(2, "b", True, 7_000, "Ann", 1)]
    assert [s.due_ms for s in states_of(protocol, both, 1_000)] == [None, None, 7_060]
    undone = [*both, Tick(2, "b", False, 8_000, "Bob", 1)]
    assert [s.tick is not None for s in states_of(protocol, undone, 1_000)] == [True, False, False]
    assert [s.due_ms for s in states_of(protocol, undone, 1_000)] == [None, 5_600, None]


def test_ticks_of_another_protocol_or_of_another_text_do_not_count() -> None:
    protocol = Protocol(1, 2, (Step("a"),))
    for tick in (Tick(1, "a", True, 5, "Ann", None), Tick(1, "older", True, 5, "Ann", 1)):
        assert states_of(protocol, [tick], 0)[0].tick is None


async def test_the_queue_is_asked_for_an_area_and_a_closed_record_is_in_none(
    office: Office, visitor: Visitor
) -> None:
    await enter(office, wearers=[{"wearer_id": "W1", "name": "Ann Other"} | DETAILS])
    await visitor.log_in(await office.account())
    await office.two_are_out()
    while len((await office.get("/v1/alerts"))[1]["alerts"]) < 2:
        await office.connection.execute("SELECT pg_sleep(0.05)")
    for area, found in [("hanley", True), ("Sample", True), ("ST1", True), ("Leek", False)]:
        _, page = await visitor.get(f"/alerts?area={area.replace(' ', '+').replace('%', '%25')}")
        assert ("Ann Other" in page) == found, area
        assert "W2" not in page
    looks = "SELECT count(*) FROM looks WHERE what = 'details' AND looked_by = 'Ann'"
    assert await office.connection.fetchval(looks) == 1, "who is listed under an area is looked at"
    for guess in ("12 Sample", "12", "100%", "ST1 0AA"):
        assert (await visitor.get(f"/alerts?area={guess.replace(' ', '+').replace('%', '%25')}"))[0] == 400
    await office.connection.execute(
        "INSERT INTO access_limits (wearer_no, kind, accounts, agencies, reason, recorded, entered_by) "
        "SELECT wearer_no, 'excluded', '{Ann}', '{}', 'test', tstzrange(now() - interval '1 s', NULL), 'test' "
        "FROM wearers WHERE wearer_id = 'W1'"
    )
    _, page = await visitor.get("/alerts?area=hanley")
    assert "No alert is open that fits the filter" in " ".join(page.split())
