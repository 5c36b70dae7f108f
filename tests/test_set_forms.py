"""Shared zone sets in orders.json: read strictly, resolved by name and version, and judged by `emtrack evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emtrack.forms.errors import FormError
from emtrack.forms.reading import read_and_mend, read_orders, refuse_unknown_sets, write_orders
from emtrack.forms.to_core import plans_of, requirement_of, set_names_of, sets_of
from geofence.obligations import version_of
from geofence.shapes.zone_sets import content_of
from geofence.zones import SetZone
from tests.command_line import emtrack
from tests.service_world import activation, position
from tests.test_cli import BOW_TIE, write_csv

OAK, ELM = (-2.15, 53.0), (-2.12, 53.0)


def square(place: tuple[float, float], half_deg: float = 0.002) -> dict[str, Any]:
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
    return {
        "type": "Polygon",
        "coordinates": [[[place[0] + x * half_deg, place[1] + y * half_deg] for x, y in corners]],
    }


def feature(zone_id: str | float | None, geometry: Any = None, /, **properties: Any) -> dict[str, Any]:
    named = {} if zone_id is None else {"id": zone_id}
    return {"type": "Feature", **named, "properties": properties, "geometry": geometry or square(OAK)}


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


POINT = {"type": "Point", "coordinates": [0, 0]}
SCHOOLS = collection(feature("oak"), feature("elm", square(ELM)))


def zone_set(version: str = "1", features: Any = SCHOOLS) -> dict[str, Any]:
    return {"set_id": "schools", "version": version, "features": features}


def exclusion(**fields: Any) -> dict[str, Any]:
    return {
        "requirement_id": "E1", "wearer_id": "W1", "kind": "EXCLUSION", "from": "2026-03-01T00:00:00Z",
        "geometry": {"type": "ZoneSet", "set_id": "schools"}, **fields,
    }  # fmt: skip


def form(*sets: dict[str, Any], **requirement: Any) -> dict[str, Any]:
    return {
        "activations": [activation(1)],
        "requirements": [exclusion(**requirement)],
        "zone_sets": list(sets or [zone_set()]),
    }


def read(what: dict[str, Any], folder: Path | None = None) -> Any:
    return read_orders(json.dumps(what, indent=1), "orders.json", folder=folder)


def refusal(what: dict[str, Any], folder: Path | None = None) -> str:
    text = json.dumps(what, indent=1)
    with pytest.raises(FormError) as error:
        refuse_unknown_sets(read_orders(text, "orders.json", folder=folder), text, "orders.json")
    return str(error.value)


def zone_of(what: dict[str, Any]) -> SetZone:
    (plan,) = plans_of(read(what))
    zone = plan.requirements[0].zone
    assert isinstance(zone, SetZone)
    return zone


# ------------------------------------------------------------------------------------------- reading


def test_a_requirement_on_a_set_is_on_exactly_its_members() -> None:
    orders = read(form(widen_m=25))
    (plan,) = plans_of(orders)
    members = orders.zone_sets[0].features.members
    assert plan.requirements[0].zone == SetZone("schools", "1", content_of(members))
    assert plan.requirements[0].widen_m == 25.0
    assert list(sets_of(orders)) == [content_of(members)]


def test_the_order_of_the_features_makes_no_other_set() -> None:
    turned = collection(*reversed(SCHOOLS["features"]))
    assert zone_of(form(zone_set(features=turned))) == zone_of(form())


def test_without_a_version_the_last_one_of_the_file_is_taken_and_with_one_that() -> None:
    sets = [zone_set("1"), zone_set("2", collection(feature("oak")))]
    assert zone_of(form(*sets)).version == "2"
    assert zone_of(form(*reversed(sets))).version == "1"
    assert zone_of(form(*sets, geometry={"type": "ZoneSet", "set_id": "schools", "version": "1"})).version == "1"


def test_a_zone_is_called_by_its_id_or_else_by_a_property_and_a_number_is_an_id() -> None:
    features = collection(feature("a"), feature(None, zone_id="b"), feature(7), feature("c", zone_id="ignored"))
    members = read(form(zone_set(features=features))).zone_sets[0].features.members
    assert [member.zone_id for member in members] == ["a", "b", "7", "c"]


def test_what_is_written_reads_as_what_was_read() -> None:
    first = read(form(widen_m=25))
    again = read_orders(write_orders(first).decode(), "orders.json")
    assert version_of(plans_of(again)) == version_of(plans_of(first))
    assert json.loads(write_orders(first))["zone_sets"] == [zone_set()]


def test_minus_zero_is_zero() -> None:
    """A database holds no minus zero; the same set would come back as another."""
    ring = [[-0.0, 51.0], [0.01, 51.0], [0.01, 51.01], [-0.0, 51.01], [-0.0, 51.0]]
    one, two = ({"type": "Polygon", "coordinates": [[[x * 1.0 + zero, y] for x, y in ring]]} for zero in (-0.0, 0.0))
    assert zone_of(form(zone_set(features=collection(feature("a", one))))) == zone_of(
        form(zone_set(features=collection(feature("a", two))))
    )


@pytest.mark.parametrize(
    ("features", "place", "what"),
    [
        (collection(feature(None)), "features[0]", "there is none"),
        (collection(feature("a"), feature("a")), "features[1]", "'a' stands twice (before at features[0])"),
        (collection(feature(1), feature("1")), "features[1]", "'1' stands twice"),
        (collection(feature("")), "features[0]", "it has 0 characters; expected 1 to 200"),
        (collection(feature(True)), "features[0]", "its id is 'True'; expected a text or a number"),
        (collection(feature(1e16)), "features[0]", "a number of which digits are lost"),
        (collection(feature("p", POINT)), "features[0].geometry", "zone 'p': its geometry is Point"),
        (
            collection(feature("c", {"type": "Circle", "centre": [0, 0], "radius_m": 5})),
            "features[0].geometry",
            "a Circle has no place in GeoJSON",
        ),
        (collection(feature("a"), feature("x", BOW_TIE)), "features[1].geometry", "zone 'x': the polygon is invalid: Self-"),
        (collection(feature("g") | {"geometry": None}), "features[0].geometry", "its geometry is missing"),
        (collection(), "features", "at least one feature"),
        ({"type": "Feature"}, "", "expected a GeoJSON FeatureCollection"),
        (
            collection(feature("a")) | {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::27700"}}},
            "crs",
            "the coordinates are in urn:ogc:def:crs:EPSG::27700",
        ),
    ],
)  # fmt: skip
def test_what_is_no_zone_is_refused_by_set_and_place(features: Any, place: str, what: str) -> None:
    said = refusal(form(zone_set(features=features)))
    assert f"zone_sets[0].features{'.' if place else ''}{place}: zone set 'schools': " in said
    assert what in said
    assert "orders.json: line " in said


def test_the_line_is_that_of_the_feature() -> None:
    text = json.dumps(form(zone_set(features=collection(feature("a"), feature("a")))), indent=1)
    with pytest.raises(FormError, match=r"line (\d+)") as error:
        read_orders(text, "orders.json")
    line = int(str(error.value).split("line ")[1].split(":")[0])
    begins = [n for n, row in enumerate(text.splitlines(), 1) if row.strip() == '"type": "Feature",']
    assert line == begins[1] - 1


@pytest.mark.parametrize(
    ("geometry", "what"),
    [
        ({"type": "ZoneSet", "set_id": "parks"}, "zone set 'parks' is not known"),
        ({"type": "ZoneSet", "set_id": "schools", "version": "9"}, "'schools' is not known; expected one of '1'"),
        ({"type": "ZoneSet"}, "missing required field `set_id`"),
        ({"type": "ZoneSet", "set_id": "schools", "centre": [0, 0]}, "unknown field `centre`"),
        ({"type": "ZoneSet", "set_id": 3}, "Expected `str`"),
        ({"type": "Ellipse"}, "expected Polygon, MultiPolygon, Circle or ZoneSet"),
    ],
)  # fmt: skip
def test_a_requirement_that_names_no_set_is_refused(geometry: Any, what: str) -> None:
    said = refusal(form(geometry=geometry))
    assert "requirements[0].geometry: " in said
    assert what in said.replace("Object ", "object ")


def test_a_version_stands_once_in_a_file() -> None:
    assert "version '1' of zone set 'schools' stands twice" in refusal(form(zone_set(), zone_set()))


@pytest.mark.parametrize("widen_m", [-1, 2e6, "far"])
def test_a_widening_is_a_distance(widen_m: Any) -> None:
    assert "requirements[0].widen_m: " in refusal(form(widen_m=widen_m))


# ------------------------------------------------------------------------------------------- files


def test_features_can_lie_in_a_file_beside_the_orders(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "schools.geojson").write_text(json.dumps(SCHOOLS))
    named = form(zone_set(features="maps/schools.geojson"))
    assert version_of(plans_of(read(named, tmp_path))) == version_of(plans_of(read(form())))
    assert json.loads(write_orders(read(named, tmp_path)))["zone_sets"] == [zone_set(features="maps/schools.geojson")]


@pytest.mark.parametrize("name", ["/etc/passwd", "../schools.geojson", "maps/../../schools.geojson", "link"])
def test_what_leads_out_of_the_folder_of_the_orders_is_not_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "orders"
    folder.mkdir()
    (tmp_path / "schools.geojson").write_text(json.dumps(SCHOOLS))
    (folder / "link").symlink_to(tmp_path / "schools.geojson")
    said = refusal(form(zone_set(features=name)), folder)
    assert "zone set 'schools'" in said
    assert "leads out of the folder" in said or "cannot be read" in said
    assert "FeatureCollection" not in said


def test_where_there_is_no_folder_no_file_can_be_named() -> None:
    assert "give the FeatureCollection itself" in refusal(form(zone_set(features="schools.geojson")))


def test_what_is_wrong_in_a_file_is_said_of_the_file(tmp_path: Path) -> None:
    text = json.dumps(collection(feature("a"), feature("x", BOW_TIE)), indent=1)
    (tmp_path / "s.geojson").write_text(text)
    said = refusal(form(zone_set(features="s.geojson")), tmp_path)
    assert said.startswith("s.geojson: line ")
    assert "features[1].geometry: zone set 'schools': zone 'x': the polygon is invalid" in said
    (tmp_path / "s.geojson").write_text("{")
    assert refusal(form(zone_set(features="s.geojson")), tmp_path).startswith("s.geojson: line 1: this is not JSON")


# ------------------------------------------------------------------------------------------- repair


def test_a_repair_names_the_zone_and_how_its_area_changes() -> None:
    bent = [[-2.19, 53.02], [-2.17, 53.02], [-2.17, 53.03], [-2.171, 53.019], [-2.19, 53.03], [-2.19, 53.02]]
    features = collection(
        feature("oak"), feature("bow", BOW_TIE), feature("bent", {"type": "Polygon", "coordinates": [bent]})
    )
    orders, mended = read_and_mend(json.dumps(form(zone_set(features=features))), "orders.json", repair=True)
    bow, bent_zone = map(str, mended)
    assert bow.startswith("zone 'bow' of set 'schools' was repaired (the polygon is invalid: Self-intersection[")
    assert "area 0.75 km², 0 m² as drawn (" in bow
    assert "%" not in bow, "of nothing there is no percentage"
    assert "%" in bent_zone
    assert read_and_mend(write_orders(orders).decode(), "again")[1] == []
    assert (
        plans_of(read_orders(write_orders(orders).decode(), "again"))[0].requirements
        == plans_of(orders)[0].requirements
    )


def test_a_repair_keeps_what_else_a_feature_says() -> None:
    features = collection(feature("bow", BOW_TIE, name="Bow Street"))
    orders, _ = read_and_mend(json.dumps(form(zone_set(features=features))), "orders.json", repair=True)
    written = json.loads(write_orders(orders))["zone_sets"][0]["features"]["features"]
    assert written[0]["properties"] == {"name": "Bow Street"}


# ------------------------------------------------------------------------------------------- the command


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "orders.json").write_text(json.dumps(form(), indent=1))
    write_csv(tmp_path / "positions.csv", [
        {"device_id": "D1", **position(0, f"19:{minute:02d}", place)}
        for minute, place in [(0, (-2.2, 53.0)), (1, (-2.2, 53.0)), (8, ELM), (9, OAK), (10, OAK)]
    ])  # fmt: skip
    return tmp_path


def evaluate(files: Path, *more: str) -> Any:
    return emtrack(
        "evaluate", "--orders", files / "orders.json", "--positions", files / "positions.csv",
        "--until", "2026-03-02T19:12:00Z", *more,
    )  # fmt: skip


def test_evaluate_says_which_zone_of_the_set_after_the_fields_of_the_contract(files: Path) -> None:
    (line,) = map(json.loads, evaluate(files).stdout.splitlines())
    assert list(line)[-2:] == ["within_grace", "zone_id"]
    assert (line["kind"], line["begin"], line["zone_id"]) == ("EXCLUSION", "2026-03-02T19:08:00Z", "elm")


def test_a_zone_of_its_own_has_no_id(files: Path) -> None:
    (files / "orders.json").write_text(json.dumps(form(geometry=square(ELM), confirm_points=1)))
    (line,) = map(json.loads, evaluate(files).stdout.splitlines())
    assert (line["kind"], line["zone_id"]) == ("EXCLUSION", None)


def test_evaluate_refuses_a_set_that_the_file_does_not_hold(files: Path) -> None:
    (files / "orders.json").write_text(json.dumps(form() | {"zone_sets": []}, indent=1))
    result = evaluate(files)
    assert result.returncode == 2
    assert "orders.json: line " in result.stderr
    assert "requirements[0].geometry: zone set 'schools' is not known" in result.stderr


def test_evaluate_repairs_a_file_of_zones_in_its_place_and_says_what_it_did(files: Path) -> None:
    (files / "s.geojson").write_text(json.dumps(collection(feature("bow", BOW_TIE))))
    (files / "orders.json").write_text(json.dumps(form(zone_set(features="s.geojson"))))
    before = (files / "orders.json").read_text()
    assert evaluate(files).returncode == 2
    result = evaluate(files, "--repair")
    assert result.returncode == 0, result.stderr
    assert "s.geojson: zone 'bow' of set 'schools' was repaired" in result.stderr
    assert "as drawn" in result.stderr
    assert evaluate(files).returncode == 0
    assert (files / "orders.json").read_text() == before


def test_names_resolve_to_the_version_that_was_added_last() -> None:
    names = set_names_of(read(form()))
    names.add("schools", "5", "c")
    requirement = requirement_of(read(form()).requirements[0], "1", names)
    assert requirement.zone == SetZone("schools", "5", "c")
