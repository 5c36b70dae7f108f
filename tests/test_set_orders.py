"""Shared zone sets in the database: versions with who and when, requirements that follow or are pinned, and judgement anew."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from emtrack.files.export import export
from emtrack.forms.errors import FormError
from emtrack.reading.findings import findings_as_lines
from emtrack.record.entering import OrdersConflict
from emtrack.record.findings import load_shown
from emtrack.record.plans import load_assignments
from emtrack.record.zone_sets import KEPT, ZoneSetCache, load_members, members_near
from emtrack.web.wording import Words
from geofence.judgement.findings import Finding
from geofence.judgement.places import UnknownSet
from geofence.shapes.set_building import build
from geofence.shapes.zone_sets import Member, ZoneSet, content_of
from geofence.words import Kind
from geofence.zones import Area, SetZone
from tests.office import Office, away, open_office
from tests.packed import unpacked
from tests.service_world import World, activation, deployed, iso, ms, orders, position
from tests.test_set_forms import BOW_TIE, ELM, OAK, SCHOOLS, collection, exclusion, feature, form, square, zone_set
from tests.visitor import Visitor

FIR = (-2.09, 53.0)
MORE = collection(*SCHOOLS["features"], feature("fir", square(FIR)))
FEWER = collection(feature("elm", square(ELM)))


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with deployed(database_url, form()) as world:
        yield world


def sets(*forms: dict[str, Any]) -> dict[str, Any]:
    """Orders that give sets and nothing else."""
    return {"zone_sets": list(forms)}


def pinned(version: str, **fields: Any) -> dict[str, Any]:
    return exclusion(geometry={"type": "ZoneSet", "set_id": "schools", "version": version}, **fields)


async def on(world: World) -> dict[str, str]:
    """Which version each requirement is on now."""
    found = await load_assignments(world.connection, ms("02T23:59"))
    zones = {r.requirement_id: r.zone for a in found.values() for r in a.plan.requirements}
    return {name: zone.version for name, zone in zones.items() if isinstance(zone, SetZone)}


async def visit(world: World, place: tuple[float, float], at: str, seq: int) -> None:
    await world.send_at(at, "D1", position(seq, at, place), position(seq + 1, f"{at}:30", place))
    await world.wait_until(f"{at}:45")


async def told(world: World) -> list[tuple[str, str | None]]:
    return [(line["begin"], line["zone_id"]) for line in await world.lines() if line["kind"] == "EXCLUSION"]


# ------------------------------------------------------------------------------------------- entering


async def test_a_set_is_entered_with_its_members_and_judged(world: World) -> None:
    assert await world.count("zone_set_members") == 2
    await visit(world, ELM, "13:00", 1)
    assert await told(world) == [(iso("13:00"), "elm")]
    assert await world.connection.fetchval("SELECT entered_by FROM zone_set_versions") == "officer"


async def test_orders_with_a_set_imported_twice_change_nothing(world: World) -> None:
    assert (await world.enter(form())).changes == []


async def test_a_zone_that_did_not_change_is_not_stored_again(world: World) -> None:
    before = await world.count("zones")
    await world.enter(sets(zone_set("2", MORE)))
    assert await world.count("zones") == before + 1
    assert await world.count("zone_set_members") == 2 + 3


async def test_a_version_is_never_changed(world: World) -> None:
    with pytest.raises(OrdersConflict, match="version '1' of zone set 'schools' is entered already with other zones"):
        await world.enter(sets(zone_set("1", MORE)))
    assert await world.count("zone_set_versions") == 1


async def test_what_is_read_back_is_what_was_entered(world: World) -> None:
    await world.enter(sets(zone_set("2", MORE)))
    content = await world.connection.fetchval("SELECT content FROM zone_set_versions WHERE version = '2'")
    members = await load_members(world.connection, content)
    assert [member.zone_id for member in members] == ["elm", "fir", "oak"]
    assert (await ZoneSetCache().get(world.connection, content)).content == content


async def test_what_was_checked_on_the_way_in_is_not_checked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = await world.connection.fetchval("SELECT content FROM zone_set_versions")
    monkeypatch.setattr("emtrack.record.zone_sets.zone_from_geojson", None)
    assert len(await load_members(world.connection, content)) == 2


async def test_a_member_that_a_requirement_stored_first_in_its_own_way_is_the_same(world: World) -> None:
    """The requirement wrote heights, the set does not: one content, one row."""
    high = {"type": "Polygon", "coordinates": [[[*corner, 120.0] for corner in square(FIR)["coordinates"][0]]]}
    await world.enter({"requirements": [exclusion(requirement_id="own", geometry=high)]})
    before = await world.count("zones")
    await world.enter(sets(zone_set("2", MORE)))
    assert await world.count("zones") == before
    content = await world.connection.fetchval("SELECT content FROM zone_set_versions WHERE version = '2'")
    assert content_of(await load_members(world.connection, content)) == content


async def test_a_set_that_nobody_gave_is_refused_with_whose_requirement_it_is(world: World) -> None:
    with pytest.raises(FormError, match="of requirement 'E1' of wearer 'W1' the zone set 'parks' is not known"):
        await world.enter({"requirements": [exclusion(geometry={"type": "ZoneSet", "set_id": "parks"})]})


# ------------------------------------------------------------------------------------------- versions


async def test_a_new_version_makes_a_new_version_of_each_requirement_that_follows(world: World) -> None:
    await world.enter(
        {"activations": [activation(2)], "requirements": [pinned("1", wearer_id="W2", requirement_id="P")]}
    )
    entered = await world.enter(sets(zone_set("2", MORE)), who="planner")
    assert await on(world) == {"E1": "2", "P": "1"}
    assert [change.what for change in entered.changes] == ["zone set entered", "requirement follows its zone set"]
    row = await world.connection.fetchrow(
        "SELECT entered_by, lower(recorded) AS since FROM requirement_versions WHERE requirement_id = 'E1' AND upper_inf(recorded)"
    )
    assert row["entered_by"] == "planner"
    changed_by, detail = await world.connection.fetchrow(
        "SELECT changed_by, detail FROM order_changes WHERE what = 'requirement follows its zone set'"
    )
    assert (changed_by, detail) == ("planner", {"requirement_id": "E1", "set_id": "schools", "version": "2"})


async def test_a_file_that_repeats_an_older_version_takes_nobody_back_to_it(world: World) -> None:
    await world.enter(sets(zone_set("2", MORE)))
    assert (await world.enter(form())).changes == []
    assert await on(world) == {"E1": "2"}


async def test_a_requirement_can_be_pinned_and_follow_again(world: World) -> None:
    await world.enter({"requirements": [pinned("1")]})
    await world.enter(sets(zone_set("2", MORE)))
    assert await on(world) == {"E1": "1"}
    await world.enter({"requirements": [exclusion()]})
    assert await on(world) == {"E1": "2"}


async def test_of_several_new_versions_the_last_of_the_file_is_followed(world: World) -> None:
    await world.enter(sets(zone_set("2", MORE), zone_set("3", FEWER)))
    assert await on(world) == {"E1": "3"}


async def test_what_was_held_before_is_still_answered(world: World) -> None:
    before_ms = world.clock.at_ms
    world.clock.at_ms = ms("12:30")
    await world.enter(sets(zone_set("2", MORE)))
    (assignment,) = (await load_assignments(world.connection, before_ms)).values()
    assert assignment.plan.requirements[0].zone.version == "1"


# ------------------------------------------------------------------------------------------- judged anew


async def test_a_zone_that_is_added_is_found_in_the_past_and_one_that_is_taken_away_withdraws(world: World) -> None:
    await visit(world, FIR, "13:00", 1)
    assert await told(world) == []
    await world.enter(sets(zone_set("2", MORE)))
    await world.wait_until("13:02")
    assert await told(world) == [(iso("13:00"), "fir")]
    await world.enter(sets(zone_set("3", SCHOOLS)))
    await world.wait_until("13:03")
    assert await told(world) == []
    assert await world.versions() == ["EXCLUSION new", "EXCLUSION withdrawn"]


async def test_a_zone_that_is_called_another_name_amends_the_finding(world: World) -> None:
    await visit(world, ELM, "13:00", 1)
    renamed = collection(feature("oak"), feature("elm street", square(ELM)))
    await world.enter(sets(zone_set("2", renamed)))
    await world.wait_until("13:02")
    assert await told(world) == [(iso("13:00"), "elm street")]
    assert await world.versions() == ["EXCLUSION new", "EXCLUSION amended"]


async def test_who_is_pinned_is_not_judged_by_the_new_version(world: World) -> None:
    await world.enter({"requirements": [pinned("1")]})
    await visit(world, FIR, "13:00", 1)
    await world.enter(sets(zone_set("2", MORE)))
    await world.wait_until("13:02")
    assert await told(world) == []


async def test_a_widening_is_a_change_of_the_requirement(world: World) -> None:
    beside = (OAK[0], OAK[1] + 0.0027)  # 78 m north of it
    await visit(world, beside, "13:00", 1)
    assert await told(world) == []
    await world.enter({"requirements": [exclusion(widen_m=100)]})
    await world.wait_until("13:02")
    assert await told(world) == [(iso("13:00"), "oak")]
    assert (await world.enter({"requirements": [exclusion(widen_m=100.0)]})).changes == []


async def test_after_a_restart_the_set_is_built_from_the_record_and_nothing_changes(world: World) -> None:
    await visit(world, ELM, "13:00", 1)
    before = await world.versions()
    await world.start()
    await world.wait_until("13:05")
    await world.send("D1", position(9, "13:05", ELM))
    assert await told(world) == [(iso("13:00"), "elm")]
    assert await world.versions() == before


async def test_a_finding_as_known_at_an_instant_names_the_zone_of_that_version(world: World) -> None:
    await visit(world, ELM, "13:00", 1)
    known_ms = world.clock.at_ms
    world.clock.at_ms = ms("13:10")
    await world.enter(sets(zone_set("2", collection(feature("new name", square(ELM))))))
    await world.turn()
    numbers = dict.fromkeys(await load_assignments(world.connection, known_ms))
    (shown,) = [
        s for found in (await load_shown(world.connection, numbers, as_known_ms=known_ms)).values() for s in found
    ]
    assert shown.finding.zone_id == "elm"
    assert [zone_id for _, zone_id in await told(world)] == ["new name"]


async def test_what_is_stored_judged_again_as_of_an_instant_names_the_zone(world: World) -> None:
    await visit(world, ELM, "13:00", 1)
    lines = await findings_as_lines(world.connection, world.clock.at_ms, None, ms("13:00:40"), "W1", ZoneSetCache())
    assert [json.loads(line)["zone_id"] for line in lines] == ["elm"]


# ------------------------------------------------------------------------------------------- at hand


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What shelves build, instead of asking a database."""
    contents: list[str] = []

    async def building(_: ZoneSetCache, __: Any, content: str) -> ZoneSet:
        contents.append(content)
        await asyncio.sleep(0)
        return build([Member(content, Area(((((0.0, 0.0), (0.1, 0.0), (0.1, 0.1), (0.0, 0.0)),),)))])

    monkeypatch.setattr(ZoneSetCache, "_build", building)
    return contents


