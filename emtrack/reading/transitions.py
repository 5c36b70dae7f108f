"""The diary of releases with what is ready on the day, and breaches from finding to outcome, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from emtrack.iom.breaches import STATES, Breach
from emtrack.iom.grades import DAY_MS
from emtrack.iom.transitions import Transition
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

AHEAD_DAYS: Final = 85
BACK_DAYS: Final = 29
CLOSED_DAYS: Final = 28
MOST: Final = 500

# Releases near in time, with how many of their tasks are open, and since when a tag is worn.
RELEASES = """
SELECT t.item_no, t.wearer_no, p.wearer_id, p.name, t.state, t.content, epoch_ms(t.occurred_at) AS at_ms,
       (SELECT count(*) FROM iom_open_tasks o JOIN iom_entries e ON e.entry_no = o.item_no
        WHERE e.wearer_no = t.wearer_no AND e.content ->> 'origin' = 'TRANSITION'
              AND (e.content ->> 'origin_no')::bigint = t.item_no) AS open_tasks,
       (SELECT epoch_ms(min(lower(a.during))) FROM activation_versions a
        WHERE a.wearer_no = t.wearer_no AND upper_inf(a.recorded) AND a.during @> $3::timestamptz) AS tag_since_ms
FROM iom_now t JOIN people p USING (wearer_no)
WHERE t.noun = 'transition' AND t.state IN ('PLANNED', 'DONE') AND t.content ->> 'kind' = 'RELEASE'
      AND t.occurred_at BETWEEN $1 AND $2
ORDER BY t.occurred_at, t.item_no LIMIT 500
"""
BREACHES = """
SELECT b.item_no, b.wearer_no, p.wearer_id, p.name, b.state, b.content, epoch_ms(b.occurred_at) AS at_ms,
       epoch_ms(b.due_at) AS due_ms, b.recorded_by
FROM iom_now b JOIN people p USING (wearer_no)
WHERE b.noun = 'breach' AND (b.state NOT IN ('CLOSED', 'NO_ACTION') OR b.recorded_at > $1)
ORDER BY b.due_at NULLS LAST, b.item_no LIMIT $2
"""
BEGAN = """
SELECT n AS finding_no, epoch_ms(v.begin_at) AS begin_ms FROM unnest($1::bigint[]) AS n
JOIN findings f ON f.finding_no = n CROSS JOIN LATERAL newest_version(n) v
"""


class ReleaseRow(msgspec.Struct, frozen=True):
    """A release. `tag_since_ms`: since when a tag is on record; None: none is."""

    item_no: int
    wearer_no: int
    reference: str
    name: str | None
    state: str
    release: Transition
    at_ms: int
    open_tasks: int
    tag_since_ms: int | None

    def missing(self) -> list[str]:
        """What is not known to be ready."""
        ready = {
            "bed": self.release.address, "tag": self.tag_since_ms or self.release.tag_fitting_ms,
            "appointment": self.release.appointment, "medicine": self.release.medicine,
        }  # fmt: skip
        return [what for what, said in ready.items() if not said]


async def releases(connection: Connection, now_ms: int) -> list[ReleaseRow]:
    """Of the last four weeks and the coming twelve, by day."""
    begin, end = datetime_of(now_ms - BACK_DAYS * DAY_MS), datetime_of(now_ms + AHEAD_DAYS * DAY_MS)
    return [
        ReleaseRow(
            row["item_no"], row["wearer_no"], row["wearer_id"], row["name"], row["state"],
            msgspec.convert(row["content"], Transition), row["at_ms"], row["open_tasks"], row["tag_since_ms"],
        )
        for row in await connection.fetch(RELEASES, begin, end, datetime_of(now_ms))
    ]  # fmt: skip


class BreachLine(msgspec.Struct, frozen=True):
    """A breach on one line. `steps`: what happened when, the finding first, in milliseconds. `next`: which steps may follow."""

    item_no: int
    wearer_no: int
    reference: str
    name: str | None
    state: str
    breach: Breach
    due_ms: int | None
    steps: list[tuple[str, int]]
    next: list[str]

    @property
    def took_ms(self) -> int:
        return self.steps[-1][1] - self.steps[0][1] if self.steps else 0


async def breaches(connection: Connection, now_ms: int) -> list[Any]:
    """Rows of those that are open, the first deadline first, and of those that ended in the last four weeks: for `lines_of`."""
    return list(await connection.fetch(BREACHES, datetime_of(now_ms - CLOSED_DAYS * DAY_MS), MOST))


async def lines_of(connection: Connection, rows: Sequence[Any]) -> list[BreachLine]:
    """With when their findings began, which is told only after the look is on record."""
    contents = {row["item_no"]: msgspec.convert(row["content"], Breach) for row in rows}
    numbers = sorted({number for content in contents.values() for number in content.findings})
    began = {row["finding_no"]: row["begin_ms"] for row in await connection.fetch(BEGAN, numbers)} if numbers else {}
    return [_line(row, contents[row["item_no"]], began) for row in rows]


ONE = """
SELECT b.item_no, b.wearer_no, p.wearer_id, p.name, b.state, b.content, epoch_ms(b.occurred_at) AS at_ms,
       epoch_ms(b.due_at) AS due_ms, b.recorded_by
FROM iom_now b JOIN people p USING (wearer_no) WHERE b.noun = 'breach' AND b.item_no = $1
"""


async def breach_row(connection: Connection, item_no: int) -> Any:
    """For `lines_of`; None: there is none that may be seen."""
    return await connection.fetchrow(ONE, item_no)


def _line(row: Any, content: Breach, began: dict[int, int]) -> BreachLine:
    found = [began[number] for number in content.findings if number in began]
    steps = [("FINDING", min(found))] if found else []
    steps += sorted(content.steps.items(), key=lambda step: step[1])
    return BreachLine(
        row["item_no"], row["wearer_no"], row["wearer_id"], row["name"], row["state"], content, row["due_ms"], steps,
        sorted(STATES.after[row["state"]]),
    )  # fmt: skip
