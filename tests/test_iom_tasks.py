"""Tasks: who may do what to them, the clock that tells who did not, and the pages on which they are worked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from alerts import NewChannel, add_channel, gather, undelivered
from alerts.channels import ChannelKind
from emtrack.delivery.wording import subject_of, text_of
from emtrack.iom import escalation
from emtrack.iom.entries import Author, Draft, Entry, SomebodyWasFaster, enter, load, versions_of_item
from emtrack.iom.escalation import MOOT_WHY, cancel_moot, look_at_tasks_due
from emtrack.iom.grading import decide_against, raise_unanswered
from emtrack.iom.notes import Visibility
from emtrack.iom.programme_settings import enter_settings
from emtrack.iom.tasking import Move, NewTask, UnfitTask, enter_task, move_task
from emtrack.iom.tasks import TASK, Escalation, Task, Told
from emtrack.metrics import Metrics
from emtrack.people.accounts import add_user
from emtrack.people.roles import Role
from emtrack.service.task_clock import TaskClock
from geofence import format_instant, parse_instant
from tests.browser import OpenPage, WatchedPage, axe
from tests.command_line import emtrack_aside
from tests.office import BEGINS, Office, open_office
from tests.service_world import FakeClock
from tests.test_deliveries import Inbox, mail_server, mail_settings, until
from tests.test_iom_pages import exclusion, number_of
from tests.test_pages_browser import logged_in
from tests.visitor import Visitor

LONDON = ZoneInfo("Europe/London")
NOW = parse_instant(BEGINS)  # a Monday, 20:00
HOUR, DAY = 3_600_000, 86_400_000
POLICE, PROBATION = Author("Pat", "Police"), Author("Sam", "Probation Service")


async def task_of(office: Office, author: Author = POLICE, *, due_ms: int = NOW + HOUR, **more: Any) -> Entry:
    new = NewTask(**{"title": "Call on them", "due_ms": due_ms, "agency": "Probation Service"} | more)
    async with office.connection.transaction():
        return await enter_task(office.connection, author, await number_of(office), new, NOW)


async def moved(office: Office, author: Author, task: Entry, move: Move, words: str | None = None) -> Entry:
    async with office.connection.transaction():
        return await move_task(office.connection, author, task.item_no, move, words, NOW)


async def looked_at(office: Office, now_ms: int) -> int:
    """How many messages a look posts."""
    async with office.connection.transaction():
        return (await look_at_tasks_due(office.connection, LONDON, now_ms)).messages


async def told_of(office: Office, task: Entry) -> list[tuple[str, int]]:
    content = (await versions_of_item(office.connection, task.item_no))[-1].content
    assert isinstance(content, Task)
    return [(str(one.told), one.channels) for one in content.escalations]


async def contact_and_chair(office: Office) -> None:
    """Dee is the contact of the Probation Service, Cam the chair; each has a mailbox."""
    for name, role, agency in [("Dee", Role.CONTACT, "Probation Service"), ("Cam", Role.OFFICER, "Police")]:
        await add_user(office.connection, name, role, agency, who="test", now_ms=NOW)
        channel = NewChannel(name.lower(), ChannelKind.EMAIL, f"{name.lower()}@example.test", account=name)
        await add_channel(office.connection, channel, "test", NOW)
    await enter_settings(office.connection, {"chair": ["Cam"]}, "test", NOW)


async def test_a_task_is_accepted_and_done_with_evidence_by_its_agency(office: Office) -> None:
    task = await task_of(office)
    accepted = await moved(office, PROBATION, task, Move.ACCEPT)
    assert (accepted.state, accepted.content) == (
        "ACCEPTED",
        Task(title="Call on them", for_agency="Probation Service", owner="Sam"),
    )
    with pytest.raises(UnfitTask, match="say what was done"):
        await moved(office, PROBATION, task, Move.DONE)
    done = await moved(office, PROBATION, task, Move.DONE, "visited; note 12")
    assert (done.state, getattr(done.content, "evidence", None)) == ("DONE", "visited; note 12")
    with pytest.raises(SomebodyWasFaster, match="is done by now"):
        await moved(office, PROBATION, task, Move.CANCEL, "not needed")


async def test_others_do_not_work_it_and_who_entered_it_may_cancel_it(office: Office) -> None:
    task = await task_of(office)
    for move in (Move.ACCEPT, Move.REJECT):
        with pytest.raises(UnfitTask, match="it is theirs to"):
            await moved(office, POLICE, task, move, "no")
    with pytest.raises(UnfitTask, match="say why the task is rejected"):
        await moved(office, PROBATION, task, Move.REJECT)
    assert (await moved(office, POLICE, task, Move.CANCEL, "they moved")).state == "CANCELLED"


async def test_a_task_is_for_an_agency_that_can_see_it_and_due_in_the_future(office: Office) -> None:
    with pytest.raises(UnfitTask, match="is not shared with it"):
        await task_of(office, agency="Housing")
    with pytest.raises(UnfitTask, match="due in the future"):
        await task_of(office, due_ms=NOW)
    with pytest.raises(UnfitTask, match="say what is to be done"):
        await task_of(office, title="")


async def test_the_contact_is_told_when_it_is_due_and_the_chair_a_working_day_later(office: Office) -> None:
    await contact_and_chair(office)
    friday = parse_instant("2026-04-02T16:00:00Z")  # the Thursday before Good Friday, 17:00
    task = await task_of(office, due_ms=friday)
    assert await looked_at(office, friday - 1) == 0
    assert await looked_at(office, friday) == 1
    assert await looked_at(office, friday + 1) == 0  # once
    after_easter = parse_instant("2026-04-07T16:00:00Z")
    assert await looked_at(office, after_easter - 1) == 0
    assert await looked_at(office, after_easter) == 1
    assert await looked_at(office, after_easter + 30 * DAY) == 0
    assert await told_of(office, task) == [("CONTACT", 1), ("CHAIR", 1)]
    rows = await office.connection.fetch(
        "SELECT c.account, m.fields FROM messages m JOIN channels c USING (channel_no) ORDER BY message_no"
    )
    assert [row["account"] for row in rows] == ["Dee", "Cam"]
    text = text_of([row["fields"] for row in rows], "http://x")
    assert f"http://x/iom/tasks/{task.item_no}" in text
    assert format_instant(friday) in text
    assert not {"Ann", "W1", "Police", "Probation", "Call"} & set(text.replace(".", " ").split())
    assert subject_of([rows[0]["fields"]]) == f"emtrack: task {task.item_no} is due and not done"


async def test_what_was_done_in_time_is_told_to_nobody(office: Office) -> None:
    await contact_and_chair(office)
    task = await task_of(office)
    await moved(office, PROBATION, task, Move.ACCEPT)
    await moved(office, PROBATION, task, Move.DONE, "done")
    assert await looked_at(office, NOW + 30 * DAY) == 0
    assert await office.connection.fetchval("SELECT count(*) FROM iom_open_tasks") == 0


async def test_a_task_of_nobody_in_particular_goes_to_the_contact_of_who_leads(office: Office) -> None:
    await add_user(office.connection, "Lee", Role.CONTACT, "Police", who="test", now_ms=NOW)
    channel = NewChannel("lee", ChannelKind.EMAIL, "lee@example.test", account="Lee")
    await add_channel(office.connection, channel, "test", NOW)
    task = await task_of(office, agency=None)
    await looked_at(office, NOW + HOUR)
    assert await told_of(office, task) == [("CONTACT", 1)]


async def test_an_escalation_with_nobody_to_tell_stands_on_the_page_of_messages(
    office: Office, visitor: Visitor
) -> None:
    task = await task_of(office)
    assert await looked_at(office, NOW + HOUR) == 1
    async with office.connection.transaction():
        await gather(office.connection, NOW + HOUR)
    (one,) = await undelivered(office.connection, NOW + HOUR, 10)
    assert (one.channel, one.given_up_ms) == (None, NOW + HOUR)
    assert await told_of(office, task) == [("CONTACT", 0)]
    await visitor.log_in(await office.account(Role.SUPERVISOR))
    _, page = await visitor.get("/deliveries")
    assert f'href="/iom/tasks/{task.item_no}"' in page
    assert "has no single point of contact with a channel" in page


async def test_what_only_an_agency_may_read_stays_its_own_when_it_escalates(office: Office, visitor: Visitor) -> None:
    task = await task_of(office, agency="Police", visibility=Visibility.OWN)
    await looked_at(office, NOW + HOUR)
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    status, page = await visitor.get(f"/iom/tasks/{task.item_no}")
    assert (status, "The single point of contact could not be told" in page) == (200, True)
    other = Visitor(office)
    try:
        await other.log_in(await office.account(Role.OFFICER, "Eve", "Probation Service"), "Eve")
        assert (await other.get(f"/iom/tasks/{task.item_no}"))[0] == 404
        assert "Call on them" not in (await other.get("/iom/tasks?show=all"))[1]
    finally:
        await other.http.close()


async def test_nobody_works_a_task_to_answer_what_is_answered(office: Office) -> None:
    proposal = await exclusion(office)
    async with office.connection.transaction():
        await raise_unanswered(office.connection, 10, NOW + DAY)
    (task,) = await load(office.connection, [await number_of(office)], [TASK])
    async with office.connection.transaction():
        assert await cancel_moot(office.connection, NOW + DAY) == 0
        await decide_against(office.connection, POLICE, proposal, "it was a postman", NOW + DAY)
        assert await cancel_moot(office.connection, NOW + DAY) == 1
    now = (await versions_of_item(office.connection, task.item_no))[-1]
    assert (now.state, getattr(now.content, "reason", None)) == ("CANCELLED", MOOT_WHY)


async def test_an_import_of_open_tasks_is_watched_and_a_deadline_that_moves_counts_anew(office: Office) -> None:
    number = await number_of(office)
    async with office.connection.transaction():
        (task,) = await enter(
            office.connection, POLICE, [Draft(TASK, number, Task(title="x"), "NEW", due_ms=NOW, record="t", system="s")], NOW
        )  # fmt: skip
    await looked_at(office, NOW)
    async with office.connection.transaction():
        now = (await versions_of_item(office.connection, task.item_no))[-1]
        content = Task(title="x", escalations=[Escalation(Told.CONTACT, NOW, NOW, 0)])
        moved = Draft(TASK, number, content, "NEW", due_ms=NOW + HOUR, record="t", system="s", former=now)
        await enter(office.connection, POLICE, [moved], NOW)
    assert await looked_at(office, NOW + HOUR - 1) == 0
    assert await looked_at(office, NOW + HOUR) == 1
    assert await told_of(office, task) == [("CONTACT", 0), ("CONTACT", 0)]


async def test_the_inbox_of_an_agency_and_what_came_back(office: Office, visitor: Visitor) -> None:
    theirs = await task_of(office)
    ours = await task_of(office, PROBATION, title="Bring the file", agency="Police")
    await visitor.log_in(await office.account(Role.OFFICER, agency="Police"))
    _, page = await visitor.get("/iom/tasks")
    assert ("Bring the file" in page, "Call on them" in page) == (True, False)
    await moved(office, PROBATION, theirs, Move.REJECT, "not ours")
    _, page = await visitor.get("/iom/tasks?show=given")
    assert ("not ours" in page, "Bring the file" in page) == (True, False)
    key = await visitor.form_key()
    address = f"/iom/tasks/{ours.item_no}"
    assert await visitor.post(f"{address}/accept", form_key=key) == (303, address)
    status, page = await visitor.post(f"{address}/done", form_key=key, words="")
    assert (status, "Say what was done" in page) == (422, True)
    _, page = await visitor.get("/iom/tasks?show=mine")
    assert "Bring the file" in page
    assert await visitor.post(f"{address}/done", form_key=key, words="brought") == (303, address)
    _, page = await visitor.get("/iom/tasks?show=ended")
    assert ("brought" in page, "not ours" in page) == (True, True)
    status, page = await visitor.post(f"{address}/accept", form_key=key)
    assert (status, "is done by now" in page) == (409, True)


async def test_settings_of_the_programme_are_shown_and_entered_by_a_command(
    database_url: str, tmp_path: Path
) -> None:
    chosen = {"EMTRACK_DATABASE_URL": database_url, "EMTRACK_DATA_DIR": str(tmp_path / "data")}
    path = tmp_path / "settings.json"
    path.write_text('{"chair": ["Cam"], "answer_hours": 12}')
    done = await emtrack_aside("iom", "settings", str(path), **chosen)
    assert "version 1" in done.stderr
    shown = await emtrack_aside("iom", "settings", **chosen)
    assert json.loads(shown.stdout)["answer_hours"] == 12
    path.write_text('{"chair": 7}')
    done = await emtrack_aside("iom", "settings", str(path), **chosen)
    assert done.returncode == 2
    assert "$.chair" in done.stderr


# ------------------------------------------------------------------ the whole of it


async def test_a_task_that_is_not_done_reaches_the_mailbox_of_the_contact_by_itself(
    database_url: str, data_dir: Path
) -> None:
    inbox = Inbox()
    async with (
        mail_server(inbox) as port,
        open_office(database_url, data_dir, **mail_settings(port)) as office,
    ):
        await contact_and_chair(office)
        task = await task_of(office, due_ms=NOW + 1)
        await until(lambda: inbox.mails)
        (mail,) = inbox.mails
        assert (mail["To"], mail["Subject"]) == (
            "dee@example.test",
            f"emtrack: task {task.item_no} is due and not done",
        )
        assert await told_of(office, task) == [("CONTACT", 1)]


@pytest.mark.parametrize("width", [1366, 320])
async def test_an_officer_enters_and_works_a_task_by_keyboard_on_every_screen(
    office: Office, open_page: OpenPage, width: int
) -> None:
    page = await logged_in(office, open_page, "/iom/people/W1/task", Role.OFFICER, width=width, height=768)
    assert await axe(page) == []
    await page.focus("#title")
    await page.keyboard.type("See where he sleeps")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/iom/tasks/*")
    await fits(page, width)
    await page.focus("button:has-text('Accept')")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#words-done")
    await page.focus("button:has-text('Done')")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=Say what was done")
    assert await axe(page) == []
    await page.fill("#words-done", "at his sister's")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("text=at his sister")
    await page.goto(f"{office.address}/iom/tasks?show=ended")
    await page.wait_for_selector("text=See where he sleeps")
    await fits(page, width)
    assert page.errors == []
    assert page.policy_violations == []


async def test_tasks_are_worked_without_scripts(office: Office, open_page: OpenPage) -> None:
    task = await task_of(office, agency=None)
    page = await logged_in(office, open_page, "/iom/tasks", Role.OFFICER, java_script_enabled=False)
    await page.click("a:has-text('Call on them')")
    await page.click("button:has-text('Accept')")
    await page.wait_for_selector("#words-done")
    assert (await versions_of_item(office.connection, task.item_no))[-1].state == "ACCEPTED"


async def fits(page: WatchedPage, width: int) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await axe(page) == []


async def test_a_task_that_cannot_be_looked_at_keeps_no_deadline_of_another(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await contact_and_chair(office)
    first, second = await task_of(office), await task_of(office, due_ms=NOW + HOUR + 1)
    whole = escalation.next_step

    def failing(entry: Entry, zone: ZoneInfo) -> Any:
        if entry.item_no == first.item_no:
            raise KeyError(entry.item_no)
        return whole(entry, zone)

    monkeypatch.setattr(escalation, "next_step", failing)
    clock, metrics = FakeClock("12:00"), Metrics()
    clock.at_ms = NOW + 2 * HOUR
    tasks = TaskClock("", clock, metrics, asyncio.Event())
    while (await tasks.look(office.connection)).more:
        pass
    assert await told_of(office, second) == [("CONTACT", 1)]
    assert metrics.not_looked_at.labels("task")._value.get() == 1
    monkeypatch.undo()
    clock.at_ms += 61_000
    await tasks.look(office.connection)
    assert await told_of(office, first) == [("CONTACT", 1)]
