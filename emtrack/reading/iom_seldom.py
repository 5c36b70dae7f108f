"""What changes seldom of the people of a programme: what they were assessed as, and what they did. It is read once and kept.

The newest entry of each of the two nouns says whether what is kept of a person still holds; it is asked for each time, so nothing is
shown later than it was entered. Who asks sees only people whom their session may see; of those everybody sees the same assessments
and offences, because neither noun can be entered for some readers only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from emtrack.iom.assessments import ASSESSMENT, BANDS, HARM_BANDS, REOFFENDING_BANDS, Rosh, band_of
from emtrack.iom.grades import DAY_MS
from emtrack.iom.offences import HARM_DAYS, OFFENCE, PROVEN, OffenceKind
from geofence import datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection

assert not ASSESSMENT.may_be_narrow
assert not OFFENCE.may_be_narrow

MOST_PEOPLE: Final = 20_000
KEPT_MS: Final = DAY_MS // 96
"""A quarter of an hour: what retention removed, and what left the 24 months, is not kept for longer."""
HARM_MS: Final = 730 * DAY_MS
"""Harm days are of the last 24 months."""
LAST: Final = 9
"""The place of what is not known: after all that is."""
ROSH_WORDS: Final = {Rosh.VERY_HIGH: "very high", Rosh.HIGH: "high", Rosh.MEDIUM: "medium", Rosh.LOW: "low"}

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
# Proven offences that were committed in a time, by person and kind.
OFFENDED = """
SELECT wearer_no, content ->> 'kind' AS kind, count(*) AS offences FROM iom_now
WHERE noun = 'offence' AND state = 'STATED' AND wearer_no = ANY($1::bigint[]) AND content ->> 'outcome' = ANY($2::text[])
      AND occurred_at > $3 AND occurred_at <= $4 GROUP BY 1, 2
"""


class HowLikely(msgspec.Struct, frozen=True):
    """The imported predictor: of 100 people with this score about `percent` are proven to reoffend within two years."""

    percent: float
    band: str
    assessed_ms: int | None
    source: str | None
    counts_from_release: bool


class HowBad(msgspec.Struct, frozen=True):
    """Not in one number: each as it was assessed; None: not assessed. `harm_days`: of the `offences` of the last 24 months that are
    proven; `without_harm` of them have no figure in the index and add nothing."""

    rosh: str | None = None
    mappa_level: int | None = None
    serious_harm: float | None = None
    harm_days: float = 0.0
    offences: int = 0
    without_harm: int = 0

    @property
    def place(self) -> tuple[int, int, int, float]:
        """RoSH, then MAPPA level, then the band of the predictor of serious harm, then harm days; the worst first."""
        rosh = LAST if self.rosh is None else 1 + list(ROSH_WORDS).index(Rosh(self.rosh))
        level = LAST if self.mappa_level is None else 4 - self.mappa_level
        harm = LAST if self.serious_harm is None else len(BANDS) - BANDS.index(band_of(self.serious_harm, HARM_BANDS))
        return rosh, level, harm, -self.harm_days


class SeldomKnown(NamedTuple):
    """`assessed_no`, `offended_no`: the newest entry of each noun; None: there is none. Harm days are of the 24 months up to when it
    was read."""

    assessed_no: int | None
    offended_no: int | None
    how_likely: HowLikely | None
    how_bad: HowBad


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
            kept |= await _read(connection, stale, now_ms)
        return {row["wearer_no"]: kept[row["wearer_no"]] for row in newest}

    def _kept(self, now_ms: int) -> dict[int, SeldomKnown]:
        if self._since_ms is None or abs(now_ms - self._since_ms) > KEPT_MS or len(self._of) > MOST_PEOPLE:
            self._of, self._since_ms = {}, now_ms
        return self._of


def _holds(kept: SeldomKnown | None, newest: Any) -> bool:
    return kept is not None and kept[:2] == (newest["assessed_no"], newest["offended_no"])


async def _read(connection: Connection, stale: Sequence[Any], now_ms: int) -> dict[int, SeldomKnown]:
    numbers = [row["wearer_no"] for row in stale]
    assessed = {row["wearer_no"]: row for row in await connection.fetch(ASSESSED, numbers)}
    span = datetime_of(now_ms - HARM_MS), datetime_of(now_ms)
    counts: dict[int, Counter[str]] = {number: Counter() for number in numbers}
    for row in await connection.fetch(OFFENDED, numbers, list(PROVEN), *span):
        counts[row["wearer_no"]][row["kind"]] += row["offences"]
    return {
        row["wearer_no"]: SeldomKnown(
            row["assessed_no"], row["offended_no"], _how_likely(assessed[row["wearer_no"]]),
            _how_bad(assessed[row["wearer_no"]], counts[row["wearer_no"]]),
        )
        for row in stale
    }  # fmt: skip


def _how_likely(assessed: Any) -> HowLikely | None:
    if assessed["likely"] is None:
        return None
    percent, at_ms, source, from_release = assessed["likely"]
    return HowLikely(percent, band_of(percent, REOFFENDING_BANDS), at_ms, source, bool(from_release))


def _how_bad(assessed: Any, count: Counter[str]) -> HowBad:
    days = sum(HARM_DAYS[OffenceKind(kind)] * number for kind, number in count.items())
    return HowBad(
        assessed["rosh"],
        assessed["mappa_level"],
        assessed["serious_harm"],
        days,
        count.total(),
        count[OffenceKind.OTHER],
    )


def together(some: Sequence[HowBad]) -> HowBad:
    """Of all records of a person: the first that was assessed, and all harm."""
    if len(some) == 1:
        return some[0]
    rosh = next((one.rosh for one in some if one.rosh is not None), None)
    level = next((one.mappa_level for one in some if one.mappa_level is not None), None)
    harm = next((one.serious_harm for one in some if one.serious_harm is not None), None)
    days, offences = sum(one.harm_days for one in some), sum(one.offences for one in some)
    return HowBad(rosh, level, harm, days, offences, sum(one.without_harm for one in some))