async def test_a_set_that_several_ask_for_at_once_is_built_once(built: list[str]) -> None:
    zone_sets, nowhere = ZoneSetCache(), cast("asyncpg.Connection", None)
    one, other = await asyncio.gather(zone_sets.get(nowhere, "a"), zone_sets.get(nowhere, "a"))
    assert one is other
    assert built == ["a"]


async def test_a_set_that_is_held_stays_and_of_the_others_the_last_few(built: list[str]) -> None:
    zone_sets, nowhere = ZoneSetCache(), cast("asyncpg.Connection", None)
    held = await zone_sets.get(nowhere, "held")
    names = [f"looked at {n}" for n in range(KEPT + 1)]
    for name in names:
        await zone_sets.get(nowhere, name)
    gc.collect()
    assert await zone_sets.get(nowhere, "held") is held
    await zone_sets.get(nowhere, names[-1])
    assert built == ["held", *names]
    await zone_sets.get(nowhere, names[0])
    assert built[-1] == names[0]


async def test_a_content_that_is_not_entered_is_an_error(world: World) -> None:
    with pytest.raises(UnknownSet, match="0123"):
        await ZoneSetCache().get(world.connection, "0123")


async def test_only_members_near_the_places_are_read_the_named_one_first_and_no_more_than_asked(world: World) -> None:
    rows = [feature(f"z{n:03}", square((-2.0 + n * 0.01, 53.5))) for n in range(300)]
    await world.enter(sets({"set_id": "row", "version": "1", "features": collection(*rows)}))
    content = await world.connection.fetchval("SELECT content FROM zone_set_versions WHERE members = 300")
    near = await members_near(world.connection, content, [(-1.5, 53.5)], within_m=2_000, named="z299", most=3)
    assert [member.zone_id for member in near.members] == ["z299", "z050", "z049"]
    assert 5 <= near.found <= 12
    nothing = await members_near(world.connection, content, [], within_m=2_000, named=None, most=3)
    assert nothing == ([], 0)


