"""Tasks of the programme as people read them: what an agency or a person has to do, what they gave others to do, and what ended."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from emtrack.iom.entries import Author, Entry, versions_of_item
from emtrack.iom.grades import DAY_MS
from emtrack.iom.tasking import Move, moves_of
from emtrack.iom.tasks import OPEN, Task
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

ENDED_DAYS: Final = 14
MOST: Final = 500

COLUMNS = """
    t.item_no, t.wearer_no, t.state, t.content, epoch_ms(t.due_at) AS due_ms, epoch_ms(t.recorded_at) AS changed_ms,
    t.recorded_by AS changed_by, f.recorded_by AS entered_by, f.agency AS entered_for, epoch_ms(f.recorded_at) AS entered_ms
"""
OPEN_TASKS = f"""
SELECT {COLUMNS} FROM iom_open_tasks o JOIN iom_now t USING (item_no) JOIN iom_entries f ON f.entry_no = t.item_no
"""  # noqa: S608  a constant made of constants
ENDED_TASKS = f"""
SELECT {COLUMNS} FROM iom_now t JOIN iom_entries f ON f.entry_no = t.item_no
WHERE t.noun = 'task' AND t.recorded_at > $1 AND t.state IN ('DONE', 'REJECTED', 'CANCELLED') ORDER BY t.entry_no DESC LIMIT $2
"""  # noqa: S608
NAMES = "SELECT wearer_no, wearer_id, name FROM people WHERE wearer_no = ANY($1::bigint[])"


class Sight(StrEnum):
    """Which tasks are looked at."""

    MINE = "mine"
    AGENCY = "agency"
    GIVEN = "given"
    ALL = "all"
    ENDED = "ended"


class TaskRow(msgspec.Struct, frozen=True):
    """A task as a list shows it; times in milliseconds. `entered_for`: the agency of who entered it."""

    item_no: int
    wearer_no: int
    reference: str
    name: str | None
    state: str
    task: Task
    due_ms: int | None
    changed_ms: int
    changed_by: str
    entered_by: str
    entered_for: str | None
    entered_ms: int

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    def fits(self, sight: Sight, author: Author) -> bool:
        match sight:
            case Sight.MINE:
                return self.task.owner == author.name
            case Sight.AGENCY:
                return self.task.for_agency == author.agency or self.task.owner == author.name
            case Sight.GIVEN:
                return self.entered_by == author.name or (
                    author.agency is not None and self.entered_for == author.agency
                )
            case Sight.ALL | Sight.ENDED:
                return True


async def tasks_of(connection: Connection, sight: Sight, author: Author, now_ms: int) -> list[TaskRow]:
    """What fits and the session may see: what is open with the first deadline first; of what somebody gave, what came back rejected
    comes before that; what ended in the last 14 days, the last first."""
    since = datetime_of(now_ms - ENDED_DAYS * DAY_MS)
    rows: Sequence[Any] = [] if sight is Sight.ENDED else await connection.fetch(OPEN_TASKS)
    ended = await connection.fetch(ENDED_TASKS, since, MOST) if sight in (Sight.ENDED, Sight.GIVEN) else []
    back = [row for row in ended if sight is Sight.ENDED or row["state"] == "REJECTED"]
    found = [task for task in await _told(connection, rows) if task.fits(sight, author)]
    found.sort(key=lambda one: (one.due_ms or float("inf"), one.item_no))
    return [task for task in await _told(connection, back) if task.fits(sight, author)] + found


async def _told(connection: Connection, rows: Sequence[Any]) -> list[TaskRow]:
    numbers = sorted({row["wearer_no"] for row in rows})
    names = {row["wearer_no"]: row for row in await connection.fetch(NAMES, numbers)} if numbers else {}
    return [
        TaskRow(
            row["item_no"], row["wearer_no"], person["wearer_id"], person["name"], row["state"],
            msgspec.convert(row["content"], Task), row["due_ms"], row["changed_ms"], row["changed_by"], row["entered_by"],
            row["entered_for"], row["entered_ms"],
        )
        for row in rows
        if (person := names.get(row["wearer_no"])) is not None
    ]  # fmt: skip


class TaskStory(msgspec.Struct, frozen=True):
    """All versions of a task, the first first, and what who asks may do to it."""

    versions: list[Entry]
    moves: list[Move]

    @property
    def now(self) -> Entry:
        return self.versions[-1]


async def story_of(connection: Connection, item_no: int, author: Author) -> TaskStory | None:
    """None: there is no such task that the session may see."""
    versions = await versions_of_item(connection, item_no)
    if not versions or not isinstance(versions[-1].content, Task):
        return None
    return TaskStory(versions, moves_of(author, versions))
