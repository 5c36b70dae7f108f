"""An alert is watched as it came: what we knew when, from the first report to the last action."""

from __future__ import annotations

import re

from emtrack.people.roles import Role
from tests.browser import OpenPage, WatchedPage
from tests.office import Office, at_home, away
from tests.test_pages_browser import drawn, logged_in
from tests.test_playback_browser import assert_usable_at_both_widths, history
from tests.visitor import Visitor


async def an_alert_with_a_story(office: Office) -> int:
    """Out at the start; then late positions show another thing; and somebody notes something."""
    await office.report("D1", away("19:50", 1), away("19:52", 2))
    number: int = await office.connection.fetchval(
        "SELECT alert_no FROM alerts WHERE kind = 'CURFEW' AND wearer_no = 1"
    )
    await office.report("D1", at_home("19:58", 3), at_home("19:59", 4))
    status, said = await office.post(
        f"/v1/alerts/{number}/actions", {"action": "acknowledged", "note": "Rang; no answer."}
    )
    assert status == 200, said
    return number


async def told(page: WatchedPage) -> list[str]:
    texts: list[str] = await page.locator("[data-moments] [data-told]").all_inner_texts()
    return texts


async def test_an_alert_is_replayed_moment_by_moment_by_keyboard(office: Office, open_page: OpenPage) -> None:
    number = await an_alert_with_a_story(office)
    page = await logged_in(office, open_page, f"/alerts/{number}")
    await drawn(page)
    await page.get_by_role("link", name="Watch this alert as it came").click()
    moments = await told(page)
    assert "2 positions received, of 2 Mar 19:50:00 GMT to 2 Mar 19:52:00 GMT." in moments[0]
    assert any("Alert raised." in one for one in moments)
    assert any(one.startswith("2 positions received, of 2 Mar 19:58:00 GMT") for one in moments)
    assert any("Amended: Curfew: seen out, from 2 Mar 19:50:00 GMT, to 2 Mar 19:58:00 GMT" in one for one in moments)
    assert await drawn(page) == (2, 1)

    # On to the last moment, by keyboard alone: map, facts and story are of that moment.
    await page.get_by_role("slider", name="Moment").focus()
    await page.keyboard.press("End")
    await page.wait_for_selector("#map[data-ready='true'][data-points='4']")
    current = page.locator("[data-moments] li[aria-current=true]")
    assert await current.locator("[data-told]").inner_text() == moments[-1]
    assert await page.locator("[data-known=facts] tr[data-n]").count() == 4
    assert "It lasted 8 min" in await page.locator("[data-known=now]").inner_text()
    assert "acknowledged it. Note: Rang; no answer." in moments[-1]

    # And back, from moment to moment.
    for _ in moments[1:]:
        await page.keyboard.press("ArrowLeft")
    await page.wait_for_selector("#map[data-ready='true'][data-points='2']")
    assert await page.locator("[data-known=facts] tr[data-n]").count() == 2
    assert await page.locator("main form").count() == 0, "nothing can be done there"
    await assert_usable_at_both_widths(page)
    page.assert_clean(office.address)


async def test_a_slider_replays_what_we_knew_of_a_history(office: Office, open_page: OpenPage) -> None:
    await office.report("D1", away("19:30", 1), away("19:32", 2))
    await office.report("D1", at_home("19:10", 3), at_home("19:11", 4))
    page = await history(office, open_page, "2026-03-02T19:00", "2026-03-02T20:00")
    await drawn(page)
    await page.get_by_role("link", name="What we knew when").click()
    assert await drawn(page) == (4, 2)
    moments = await told(page)
    assert moments[0].startswith("Found: Whereabouts not known, from 2 Mar 19:00:00 GMT, ongoing")
    assert moments[1].startswith("2 positions received, of 2 Mar 19:30:00 GMT to 2 Mar 19:32:00 GMT. ")
    assert "Found: Curfew: seen out" in moments[1]
    assert moments[-1].startswith("2 positions received, of 2 Mar 19:10:00 GMT to 2 Mar 19:11:00 GMT.")
    await page.get_by_role("slider", name="Moment").focus()
    await page.keyboard.press("Home")
    await page.wait_for_selector("#map[data-ready='true'][data-points='0']")
    assert "0 positions and 1 finding of this time were known." in await page.locator("[data-known=now]").inner_text()
    await page.keyboard.press("End")
    await page.wait_for_selector("#map[data-ready='true'][data-points='4']")
    await assert_usable_at_both_widths(page)
    await page.get_by_role("link", name="First moment").click()
    assert await drawn(page) == (0, 2)
    await page.get_by_role("link", name="Next moment").click()
    assert await drawn(page) == (2, 2)
    page.assert_clean(office.address)


async def test_without_scripts_each_moment_is_a_link_and_before_the_alert_there_is_none(
    office: Office, visitor: Visitor
) -> None:
    number = await an_alert_with_a_story(office)
    await visitor.log_in(await office.account(Role.OPERATOR))
    _, page = await visitor.get(f"/alerts/{number}/replay")
    links = re.findall(r'data-instant="([^"]+)"', page)
    assert len(links) >= 3
    seen = [(await visitor.get(f"/alerts/{number}/replay?known_at={at}"))[1] for at in links]
    assert "It lasted 8 min" not in seen[0]
    assert "It lasted 8 min" in seen[-1]
    assert all(one.count('aria-current="true"') == 1 for one in seen)
    early = (await visitor.get(f"/alerts/{number}/replay?known_at=2026-03-02T19:00:00Z"))[1]
    assert "No alert yet" in early
    assert "Nothing had been found yet." in early
    assert (await visitor.get("/alerts/99/replay"))[0] == 404
    await office.falls_silent_with("carrier-a")
    status, incident = await visitor.get("/alerts/900/replay")
    assert (status, "Alert raised." in incident, "Where</h2>" in incident) == (200, True, False)
    assert (await visitor.get("/alerts/900/replay/map"))[0] == 404
