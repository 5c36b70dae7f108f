"""What changes seldom of the people of a programme: what they were assessed as, and what they did. It is read once and kept.

The newest entry of each of the two nouns says whether what is kept of a person still holds; it is asked for each time, so nothing is
shown later than it was entered. Who asks sees only people whom their session may see; of those everybody sees the same assessments
and offences, because neither noun can be entered for some readers only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from emtrack.iom.assessments import ASSESSMENT
from emtrack.iom.grades import DAY_MS
from emtrack.iom.offences import OFFENCE, PROVEN

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

assert not ASSESSMENT.may_be_narrow
assert not OFFENCE.may_be_narrow

MOST_PEOPLE: Final = 20_000
KEPT_MS: Final = DAY_MS // 96
"""A quarter of an hour: what retention removed is not kept for longer."""

NEWEST = """
SELECT p.wearer_no,
       (SELECT entry_no FROM iom_entries e WHERE e.wearer_no = p.wearer_no AND e.noun = 'assessment'
        ORDER BY entry_no DESC LIMIT 1) AS assessed_no,
       (SELECT entry_no FROM iom_entries e WHERE e.wearer_no = p.wearer_no AND e.noun = 'offence'
        ORDER BY entry_no DESC LIMIT 1) AS offended_no
FROM unnest($1::bigint[]) AS p (wearer_no)
"""
# The newest assessment that says something counts for each of its parts.
ASSESSED = """
SELECT p.wearer_no, a.* FROM unnest($1::bigint[]) AS p (wearer_no) CROSS JOIN LATERAL (
    SELECT (array_agg(content ->> 'rosh' ORDER BY occurred_at DESC NULLS LAST, entry_no DESC)
            FILTER (WHERE content ? 'rosh'))[1] AS rosh,
           (array_agg((content ->> 'mappa_level')::bigint ORDER BY occurred_at DESC NULLS LAST, entry_no DESC)
            FILTER (WHERE content ? 'mappa_level'))[1] AS mappa_level,
           (array_agg((content ->> 'serious_harm')::float8 ORDER BY occurred_at DESC NULLS LAST, entry_no DESC)
            FILTER (WHERE content ? 'serious_harm'))[1] AS serious_harm,
           (array_agg(jsonb_build_array(content -> 'reoffending', epoch_ms(occurred_at), content -> 'source',
                                        content -> 'counts_from_release')
                      ORDER BY occurred_at DESC NULLS LAST, entry_no DESC) FILTER (WHERE content ? 'reoffending'))[1] AS likely
    FROM (SELECT DISTINCT ON (item_no) content, occurred_at, entry_no FROM iom_entries n
          WHERE n.wearer_no = p.wearer_no AND n.noun = 'assessment' ORDER BY item_no, version DESC) newest) a
"""
# Offences that are proven by now, whenever they were committed.
OFFENDED = """
SELECT wearer_no, content ->> 'kind' AS kind, epoch_ms(occurred_at) AS occurred_ms FROM iom_now
WHERE noun = 'offence' AND state = 'STATED' AND wearer_no = ANY($1::bigint[]) AND content ->> 'outcome' = ANY($2::text[])
"""


class Offended(NamedTuple):
    kind: str
    occurred_ms: int


class SeldomKnown(NamedTuple):
    """`assessed_no`, `offended_no`: the newest entry of each noun; None: there is none. `assessed`: a row of `ASSESSED`."""

    assessed_no: int | None
    offended_no: int | None
    assessed: Any
    offences: tuple[Offended, ...]


class SeldomCache:
    """Of records, by number."""

    def __init__(self) -> None:
        self._of: dict[int, SeldomKnown] = {}
        self._since_ms: int | None = None

    async def known(self, connection: Connection, numbers: Sequence[int], now_ms: int) -> dict[int, SeldomKnown]:
        """Of each of the records, as it stands."""
        kept = self._kept(now_ms)  # others may begin anew while we read
        newest = await connection.fetch(NEWEST, list(numbers))
        stale = [row for row in newest if not _holds(kept.get(row["wearer_no"]), row)]
        if stale:
            kept |= await _read(connection, stale)
        return {row["wearer_no"]: kept[row["wearer_no"]] for row in newest}

    def _kept(self, now_ms: int) -> dict[int, SeldomKnown]:
        if self._since_ms is None or abs(now_ms - self._since_ms) > KEPT_MS or len(self._of) > MOST_PEOPLE:
            self._of, self._since_ms = {}, now_ms
        return self._of


def _holds(kept: SeldomKnown | None, newest: Any) -> bool:
    return kept is not None and kept[:2] == (newest["assessed_no"], newest["offended_no"])


async def _read(connection: Connection, stale: Sequence[Any]) -> dict[int, SeldomKnown]:
    numbers = [row["wearer_no"] for row in stale]
    assessed = {row["wearer_no"]: row for row in await connection.fetch(ASSESSED, numbers)}
    offences: dict[int, list[Offended]] = {}
    for row in await connection.fetch(OFFENDED, numbers, list(PROVEN)):
        if row["occurred_ms"] is not None:
            offences.setdefault(row["wearer_no"], []).append(Offended(row["kind"], row["occurred_ms"]))
    return {
        row["wearer_no"]: SeldomKnown(
            row["assessed_no"],
            row["offended_no"],
            assessed[row["wearer_no"]],
            tuple(offences.get(row["wearer_no"], ())),
        )
        for row in stale
    }