async def test_members_near_a_place_are_found_by_the_index(world: World) -> None:
    from emtrack.record.zone_sets import NEAR

    rows = [feature(f"z{n:05}", square((-2.0 + n % 100 * 0.01, 53.5 + n // 100 * 0.01), 0.001)) for n in range(5_000)]
    await world.enter(sets({"set_id": "grid", "version": "1", "features": collection(*rows)}))
    await world.connection.execute("ANALYZE zone_set_members")
    await world.connection.execute("ANALYZE zones")
    content = await world.connection.fetchval("SELECT content FROM zone_set_versions WHERE members = 5000")
    box = asyncpg.Box((-1.49, 53.71), (-1.51, 53.69))
    plan = await world.connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {NEAR}", content, [box], None, 300)
    text = plan if isinstance(plan, str) else json.dumps(plan)
    assert "zone_set_members_near" in text


# ------------------------------------------------------------------------------------------- export


async def test_an_export_holds_the_sets_and_pins_them(world: World, tmp_path: Path) -> None:
    awkward = {"set_id": "../schools", "version": "1", "features": FEWER}
    other = exclusion(requirement_id="E2", geometry={"type": "ZoneSet", "set_id": "../schools"})
    await world.enter({"zone_sets": [awkward], "requirements": [other]})
    await export(world.connection, tmp_path, world.clock.now_ms())
    written = json.loads((tmp_path / "orders.json").read_text())
    assert [(s["set_id"], s["features"]) for s in written["zone_sets"]] == [
        ("../schools", "zone_set_1.geojson"), ("schools", "zone_set_2.geojson"),
    ]  # fmt: skip
    assert {r["geometry"]["version"] for r in written["requirements"]} == {"1"}
    assert json.loads((tmp_path / "zone_set_1.geojson").read_text())["features"][0]["id"] == "elm"


# ------------------------------------------------------------------------------------------- over HTTP and on pages


@pytest.fixture
async def office(database_url: str, data_dir: Path) -> AsyncIterator[Office]:
    given = orders(1, 2)
    given["requirements"] = [exclusion()]
    given["zone_sets"] = [zone_set()]
    async with open_office(database_url, data_dir, given) as office:
        yield office


async def put(office: Office, body: dict[str, Any]) -> tuple[int, Any]:
    path = f"/v1/requirements/{body['requirement_id']}"
    async with office.http.put(path, json=body, headers=office.bearer("officer")) as response:
        return response.status, await response.json()


async def test_a_requirement_over_http_can_name_a_set_that_exists(office: Office) -> None:
    other = exclusion(requirement_id="E2", wearer_id="W2", widen_m=20, reason="heard of late")
    assert await put(office, other) == (200, {"changes": ["requirement entered"], "keys": {}, "warnings": []})
    unknown = copy.deepcopy(other) | {"geometry": {"type": "ZoneSet", "set_id": "parks"}}
    status, answer = await put(office, unknown)
    assert status == 422
    assert "zone set 'parks' is not known" in answer["error"]


async def an_alert(office: Office) -> int:
    await office.report("D1", away("19:50", 1, ELM), away("19:52", 2, ELM))
    for _ in range(100):
        found = (await office.get("/v1/alerts?wearer=W1"))[1]["alerts"]
        if exclusions := [a for a in found if a["kind"] == "EXCLUSION"]:
            return int(exclusions[0]["alert_no"])
        await asyncio.sleep(0.05)
    raise AssertionError("after 5 s there is no alert")


async def test_an_alert_names_the_zone_in_words_and_in_its_facts_and_the_map_draws_those_near(office: Office) -> None:
    widened = exclusion(widen_m=15, buffer_m=40, reason="varied")
    assert (await put(office, widened))[0] == 200
    number = await an_alert(office)
    visitor = Visitor(office)
    try:
        await visitor.log_in(await office.account())
        status, page = await visitor.get(f"/alerts/{number}")
        assert status == 200
        assert "inside the exclusion zone elm of E1" in page
        assert "about its zone <strong>elm</strong>" in page
        assert "each zone 15 m wider than drawn" in page
        assert "inside (elm)" in page
        source = page.split('data-source="')[1].split('"')[0].replace("&amp;", "&")
        async with visitor.http.get(source) as answer:
            drawn = unpacked(await answer.read())
        assert [(z["label"], z["widen_m"], z["buffer_m"]) for z in drawn["zones"]] == [
            ("elm", 15.0, 40.0),
            ("oak", 15.0, 40.0),
        ]
        assert drawn["zones_left_out"] == 0
        assert drawn["zones"][0]["geometry"]["type"] == "Polygon"
        number = await office.connection.fetchval("SELECT wearer_no FROM wearers WHERE wearer_id = 'W1'")
        _, person = await visitor.get(f"/wearers/{number}")
        assert "zone set schools, version 1" in person
        assert "widened by 15 m" in person
    finally:
        await visitor.http.close()


async def test_an_invalid_zone_over_http_is_refused_like_in_a_file(office: Office) -> None:
    status, answer = await put(office, exclusion(geometry=BOW_TIE))
    assert (status, "invalid" in answer["error"]) == (422, True)


def found_of(kind: Kind, reason: str | None, zone_id: str | None) -> Finding:
    return Finding(kind, ms("19:00"), ms("19:10"), ms("19:01"), reason, requirement_id="R1", zone_id=zone_id)


@pytest.mark.parametrize(
    ("kind", "reason", "zone_id", "words"),
    [
        (Kind.EXCLUSION, None, "MARKETPLACE", "inside the exclusion zone MARKETPLACE of R1 from"),
        (Kind.EXCLUSION, None, None, "inside the exclusion zone R1 from"),
        (Kind.APPROACH, None, "oak", "within the buffer of the exclusion zone oak of R1 from"),
        (Kind.INCLUSION, None, "oak", "outside the inclusion zone R1 from"),
        (Kind.INCLUSION, None, "oak", "The nearest zone of the set was oak when it began."),
        (Kind.CURFEW, "LEFT_DURING", "oak", "The nearest zone of the set was oak when it began."),
        (Kind.CURFEW, "LEFT_DURING", None, "left the address of the curfew R1 at"),
    ],
)
def test_the_words_name_the_zone_that_somebody_was_in_or_nearest_to(
    kind: Kind, reason: str | None, zone_id: str | None, words: str
) -> None:
    story = Words("Europe/London").story(found_of(kind, reason, zone_id), ms("20:00"))
    assert words in story
    assert ("nearest zone" in story) == (zone_id is not None and kind in (Kind.INCLUSION, Kind.CURFEW))


async def test_a_set_is_built_once_and_then_loaded_from_its_folder_until_that_is_not_the_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = await world.connection.fetchval("SELECT content FROM zone_set_versions")
    built = await ZoneSetCache(tmp_path / "sets").get(world.connection, content)
    monkeypatch.setattr("emtrack.record.zone_sets.build", lambda _: pytest.fail("it was built again"))
    loaded = await ZoneSetCache(tmp_path / "sets").get(world.connection, content)
    assert loaded.zone_ids == built.zone_ids
    assert loaded.margins_m([-2.18], [53.0]).tolist() == built.margins_m([-2.18], [53.0]).tolist()
    about = tmp_path / "sets" / content / "about.json"
    about.write_text(about.read_text().replace(content, "another"))
    monkeypatch.undo()
    assert (await ZoneSetCache(tmp_path / "sets").get(world.connection, content)).content == content
    assert content in about.read_text()
