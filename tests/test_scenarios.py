"""Stories of a monitoring centre (tests/scenarios/*.story): each in the core, in the service, and shuffled in the service."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from alerts.queue import AlertFilter, open_alerts
from tests.db_fixtures import TEMPLATE, TestServer
from tests.scenarios import stage
from tests.scenarios.stage import SILENCE, Stage, empty_deployment, in_the_core, told
from tests.scenarios.story import HERE, Raised, Shows, Story, StoryError, all_stories, read_story

STORIES = all_stories()
INDEX = Path(__file__).parent.parent / "docs" / "scenarios.md"

each_story = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)


@pytest.fixture(scope="module")
def stage_url(embedded_test_server: TestServer) -> Iterator[str]:
    """One database for all stories; each begins with an empty one."""
    name = "stories"
    with asyncio.Runner() as runner:
        dsn = runner.run(embedded_test_server.create(name, TEMPLATE))
        yield dsn
        runner.run(embedded_test_server.drop(name))


# ---------------------------------------------------------------------------------------------- the stories


@each_story
def test_a_story_ends_in_the_core_as_it_is_told(story: Story) -> None:
    assert told(in_the_core(story, story.now_ms)) == told(story.findings)
    for event in story.course:
        if isinstance(event.action, Shows):
            shown = [f for f in in_the_core(story, event.at_ms) if f.wearer_id == event.action.wearer_id]
            assert told(shown) == told(event.action.findings), f"at {stage.iso(event.at_ms)}"


@each_story
async def test_a_story_goes_in_the_service_as_it_is_told(story: Story, stage_url: str) -> None:
    async with empty_deployment(stage_url, story.orders, story.ready_ms) as world:
        play = Stage(world)
        await play.play(story)
        assert told(await play.shown()) == told(story.findings)
        since = await play.shown_since()
        for f in story.findings:
            if f.shown_ms is not None:
                first_ms = since[f.wearer_id, f.requirement_id, f.kind, f.begin_ms]
                assert first_ms <= f.shown_ms, f"{f.kind} was first shown at {stage.iso(first_ms)}"
        assert set(story.never) & await play.kinds_ever() == set()
        if story.alerts is not None:
            assert raised(await play.alerts(), like=story.alerts) == raised(story.alerts, like=story.alerts)
        assert await world.count("judgement_faults") == 0


@each_story
async def test_a_story_shuffled_and_repeated_ends_in_the_service_as_it_is_told(story: Story, stage_url: str) -> None:
    """What rests on receipt cannot be the same where all is received at the end: silence, and what was ahead of it. It
    is compared with the judgement of the stored facts; everything else with the story."""
    async with empty_deployment(stage_url, story.orders, story.ready_ms) as world:
        play = Stage(world)
        await play.play_at_once(story, random.Random(story.name))
        shown = await play.shown()
        assert told(shown) == told(await play.by_the_facts(story.now_ms))
        if story.rests_on_receipt is None:
            assert told(f for f in shown if f.kind != SILENCE) == told(f for f in story.findings if f.kind != SILENCE)


@pytest.mark.parametrize("story", [story for story in STORIES if story.together], ids=lambda story: story.name)
async def test_what_happens_to_many_at_once_is_one_alert_in_the_queue(story: Story, stage_url: str) -> None:
    async with empty_deployment(stage_url, story.orders, story.ready_ms) as world:
        play = Stage(world)
        await play.play(story)
        alerts = await play.alerts()
        for together in story.together:
            times = [alert.raised_ms or 0 for alert in alerts if alert.severity == together.severity]
            assert len(times) == 1, together.reason
            assert times[0] <= together.by_ms, together.reason
        queue = await open_alerts(world.connection, AlertFilter(), None, 100)
        assert len(queue) == len(story.together), "nobody's own alert stands in the queue meanwhile"
        assert [alert.people for alert in queue] == [len({f.wearer_id for f in story.findings})]


def raised(alerts: list[Raised], *, like: list[Raised]) -> list[str]:
    """Alerts as sorted lines; when they were raised only where the story tells it for all alerts of that wearer and kind."""
    timed = {(a.wearer_id, a.kind) for a in like} - {(a.wearer_id, a.kind) for a in like if a.raised_ms is None}
    lines = []
    for a in alerts:
        marks = [
            word for word, holds in (("closed", a.closed), ("withdrawn", a.withdrawn), ("linked", a.linked)) if holds
        ]
        at = f"raised {stage.iso(a.raised_ms or 0)}" if (a.wearer_id, a.kind) in timed else ""
        what = [a.wearer_id, a.kind, a.requirement_id, a.code, f"severity {a.severity}", f"{a.findings} findings"]
        lines.append(" ".join(filter(None, [*what, *marks, at])))
    return sorted(lines)


# ---------------------------------------------------------------------------------------------- the form


def test_there_are_stories() -> None:
    assert len(STORIES) >= 40


def test_every_story_is_in_the_index_with_its_title_and_no_other() -> None:
    told = dict(re.findall(r"^\* `([\w-]+)`: (.+)$", INDEX.read_text(), re.MULTILINE))
    assert told == {story.name: story.title for story in STORIES}


def test_a_story_is_named_after_nobody_elses_title() -> None:
    assert len({story.title for story in STORIES}) == len(STORIES)


WHOLE = """\
A story.
Ready 12:00

Orders
  tag D1 on W1 from 12:00 every 60 s
  C1 obliges W1: CURFEW within 60 m of home, daily 19:00-07:00

Course
  18:50 D1 at street

Findings at 19:00
  W1 CURFEW OUT_AT_START on C1 from 19:00, lasting
"""


@pytest.mark.parametrize(
    ("line", "instead", "complaint"),
    [
        ("A story.", "A story", "line 1: the first line is the title"),
        ("Ready 12:00\n", "", "there is no Ready"),
        ("Findings at 19:00", "Findings", "line 11: write `Findings at HH:MM`"),
        ("tag D1 on W1", "tag D1 for W1", "is no order"),
        ("within 60 m of home", "within 60 m of hme", "'hme' is no place"),
        (", daily", ", dayly", "is no part of a requirement"),
        ("at street", "at streets", "is no report"),
        ("18:50 D1", "18.50 D1", "is not understood under 'Course'"),
        (", lasting", ", lasts", "is no finding"),
        (", lasting", ", lasting, maybe", "'maybe' is nothing that a finding has"),
        ("Course", "Curse", "line 8: 'Curse' is no section"),
    ],
)
def test_a_line_that_is_not_understood_is_an_error_that_names_it(
    line: str, instead: str, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "one.story"
    path.write_text(WHOLE)
    assert read_story(path).findings[0].kind == "CURFEW"
    path.write_text(WHOLE.replace(line, instead, 1))
    with pytest.raises(StoryError, match=re.escape(complaint)):
        read_story(path)


def test_every_file_beside_the_stories_is_a_story_or_reads_them() -> None:
    assert {path.suffix for path in HERE.iterdir() if path.is_file()} == {".story", ".py"}
