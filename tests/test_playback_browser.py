"""A history that is played back: the clock, the map and the table in step, by keyboard alone, over a night of 25 hours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emtrack.people.roles import Role
from geofence import format_instant, parse_instant
from tests.browser import OpenPage, WatchedPage
from tests.office import EXCLUSION, Office, away, open_office
from tests.service_world import AWAY, HOME, activation, curfew
from tests.test_pages_browser import assert_usable, drawn, logged_in
from tests.visitor import Visitor

AUTUMN = {
    "activations": [activation(1, **{"from": "2025-10-20T00:00:00Z"})],
    "requirements": [
        curfew(1, **{"from": "2025-10-20T00:00:00Z"}),
        EXCLUSION | {"from": "2025-10-20T00:00:00Z"},
    ],
    "wearers": [{"wearer_id": "W1", "name": "Ann Other"}],
}
"""The clocks went back on Sunday 26 October 2025 at 2:00."""
MIDNIGHT_MS = parse_instant("2025-10-25T23:00:00Z")
MINUTE_MS = 60_000


def night(minutes: int, without: range) -> list[dict[str, Any]]:
    """A position a minute from local midnight on, at home, but for the minutes of a gap; from minute 150 on a walk away."""
    fixes = []
    for minute in range(minutes):
        if minute in without:
            continue
        place = HOME if minute < 150 else (HOME[0] + (minute - 149) * 2e-4, HOME[1])
        at = format_instant(MIDNIGHT_MS + minute * MINUTE_MS)
        mechanism = "WIFI" if minute % 10 == 0 else "GPS"
        fixes.append(away("19:00", minute + 1, place) | {"fix_time": at, "mechanism": mechanism})
    return fixes


async def history(office: Office, open_page: OpenPage, begin: str, end: str, **page: Any) -> WatchedPage:
    opened = await logged_in(office, open_page, "/wearers/1/history", Role.OFFICER, **page)
    await opened.fill("#begin", begin)
    await opened.fill("#end", end)
    await opened.get_by_label("To review how the person keeps to the order").check()
    await opened.get_by_role("button", name="Record and show").click()
    return opened


async def assert_usable_at_both_widths(page: WatchedPage) -> None:
    for width in (320, 1280):
        await page.set_viewport_size({"width": width, "height": 1000})
        await assert_usable(page)


async def shows(page: WatchedPage, what: str) -> str:
    told: str = await page.locator(f"#map [data-shows={what}]").inner_text()
    return told


async def chosen_row(page: WatchedPage) -> str:
    rows = page.locator("table[data-map] tr[aria-current=true] td:first-child")
    return "" if await rows.count() == 0 else await rows.first.inner_text()


async def test_playback_keeps_the_clock_the_map_and_the_table_in_step_over_a_night_of_25_hours(
    database_url: str, data_dir: Path, open_page: OpenPage
) -> None:
    """By keyboard alone, from the clock change to the finding."""
    async with open_office(database_url, data_dir, AUTUMN) as office:
        await office.report("D1", *night(320, range(40, 60)))
        page = await history(office, open_page, "2025-10-26T00:00", "2025-10-26T04:30")
        assert await drawn(page) == (300, 2)
        assert "It is not the route that was taken." in await page.locator("main").inner_text()
        assert await page.get_attribute("#map", "data-gaps") == "1"
        assert await page.is_checked("[data-shows=findings]")
        gap = page.locator("tr.em-row--gap")
        assert await gap.inner_text() == "No position for 21 min. Where the person was in between is not known."

        # Both passes of the hour that comes twice are told apart, in each row and by playback.
        rows = [row.split("\t")[1] for row in await page.locator("tr[data-n]").all_inner_texts()]
        assert rows[90 - 20] == "26 Oct 01:30:00 BST"
        assert rows[150 - 20] == "26 Oct 01:30:00 GMT"
        scrubber = page.get_by_role("slider", name="Time")
        await scrubber.focus()
        assert await scrubber.get_attribute("aria-valuetext") == "Sun 26 Oct 2025 00:00:00 BST"
        for _ in range(2):
            await page.keyboard.press("PageUp")
        assert await scrubber.get_attribute("aria-valuetext") == "Sun 26 Oct 2025 01:00:00 GMT"
        assert (await shows(page, "known")).startswith("Last position now: point 101 of 300")
        assert "In force now: C1." in await shows(page, "known"), "the exclusion zone is of Tuesdays only"
        assert await chosen_row(page) == "101"
        await page.keyboard.press("ArrowRight")
        assert await chosen_row(page) == "102"
        await page.keyboard.press("ArrowLeft")
        await page.keyboard.press("ArrowLeft")
        assert await chosen_row(page) == "100"

        # A gap is a time of which nothing is known, and no way is made up for it.
        await page.keyboard.press("Home")
        for _ in range(5):
            await page.keyboard.press("ArrowUp")
        assert await shows(page, "known") == (
            "No position for 11 min. Where the person was is not known. In force now: C1."
        )

        # Played at 600 times it pauses where a finding begins: the person left home while the curfew was in force.
        await page.keyboard.press("PageUp")
        for key in ("ArrowUp", "ArrowUp", "ArrowUp", ".", ".", "."):
            await page.keyboard.press(key)
        assert "Speed 600 times." in await shows(page, "playback")
        await page.keyboard.press(" ")
        await page.wait_for_selector("[data-shows=playback] >> text=A finding begins")
        told = await shows(page, "playback")
        assert "Curfew: left home during curfew" in told
        assert await page.locator("#map [data-does=play]").inner_text() == "Play"
        number = int(await chosen_row(page))
        assert f"point {number} of 300" in await shows(page, "known")

        # On it goes, beyond the part of the table that was there.
        for key in ("PageUp", "PageUp", "ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", " "):
            await page.keyboard.press(key)
        await page.wait_for_selector("[data-shows=playback] >> text=This is the end")
        await page.wait_for_selector("tr[data-n='300'][aria-current=true]")
        assert await page.locator("#table-heading").inner_text() == "Positions 251 to 300 of 300"
        await assert_usable(page)

        # Signal types that are hidden on the map are hidden in the table, and playback passes them by.
        await page.uncheck("[data-shows=WIFI]", force=True)
        assert not await page.locator("tr[data-mechanism=WIFI]").first.is_visible()

        # The finding is a link to its time, and both passes can be searched without a script, too.
        view = page.url.split("?")[0]
        await page.get_by_role("link", name="to Curfew: left home during curfew").click()
        await page.wait_for_selector(f"tr[data-n='{number}'][aria-current=true]")
        page.assert_clean(office.address)
        for clock, n in (("BST", 71), ("GMT", 131)):
            await page.goto(f"{view}?at=2025-10-26T01:30")
            await page.get_by_label(f"in {clock}").check()
            await page.get_by_role("button", name="Go", exact=True).click()
            await page.wait_for_selector(f"tr[data-n='{n}'][aria-current=true]")
            assert f"26 Oct 01:30:00 {clock}" in await page.locator(f"tr[data-n='{n}']").inner_text()


async def test_a_day_of_25_hours_has_25_hours_in_the_calendar_of_curfews(
    database_url: str, data_dir: Path, open_page: OpenPage
) -> None:
    """At home but for the end of the night. Of a gap of 21 minutes the last 6 are not known."""
    async with open_office(database_url, data_dir, AUTUMN) as office:
        await office.report("D1", *night(320, range(40, 60)))
        page = await history(office, open_page, "2025-10-26T00:00", "2025-10-27T00:00", java_script_enabled=False)
        await page.get_by_role("link", name="Curfew calendar").click()
        rows = [row.split("\t") for row in await page.locator("tbody tr").all_inner_texts()]
        (day, obliged, home, away, unknown, when), total = rows
        assert day.split("\n") == ["Sun 26 Oct 2025", "25 hours"]
        # 00:00 BST to 07:00 GMT are eight hours; 19:00 to 24:00 five.
        assert (obliged, home) == ("13 h", "2 h 28 min")
        assert when.strip().startswith(
            "00:00 BST to 00:54 BST at home; 00:54 BST to 01:00 BST not known; 01:00 BST to 01:34 GMT at home; 01:34 GMT to "
        )
        assert total[1:5] == [obliged, home, away, unknown]
        await page.get_by_role("link", name="Trail").click()
        box = await page.locator("#map").bounding_box()
        assert box is not None
        assert box["y"] < 320, "most of a map of a desk is seen without scrolling"
        for signal, first in (("GPS", "2\t"), ("WIFI", "1\t"), ("LBS", "There is no position by this signal type.")):
            await page.select_option("#signal", signal)
            await page.get_by_role("button", name="Go", exact=True).click()
            await page.wait_for_url(f"**signal={signal}*")
            table = page.locator("section[aria-labelledby=table-heading] tbody tr")
            assert (await table.first.inner_text()).startswith(first)
        zones = await page.locator("section[aria-labelledby=zones-heading] tbody tr").all_inner_texts()
        assert zones[0].split("\t") == [
            "C1",
            "Home: curfew address",
            "from 20 Oct 01:00:00 BST on",
            "daily 19:00–07:00",
        ]


async def test_stops_and_places_stand_in_tables_beside_their_map(
    database_url: str, data_dir: Path, open_page: OpenPage
) -> None:
    async with open_office(database_url, data_dir, AUTUMN) as office:
        await office.report("D1", *night(320, range(40, 60)))
        page = await history(office, open_page, "2025-10-26T00:00", "2025-10-26T04:30")
        await drawn(page)
        await page.get_by_role("link", name="Stops and places").click()
        assert await drawn(page) == (300, 2)
        await page.wait_for_selector("#map[data-stops-drawn='1']")
        assert await page.is_checked("[data-shows=heat]")
        (place,) = await page.locator("section[aria-labelledby=places-heading] tbody tr").all_inner_texts()
        assert place.split("\t")[:3] == ["A C1", "2 h 34 min", "1"]
        stop = await page.locator("tr[data-stop='1']").inner_text()
        assert "26 Oct 00:00:00 BST\t26 Oct 01:34:00 GMT" in stop, "a night of 25 hours"
        assert "86 %" in stop
        await page.locator("tr[data-stop='1'] a").click()
        assert await shows(page, "clock") == "Sun 26 Oct 2025 00:00:00 BST"
        await assert_usable_at_both_widths(page)
        await page.get_by_role("link", name="Curfew calendar").click()
        await assert_usable_at_both_widths(page)
        page.assert_clean(office.address)


async def test_two_people_are_played_together_each_after_a_look_of_its_own(
    office: Office, open_page: OpenPage
) -> None:
    north = (AWAY[0], AWAY[1] + 0.002)
    await office.report("D1", *[away(f"19:{minute:02}", minute) for minute in range(20, 50)])
    await office.report("D2", *[away(f"19:{minute:02}", minute, north) for minute in range(20, 40, 2)])
    page = await history(office, open_page, "2026-03-02T19:00", "2026-03-02T20:00")
    await drawn(page)
    await page.locator("summary", has_text="Beside another person").click()
    await page.get_by_label("Id of the other person").fill("W2")
    await page.get_by_role("button", name="Record and show both").click()
    await page.wait_for_selector("text=Select a reason.")
    looks = "SELECT wearer_no FROM looks WHERE what = 'positions' ORDER BY look_no"
    assert [row["wearer_no"] for row in await office.connection.fetch(looks)] == [1]
    page.console.clear()  # the browser noted the form that was refused
    await page.get_by_label("To investigate an offence").check()
    await page.get_by_role("button", name="Record and show both").click()
    await page.wait_for_url("**?with=*")
    assert [row["wearer_no"] for row in await office.connection.fetch(looks)] == [1, 2]
    assert await drawn(page) == (30, 3)
    assert await page.get_attribute("#map", "data-others") == "10"

    # One clock moves both, on the map and in both tables; how far apart they are is told as long as both are known.
    await page.get_by_role("slider", name="Time").focus()
    for key in ("PageUp", "PageDown", "ArrowUp", "ArrowUp", "ArrowUp"):
        await page.keyboard.press(key)
    known = await shows(page, "known")
    assert known.startswith(
        "Ann Other: Last position now: point 11 of 30, accurate to 6 m. W2: Last position now: point 6 of 10"
    )
    assert "Their last positions are 223 m apart, to within 12 m." in known
    for person, number in (("0", "11"), ("1", "6")):
        row = page.locator(f"table[data-person='{person}'] tr[aria-current=true] td:first-child")
        assert await row.inner_text() == number
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("ArrowUp")
    assert "W2: No position for 12 min. Where the person was is not known." in await shows(page, "known")
    assert "apart" not in await shows(page, "known")
    await page.locator("table[data-person='1'] tr[data-n='2'] td:first-child").click()
    assert await shows(page, "clock") == "Mon 2 Mar 2026 19:22:00 GMT"

    # A card for each, and the way from point to point of either.
    cards = page.locator(".emtrack-map__card")
    assert await cards.locator("h3").all_inner_texts() == ["Point of Ann Other", "Point of W2"]
    assert ["3 of 30" in await cards.nth(0).inner_text(), "2 of 10" in await cards.nth(1).inner_text()] == [
        True,
        True,
    ]
    await cards.nth(1).get_by_role("button", name="Next").click()
    assert await shows(page, "clock") == "Mon 2 Mar 2026 19:24:00 GMT"
    assert ["5 of 30" in await cards.nth(0).inner_text(), "3 of 10" in await cards.nth(1).inner_text()] == [
        True,
        True,
    ]
    await assert_usable_at_both_widths(page)
    page.assert_clean(office.address)


async def test_a_second_person_is_looked_at_by_the_right_that_the_first_needs(
    office: Office, visitor: Visitor
) -> None:
    """Somebody whom the account does not see, or a look of somebody else, is nobody."""
    await office.two_are_out()
    span = {"begin": "2026-03-02T19:00", "end": "2026-03-02T21:00", "purpose": "COURT"}
    await visitor.log_in(await office.account(Role.OFFICER))
    key = await visitor.form_key()
    _, first = await visitor.post("/wearers/1/history", form_key=key, **span)
    for other in ("W9", "W1", "", "x' OR 1=1"):
        status, text = await visitor.post(f"{first}/beside", form_key=key, purpose="COURT", other=other)
        assert (status, "another person whose history you may see" in text) == (422, True), other
    _, both = await visitor.post(f"{first}/beside", form_key=key, purpose="COURT", other="W2")
    assert (await visitor.get(both))[0] == 200
    await office.connection.execute("UPDATE looks SET looked_by = 'Somebody' WHERE wearer_no = 2")
    assert (await visitor.get(both))[0] == 404
