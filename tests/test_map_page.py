"""The map, in a browser, under the policy of the pages, with positions made here."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from pyproj import Geod, Transformer
from shapely import LineString, MultiLineString, Polygon, hausdorff_distance, transform
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emtrack.basemap import Basemap, open_or_outline
from emtrack.people.roles import Caller, Role
from emtrack.web.basemap import BasemapRoutes
from emtrack.web.guard import Endpoint
from emtrack.web.packed import MEDIA_TYPE, DrawnPoint, packed
from geofence import parse_instant
from tests.browser import OpenPage, WatchedPage, axe

STATIC = Path(__file__).parent.parent / "emtrack" / "web" / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HOME = (-0.1276, 51.5072)
BEGINNING = datetime(2026, 3, 2, 21, 0, tzinfo=UTC)
MINUTE = 60
GEOD = Geod(ellps="WGS84")


# ---- what is drawn


def position(n: int, east_m: float, north_m: float, at_s: float, **fields: Any) -> dict[str, Any]:
    lon_deg, lat_deg, _ = GEOD.fwd(*HOME, math.degrees(math.atan2(east_m, north_m)), math.hypot(east_m, north_m))
    at = BEGINNING + timedelta(seconds=at_s)
    return {
        "n": n,
        "at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "at_local": at.strftime("%a %-d %b %Y %H:%M:%S GMT"),
        "lat_deg": lat_deg,
        "lon_deg": lon_deg,
        "radius_m": 6,
        "mechanism": "GPS",
        "speed_kmh": None,
        "direction_deg": None,
        "verdict": "OUTSIDE",
        "margin_m": -40.25,
        "use": "evidence",
        "is_evidence": True,
        "in_finding": False,
        **fields,
    }


def walk() -> list[dict[str, Any]]:
    """Nine points: a walk into R2, then 40 minutes of silence, a jump that is not believed, and mobile network."""
    inside = {"verdict": "INSIDE", "margin_m": 12.0, "in_finding": True}
    jump = {"use": "implausible: jump", "is_evidence": False, "verdict": None, "margin_m": None}
    return [
        position(1, -420, -260, 0, speed_kmh=4.5, direction_deg=62.0),
        position(2, -300, -200, 1 * MINUTE, speed_kmh=4.8, direction_deg=60.0),
        position(3, -170, -120, 2 * MINUTE, mechanism="WIFI", radius_m=25),
        position(4, -30, -20, 3 * MINUTE, **inside),
        position(5, 20, 25, 4 * MINUTE, **inside),
        position(6, 520, 380, 5 * MINUTE, **jump),
        position(7, 180, 60, 45 * MINUTE, mechanism="LBS", radius_m=160, verdict="UNKNOWN", margin_m=-90.0),
        position(8, 260, -90, 46 * MINUTE, mechanism="RF"),
        position(9, 330, -180, 47 * MINUTE),
    ]


def ring(*corners: tuple[float, float]) -> list[list[float]]:
    places = [position(0, east_m, north_m, 0) for east_m, north_m in corners]
    return [[place["lon_deg"], place["lat_deg"]] for place in [*places, places[0]]]


def zones() -> list[dict[str, Any]]:
    notched = ring((-480, -60), (-330, -60), (-330, 180), (-400, 180), (-400, 20), (-480, 20))
    home = position(0, 330, -180, 0)
    return [
        {"label": "R2", "kind": "EXCLUSION", "buffer_m": 100, "geometry": {"type": "Circle", "centre": HOME, "radius_m": 60}},
        {"label": "R3", "kind": "INCLUSION", "buffer_m": 40, "geometry": {"type": "Polygon", "coordinates": [notched]}},
        {
            "label": "R1",
            "kind": "CURFEW",
            "buffer_m": 0,
            "geometry": {"type": "Circle", "centre": [home["lon_deg"], home["lat_deg"]], "radius_m": 45},
        },
    ]  # fmt: skip


def fortnight() -> list[dict[str, Any]]:
    """15,000 points of somebody who goes round the town."""

    def at(n: int) -> dict[str, Any]:
        turn = n / 300 * 2 * math.pi
        distance_m = 1500 + 1200 * math.sin(turn * 0.137) + 40 * math.sin(n)
        return position(
            n, distance_m * math.cos(turn), distance_m * math.sin(turn), n * MINUTE, mechanism=("GPS", "WIFI")[n % 2]
        )

    return [at(n) for n in range(1, 15_001)]


DATA: dict[str, dict[str, Any]] = {
    "walk": {"timezone": "Europe/London", "gap_s": 900, "zones": zones(), "points": walk()},
    "nothing": {"timezone": "Europe/London", "gap_s": 900, "zones": [], "points": []},
    "formless": {
        "timezone": "Europe/London",
        "gap_s": 900,
        "zones": [{"label": "R2", "kind": "EXCLUSION", "buffer_m": 0, "geometry": None}],
        "points": [],
    },
    "widened": {
        "timezone": "Europe/London",
        "gap_s": 900,
        "points": [position(1, 0, 0, 0)],
        "zones_left_out": 12,
        "zones": [{**zones()[0], "kind": "INCLUSION", "widen_m": 200, "buffer_m": 0}],
    },
    "one": {"timezone": "Europe/London", "gap_s": 900, "zones": [], "points": [position(1, 0, 0, 0)]},
}


# ---- the server


PAGE = """<!DOCTYPE html>
<html lang="en" class="govuk-template">
<head><meta charset="utf-8"><title>Positions</title><meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/vendor/govuk-moj.css"><link rel="stylesheet" href="/static/vendor/ol.css">
<link rel="stylesheet" href="/static/map.css"><link rel="stylesheet" href="/page.css">
<script type="module" src="/static/map.js"></script></head>
<body class="govuk-template__body"><div class="govuk-width-container"><main class="govuk-main-wrapper">
<h1 class="govuk-heading-l">Positions</h1><h2 class="govuk-heading-m">Map</h2>
<div id="positions" class="emtrack-map" data-source="/data/{name}" data-label="Map of the positions" tabindex="0"></div>
<h2 class="govuk-heading-m">Table</h2>
<div id="scroller" tabindex="0" role="region" aria-label="Table of the positions">
<table class="govuk-table" data-map="positions"><thead class="govuk-table__head"><tr class="govuk-table__row">
<th scope="col" class="govuk-table__header">Point</th><th scope="col" class="govuk-table__header">Time</th></tr></thead>
<tbody class="govuk-table__body">{rows}</tbody></table></div></main></div></body></html>"""
CELL = '<td class="govuk-table__cell">{}</td>'
ROW = f'<tr data-n="{{n}}" class="govuk-table__row">{CELL.format("{n}")}{CELL.format("{at_local}")}</tr>'


def with_policy(app: ASGIApp) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await app(scope, receive, send_with_policy)

    return answer


def data_of(name: str) -> dict[str, Any]:
    if name == "fortnight":
        return {**DATA["nothing"], "zones": zones(), "points": fortnight()}
    return DATA[name]


def packed_of(data: dict[str, Any]) -> bytes:
    points = [
        DrawnPoint(at_ms=parse_instant(one["at"]), **{key: one[key] for key in DrawnPoint._fields if key != "at_ms"})
        for one in data["points"]
    ]
    return packed({key: value for key, value in data.items() if key != "points"}, points)


def application(basemap: Basemap) -> Starlette:
    async def page(request: Request) -> Response:
        name = request.path_params["name"]
        rows = "".join(ROW.format(**point) for point in DATA.get(name, {"points": []})["points"])
        return HTMLResponse(PAGE.format(name=name, rows=rows))

    async def data(request: Request) -> Response:
        name = request.path_params["name"]
        return (
            JSONResponse({}, 503) if name == "broken" else Response(packed_of(data_of(name)), media_type=MEDIA_TYPE)
        )

    async def page_css(_: Request) -> Response:
        return Response("#scroller { height: 9rem; overflow-y: auto; }", media_type="text/css")

    routes = [
        Route("/maps/{name}", page),
        Route("/data/{name}", data),
        Route("/page.css", page_css),
        *ground_routes(basemap),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(with_policy)])


def ground_routes(basemap: Basemap) -> list[Route]:
    """Those of the service, for somebody who is logged in."""
    ground, caller = BasemapRoutes(None, basemap), Caller("Ann", Role.OPERATOR)  # type: ignore[arg-type]

    def of_caller(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def asked(request: Request) -> Response:
            return await endpoint(request, caller)

        return asked

    routes = [Route("/basemap", of_caller(ground.described))]
    if basemap.mbtiles is None:
        return [*routes, Route("/basemap/{version}/tiles.pmtiles", of_caller(ground.bytes_of_file))]
    return [*routes, Route("/basemap/{version}/{zoom:int}/{column:int}/{row:int}", of_caller(ground.tile))]


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    basemap, _ = open_or_outline(None)
    with closing(basemap):
        async with served(basemap) as address:
            yield address


@asynccontextmanager
async def served(basemap: Basemap) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(application(basemap), log_level="error", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:  # who connects before the server is up waits in line
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        await serving


# ---- what is seen


async def ready(page: WatchedPage) -> WatchedPage:
    await page.wait_for_selector("#positions[data-ready=true]")
    return page


async def facts(page: WatchedPage) -> dict[str, str]:
    rows = await page.evaluate("[...document.querySelectorAll('#positions dl > div')].map(row => row.innerText)")
    return {name.strip(): " ".join(value.split()) for name, _, value in (row.partition("\n") for row in rows)}


async def pixels_of(page: WatchedPage, colour: str) -> int:
    """How many pixels of the map have exactly this colour."""
    await page.evaluate("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    count: int = await page.evaluate(COUNT_PIXELS, wanted)
    return count


COUNT_PIXELS = """
([red, green, blue]) => [...document.querySelectorAll('#positions canvas')].reduce((sum, canvas) => {
    const copy = Object.assign(document.createElement('canvas'), {width: canvas.width, height: canvas.height});
    const pen = copy.getContext('2d', {willReadFrequently: true});  // Chromium warns of reading the map's own
    pen.drawImage(canvas, 0, 0);
    const {data} = pen.getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let at = 0; at < data.length; at += 4) {
        if (data[at] === red && data[at + 1] === green && data[at + 2] === blue && data[at + 3] === 255) found += 1;
    }
    return sum + found;
}, 0)
"""
EXCLUSION, INCLUSION, CURFEW = "#942514", "#005a30", "#4c2c92"
INSIDE, OUTSIDE, UNKNOWN, IN_FINDING, CHOSEN, TRAIL = "#003078", "#8eb8dc", "#cecece", "#f47738", "#ffdd00", "#383f43"


async def test_zones_and_points_are_drawn_under_the_policy_of_the_pages(origin: str, open_page: OpenPage) -> None:
    page = await ready(await open_page(f"{origin}/maps/walk"))
    drawn = await page.eval_on_selector("#positions", "place => ({...place.dataset})")
    assert (drawn["points"], drawn["zones"]) == ("9", "3")
    for colour in (EXCLUSION, INCLUSION, CURFEW, INSIDE, OUTSIDE, UNKNOWN, IN_FINDING, TRAIL):
        assert await pixels_of(page, colour) > 20, colour
    assert await pixels_of(page, CHOSEN) == 0
    page.assert_clean(origin)


async def test_the_trail_is_dotted_where_nothing_was_known_for_longer_than_the_gap(
    origin: str, open_page: OpenPage
) -> None:
    page = await ready(await open_page(f"{origin}/maps/walk"))
    assert await page.get_attribute("#positions", "data-gaps") == "1"
    lines = await page.evaluate(
        "async () => (await import('/static/map/trail.js')).trailLines("
        "[[0, 0], [60, 1], [1000, 2], [1060, 3]].map(([s, x]) => ({at_ms: s * 1000, place: [x, 0]})), 900)"
    )
    assert lines == {"joined": [[[0, 0], [1, 0]], [[2, 0], [3, 0]]], "gaps": [[[1, 0], [2, 0]]]}


async def test_the_card_tells_all_that_is_known_of_a_point(origin: str, open_page: OpenPage) -> None:
    page = await ready(await open_page(f"{origin}/maps/walk"))
    await page.click("#positions [data-step=first]")
    first = walk()[0]
    assert list((await facts(page)).items()) == [
        ("Point", "1 of 9"),
        ("Accuracy", "within 6 m"),
        ("Date and time", "Mon 2 Mar 2026 21:00:00 GMT"),
        ("Latitude and longitude", f"{first['lat_deg']:.6f}, {first['lon_deg']:.6f} Copy latitude and longitude"),
        ("Speed", "4.5 km/h, towards north-east (62°)"),
        ("Signal type", "GPS"),
        ("Verdict", "OUTSIDE, 40 m outside"),
        ("Use", "evidence"),
    ]
    assert await pixels_of(page, CHOSEN) > 20


async def test_the_keyboard_alone_reads_the_points_one_by_one(origin: str, open_page: OpenPage) -> None:
    page = await ready(await open_page(f"{origin}/maps/walk"))
    await page.focus("#positions [data-step=next]")
    read = []
    for _ in range(11):
        await page.keyboard.press("Enter")
        read.append((await facts(page))["Point"])
    assert read == [f"{n} of 9" for n in [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9]]
    assert await page.get_attribute("#positions [data-step=next]", "aria-disabled") == "true"
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Space")
    assert (await facts(page))["Point"] == "8 of 9"
    assert (await facts(page))["Signal type"] == "RF"


async def test_a_row_of_the_table_and_its_point_are_chosen_together(origin: str, open_page: OpenPage) -> None:
    page = await ready(await open_page(f"{origin}/maps/walk", height=500))
    await page.click("tr[data-n='2']")
    assert (await facts(page))["Point"] == "2 of 9"
    before = await page.evaluate("scrollY")
    await page.eval_on_selector("#positions [data-step=last]", "button => button.click()")
    assert await page.locator("tr[aria-current=true]").get_attribute("data-n") == "9"
    seen = await page.evaluate(
        "() => { const [row, box] = ['tr[data-n=\"9\"]', '#scroller'].map(s => document.querySelector(s).getBoundingClientRect());"
        " return row.top >= box.top && row.bottom <= box.bottom + 1; }"
    )
    assert seen, "the container of the table scrolls"
    assert await page.evaluate("scrollY") == before, "and the page stays"


async def test_a_click_on_the_map_chooses_the_point_there_and_only_there(origin: str, open_page: OpenPage) -> None:
    page = await ready(await open_page(f"{origin}/maps/one"))
    await page.click(".emtrack-map__viewport", position={"x": 300, "y": 60})
    assert await facts(page) == {}
    await page.click(".emtrack-map__viewport")
    await page.wait_for_selector("#positions dl")
    assert (await facts(page))["Point"] == "1 of 1"


async def test_latitude_and_longitude_can_be_copied(origin: str, open_page: OpenPage) -> None:
    page = await ready(await open_page(f"{origin}/maps/one", permissions=["clipboard-read", "clipboard-write"]))
    await page.click("#positions [data-step=first]")
    await page.click("#positions .emtrack-map__copy")
    await page.wait_for_selector("text=Copied.")
    assert await page.evaluate("navigator.clipboard.readText()") == "51.507200, -0.127600"


async def test_what_is_not_to_be_seen_is_left_out_and_stepped_over(origin: str, open_page: OpenPage) -> None:
    page = await ready(await open_page(f"{origin}/maps/walk"))
    for hidden in ("notEvidence", "LBS", "trail"):
        await page.uncheck(f"[data-shows={hidden}]", force=True)
    await page.click("tr[data-n='5']")
    await page.click("#positions [data-step=next]")
    assert (await facts(page))["Point"] == "8 of 9"
    assert await pixels_of(page, UNKNOWN) < 5  # by chance, where shades meet
    assert await pixels_of(page, TRAIL) < 5


async def test_zooming_and_fitting_change_the_picture_and_come_back(origin: str, open_page: OpenPage) -> None:
    page = await ready(await open_page(f"{origin}/maps/walk"))
    whole = await pixels_of(page, EXCLUSION)
    await page.click("[aria-label='Zoom in']")
    await page.click("[aria-label='Zoom in']")
    assert await pixels_of(page, EXCLUSION) > whole
    await page.click("[data-does=fit]")
    assert await pixels_of(page, EXCLUSION) == whole
    await page.focus(".emtrack-map__viewport")
    await page.keyboard.press("+")
    assert await pixels_of(page, EXCLUSION) > whole


async def test_fifteen_thousand_points_are_drawn_and_stepped_through(origin: str, open_page: OpenPage) -> None:
    page = await ready(await open_page(f"{origin}/maps/fortnight"))
    assert await page.get_attribute("#positions", "data-points") == "15000"
    assert await pixels_of(page, OUTSIDE) > 10_000
    await page.click("#positions [data-step=last]")
    assert (await facts(page))["Point"] == "15000 of 15000"
    await page.check("[data-shows=numbers]", force=True)
    await page.uncheck("[data-shows=GPS]", force=True)
    await page.click("#positions [data-step=previous]")
    assert (await facts(page))["Point"] == "14999 of 15000"
    page.assert_clean(origin)


@pytest.mark.parametrize("width", [1280, 320])
async def test_the_map_is_accessible_and_fits_its_screen(origin: str, open_page: OpenPage, width: int) -> None:
    page = await ready(await open_page(f"{origin}/maps/walk", width=width))
    await page.click("#positions [data-step=first]")
    await page.click("#positions summary")
    assert await axe(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    page.assert_clean(origin)


async def test_a_map_that_cannot_be_loaded_says_so_in_its_place(origin: str, open_page: OpenPage) -> None:
    page = await open_page(f"{origin}/maps/broken")
    alert = await page.wait_for_selector("#positions [role=alert]")
    assert "could not be loaded: the service answered with an error (503)" in await alert.inner_text()
    assert page.errors == page.policy_violations == []


async def test_data_that_cannot_be_drawn_is_no_blank_map(origin: str, open_page: OpenPage) -> None:
    page = await open_page(f"{origin}/maps/formless")
    alert = await page.wait_for_selector("#positions [role=alert]")
    assert "could not be drawn" in await alert.inner_text()
    page.assert_clean(origin)


async def test_a_map_of_nothing_says_that_there_is_nothing(origin: str, open_page: OpenPage) -> None:
    page = await ready(await open_page(f"{origin}/maps/nothing"))
    assert await page.locator("#positions [role=status]", has_text="no points and no zones").count() == 1
    page.assert_clean(origin)


async def test_a_zone_that_is_widened_is_drawn_as_wide_as_it_is_judged(origin: str, open_page: OpenPage) -> None:
    page = await ready(await open_page(f"{origin}/maps/widened"))
    script = """async ([zone]) => {
        const { zoneLayers } = await import('/static/map/layers.js');
        const wide = (layer) => { const [west, , east] = layer.getSource().getExtent(); return east - west; };
        const { areas, buffers } = zoneLayers([zone]);
        return wide(buffers) / wide(areas);
    }"""
    assert await page.evaluate(script, DATA["widened"]["zones"]) == pytest.approx((60 + 200) / 60, rel=0.01)
    page.assert_clean(origin)


async def test_zones_of_a_set_that_are_not_drawn_are_counted(origin: str, open_page: OpenPage) -> None:
    page = await ready(await open_page(f"{origin}/maps/widened"))
    assert await page.locator("#positions", has_text="12 more zones lie near and are not drawn.").count() == 1
    page = await ready(await open_page(f"{origin}/maps/walk"))
    assert await page.locator("#positions", has_text="are not drawn").count() == 0


async def test_circles_and_buffers_are_true_in_metres(origin: str, open_page: OpenPage) -> None:
    """PROJ and GEOS are the oracles of the map's own geometry."""
    page = await ready(await open_page(f"{origin}/maps/nothing"))
    for radius_m in (60, 5_000):
        circle = np.array(await page.evaluate(
            "async ([centre, radius_m]) => (await import('/static/map/geodesy.js')).circleRing(centre, radius_m)",
            [HOME, radius_m],
        ))  # fmt: skip
        _, _, distances_m = GEOD.inv(*np.broadcast_to(HOME, circle.shape).T, *circle.T)
        assert np.abs(distances_m - radius_m).max() < radius_m * 1e-5

    notched = zones()[1]
    drawn = await page.evaluate(
        "async ([geometry, buffer_m]) => (await import('/static/map/outlines.js')).bufferLines(geometry, buffer_m)",
        [notched["geometry"], notched["buffer_m"]],
    )
    plane = Transformer.from_crs("EPSG:4326", f"+proj=aeqd +lon_0={HOME[0]} +lat_0={HOME[1]}", always_xy=True)
    line = transform(MultiLineString([LineString(part) for part in drawn]), plane.transform, interleaved=False)
    zone = transform(Polygon(notched["geometry"]["coordinates"][0]), plane.transform, interleaved=False)
    edge = zone.buffer(notched["buffer_m"], quad_segs=64).exterior
    assert hausdorff_distance(line, edge, densify=0.01) < notched["buffer_m"] / 10, (
        "no part is missing, none too much"
    )
    assert line.difference(edge.buffer(0.2)).is_empty, "and what is there lies on the edge"
