"""Changed rules of the proposal over past months: members, their signals as they were known, offences of the cohort, and what people
decided; of those whom the session may read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from emtrack.errors import MendableError
from emtrack.iom.programme_settings import load_settings
from emtrack.iom.rules import Live, Rule
from emtrack.iom.signals import SignalKind
from emtrack.reading.worth import day_of, midnight_of
from emtrack.record.deployment_settings import load_settings as load_deployment_settings
from emtrack.record.zone_sets import ZoneSetCache
from emtrack.worth.figures import LEAST_PEOPLE
from geofence import FOREVER_MS, datetime_of

if TYPE_CHECKING:
    from emtrack.db.connect import Connection
    from emtrack.worth.intervals import Share
    from emtrack.worth.what_if import Outcome, Past

DAY_MS: Final = 86_400_000
MONTH_DAYS: Final = 30
MOST_MONTHS: Final = 12

MERGED = "SELECT wearer_no, group_no FROM merged_people()"
MEMBERS = """
SELECT wearer_no, epoch_ms(lower(valid)) AS begin_ms, epoch_ms(upper(valid)) AS end_ms FROM iom_now
WHERE noun = 'membership' AND valid && tstzrange($1::timestamptz, $2::timestamptz)
"""
VERSIONS = """
SELECT wearer_no, item_no, state, content ->> 'kind' AS kind, epoch_ms(occurred_at) AS occurred_ms, epoch_ms(due_at) AS expires_ms,
       epoch_ms(recorded_at) AS recorded_ms
FROM iom_entries WHERE noun = 'signal' AND recorded_at < $2 AND (due_at IS NULL OR due_at > $1) AND occurred_at IS NOT NULL
ORDER BY recorded_at, entry_no
"""
# Whatever came of it but that it was dropped: what a person did is not known better than that.
OFFENCES = """
SELECT wearer_no, epoch_ms(occurred_at) AS at_ms FROM iom_now
WHERE noun = 'offence' AND state = 'STATED' AND content ->> 'outcome' <> 'DROPPED' AND content ->> 'kind' = ANY($3::text[])
      AND occurred_at >= $1 AND occurred_at < $2::timestamptz + interval '28 days'
"""
DECIDED = """
SELECT p.wearer_no, p.state, epoch_ms(f.recorded_at) AS made_ms
FROM iom_now p JOIN iom_entries f ON f.item_no = p.item_no AND f.version = 1
WHERE p.noun = 'proposal' AND p.state IN ('ACCEPTED', 'DECIDED_AGAINST') AND p.content ->> 'grade' = 'RED'
      AND f.recorded_at >= $1 AND f.recorded_at < $2
"""


class UnfitRules(MendableError, ValueError):
    """Rules that cannot be read. The message says where."""

    exit_code = 2


class Compared(NamedTuple):
    """The rules in force and the changed ones, over the same days. `only_changed`, `only_now`: people whom one of them names and the
    other does not."""

    begin_ms: int
    end_ms: int
    members: int
    now: Outcome
    changed: Outcome
    only_changed: tuple[int, ...]
    only_now: tuple[int, ...]


class Row(NamedTuple):
    """A line of the comparison, in words."""

    words: str
    now: str
    changed: str


def rows_of(found: Compared) -> list[Row]:
    """Below 30 proposals or offences there are counts and no rates, as everywhere."""
    both = found.now, found.changed
    rows = (
        ("proposals of red", [f"{len(one.said):,}" for one in both]),
        ("people named", [f"{len({each.person for each in one.said}):,}" for one in both]),
        ("proposals that an offence of the cohort followed", [_share(one.foreseen) for one in both]),
        ("offences missed: nothing was said on their day", [_share(one.missed) for one in both]),
        ("real proposals alike that were decided against", [_share(one.against) for one in both]),
    )
    return [Row(words, now, changed) for words, (now, changed) in rows]


def _share(share: Share | None) -> str:
    if share is None:
        return "none"
    rate = f" ({100 * share.value:.0f} %)" if share.of >= LEAST_PEOPLE else ""
    return f"{share.hits:,} of {share.of:,}{rate}"


def read_rules(text: str | bytes) -> list[Rule]:
    """A list of rules as JSON, or settings of the programme that have one. Raises UnfitRules."""
    try:
        given = msgspec.json.decode(text)
        if isinstance(given, dict):
            given = given.get("rules")
        rules = msgspec.convert(given, list[Rule])
    except msgspec.MsgspecError as error:
        raise UnfitRules(f"the rules cannot be read: {error}") from error
    if not rules or len({rule.code for rule in rules}) < len(rules):
        raise UnfitRules("the rules cannot be taken: give one at least, each with a code of its own")
    return rules


async def rules_in_force(connection: Connection) -> bytes:
    """As JSON, to be changed."""
    return msgspec.json.format(msgspec.json.encode((await load_settings(connection)).settings.rules), indent=1)


async def compared(
    connection: Connection, zone_sets: ZoneSetCache | None, rules: Sequence[Rule], months: int, now_ms: int
) -> Compared:
    """Over the months before the last local midnight; in a process of its own."""
    from emtrack.worth.what_if import what_if  # scipy: not where requests are answered

    del zone_sets
    timezone, _ = await load_deployment_settings(connection, now_ms)
    known_ms = midnight_of(day_of(now_ms, timezone), timezone)
    begin_ms = known_ms - months * MONTH_DAYS * DAY_MS
    settings = (await load_settings(connection)).settings
    pasts = await pasts_of(connection, [str(kind) for kind in settings.cohort_offences], begin_ms, known_ms)
    now, changed = (what_if(those, pasts, begin_ms, known_ms) for those in (settings.rules, rules))
    named_now, named = ({one.person for one in outcome.said} for outcome in (now, changed))
    return Compared(
        begin_ms,
        known_ms,
        len(pasts),
        now,
        changed,
        tuple(sorted(named - named_now)),
        tuple(sorted(named_now - named)),
    )


async def pasts_of(connection: Connection, kinds: Sequence[str], begin_ms: int, end_ms: int) -> list[Past]:
    """Everybody who was a member on any of the days."""
    from emtrack.worth.what_if import Decided, Past, SignalVersion

    main = {row["wearer_no"]: row["group_no"] for row in await connection.fetch(MERGED)}
    span = datetime_of(begin_ms), datetime_of(end_ms)

    async def by_person(statement: str, *arguments: Any) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = defaultdict(list)
        for row in await connection.fetch(statement, *arguments):
            found[main.get(row["wearer_no"], row["wearer_no"])].append(row)
        return found

    members = await by_person(MEMBERS, *span)
    versions = await by_person(VERSIONS, *span)
    offences, decided = await by_person(OFFENCES, *span, list(kinds)), await by_person(DECIDED, *span)
    return [
        Past(
            person=no,
            member=tuple((row["begin_ms"], FOREVER_MS if row["end_ms"] is None else row["end_ms"]) for row in rows),
            versions=tuple(
                SignalVersion(
                    Live(row["item_no"], SignalKind(row["kind"]), row["occurred_ms"], row["expires_ms"]),
                    row["recorded_ms"],
                    row["state"] == "LIVE",
                )
                for row in versions.get(no, ())
            ),
            offences=tuple(sorted(row["at_ms"] for row in offences.get(no, ()))),
            decided=tuple(Decided(row["made_ms"], row["state"] == "DECIDED_AGAINST") for row in decided.get(no, ())),
        )
        for no, rows in sorted(members.items())
    ]
