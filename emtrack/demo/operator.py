"""The operators of a demonstration, who dealt with the alerts of its past: good ones, a little tired, in three shifts.

What they do goes through the door that people use. Each alert is acknowledged some minutes after it was raised and looked into soon
after, the graver the sooner: somebody is called, an authority is told of what was true and grave, what is over is closed. What lasts
gets a note and is looked at again. Whether somebody truly broke an order they know from a call and from the officer of the
person; here, from the truth of the world.
"""

from __future__ import annotations

import heapq
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from alerts import CLOCK, HOME_UNIT_SILENT, act
from emtrack.emulator.chance import dice
from emtrack.emulator.world import World
from geofence import Kind, datetime_of, instant_of, parse_instant

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

    Connection = asyncpg.Connection[Any]

OPERATORS = ("Nia Pike", "Tom Ashby", "Ros Keane")
"""Of the early, the late and the night shift."""
SHIFTS = (6, 14, 22)
"""When they begin, in hours of UTC."""
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
ACKNOWLEDGED_AFTER_MIN = {1: (0.3, 2.1), 2: (0.8, 10.5), 3: (3, 32), 4: (8, 60)}
"""By severity."""
LOOKED_AT_AFTER_MIN = {1: (2, 9), 2: (4, 24), 3: (12, 70), 4: (20, 160)}
"""After it was acknowledged."""
LOOKED_AT_AGAIN_AFTER_MIN = (20, 75)
TOLD_AFTER_MIN = (1, 4)
"""An authority, after the call."""
CALLED_SEVERITY, TOLD_SEVERITY = 2, 1
OVER_FOR_MS = 15 * MINUTE_MS
"""What ended just now is watched a little longer."""
NOTED_SHARE = 0.5
"""Of the first looks at what lasts."""
BRIEF_MS = 5 * MINUTE_MS

RAISED = "SELECT alert_no, wearer_no, severity, raised_at FROM alerts WHERE raised_at > $1 ORDER BY alert_no"
# Of an alert: the newest version of each of its findings, less those that were withdrawn.
STANDING = """
SELECT a.kind, a.requirement_id, w.wearer_id, a.closed_at, v.begin_at, v.end_at, v.reason
FROM alerts a LEFT JOIN wearers w USING (wearer_no)
LEFT JOIN LATERAL (
    SELECT n.* FROM alert_occurrences o
    CROSS JOIN LATERAL newest_version(o.finding_no) n
    WHERE o.alert_no = a.alert_no AND n.change <> 'withdrawn'
) v ON true
WHERE a.alert_no = $1 ORDER BY v.begin_at
"""
# What an alert without findings is about: a home unit that does not call in, a clock that is wrong.
EQUIPMENT_LASTS = """
SELECT EXISTS (SELECT FROM unit_silences WHERE alert_no = $1 AND end_at IS NULL)
    OR EXISTS (SELECT FROM wrong_clocks WHERE alert_no = $1 AND ended_at IS NULL)
"""


TOLD = {
    "call": ("called", (
        "The person: answered.", "The person: did not answer. Tried twice.", "The person: did not answer, a message was left.",
        "Responsible officer: answered.",
    )),
    "tell": ("authority told", ("Police, told by phone; their log number is on the call sheet.",)),
}  # fmt: skip
"""What is done before an alert is looked into: the move, and what is noted."""


def operator_at(at_ms: int) -> str:
    """Who is on duty."""
    hour = at_ms // HOUR_MS % 24
    return OPERATORS[sum(hour >= begin for begin in SHIFTS) - 1]


class Verdict(NamedTuple):
    """How an alert is closed."""

    outcome: str
    note: str


class Errand(NamedTuple):
    """Something that the operator will do. Ordered by when."""

    due_ms: int
    alert_no: int
    what: str


# fmt: off
GUILTY: dict[str, tuple[Verdict, ...]] = {
    Kind.CURFEW: (
        Verdict("VIOLATION", "Called, no answer at first. Came home later and admits it. Case officer informed."),
        Verdict("VIOLATION", "Spoke to him at the door by phone: out with friends, lost track of time. To the case officer."),
        Verdict("VIOLATION", "Out during curfew, no excuse given. Report sent to probation."),
        Verdict("VIOLATION", "Out again without a word. Officer asked for a breach report."),
        Verdict("VIOLATION", "Says the bus did not come. No proof so far, recorded as violation."),
        Verdict("AUTHORISED", "At A&E with a child; discharge letter seen. Reasonable excuse."),
        Verdict("AUTHORISED", "Kept at work, employer confirms by phone. Officer agrees."),
    ),
    Kind.EXCLUSION: (
        Verdict("VIOLATION", "Inside the zone. Police control room told, victim liaison informed."),
        Verdict("VIOLATION", "Entered the zone, left when called. Officer will see the person tomorrow."),
        Verdict("VIOLATION", "Went through on the way home. Warned; the route was talked over."),
        Verdict("VIOLATION", "Says he visited an uncle. Zone explained again, breach report follows."),
    ),
    Kind.INCLUSION: (
        Verdict("VIOLATION", "Did not turn up at work, no call. Case officer informed."),
        Verdict("VIOLATION", "Left the workplace early without a word. Officer informed."),
        Verdict("AUTHORISED", "Off sick, employer knows. Note promised by tomorrow."),
    ),
    Kind.ATTENDANCE: (
        Verdict("VIOLATION", "Did not come to the appointment, no call. Case officer informed."),
        Verdict("VIOLATION", "Left after a few minutes, according to the supervisor too. Officer informed."),
        Verdict("AUTHORISED", "The appointment was moved to another day; the provider confirms it."),
    ),
}
BRIEF = (
    Verdict("NO_ACTION", "A few minutes only. Words of advice by phone."),
    Verdict("NO_ACTION", "Came in a moment late. No pattern, nothing more to do."),
)
INNOCENT = (
    Verdict("LOCATION_ERROR", "Coarse positions only. Home unit and call show that the person was where they should be."),
    Verdict("LOCATION_ERROR", "One bad fix; the trail before and after does not fit it."),
    Verdict("LOCATION_ERROR", "Landline answered by the wearer at that time. Position was wrong."),
    Verdict("LOCATION_ERROR", "Drift near the edge. Nobody was there."),
)
NOT_HEARD = (
    Verdict("LOCATION_ERROR", "The home unit did not hear the tag for some minutes. Called: at home, landline answered."),
    Verdict("LOCATION_ERROR", "In the cellar, where the unit does not hear the tag. Range to be tested again."),
    Verdict("LOCATION_ERROR", "Out of the range of the unit and back within minutes; the family says he was in the bath."),
)
"""Of whom there are no positions."""
WITHDRAWN = (
    Verdict("LOCATION_ERROR", "Late reports came in and show otherwise. Withdrawn by the system, closed."),
    Verdict("NO_ACTION", "Delayed data put this right. Nothing to do."),
)
WITHOUT_FINDINGS: dict[str, tuple[Verdict, ...]] = {
    Kind.EXCLUSION: (
        Verdict("LOCATION_ERROR", "One position inside, the ones after it outside. Not confirmed."),
        Verdict("LOCATION_ERROR", "A single position; the trail before and after goes past. Nobody was there."),
    ),
    HOME_UNIT_SILENT: (
        Verdict("EQUIPMENT", "The unit calls in again. What it had kept came with the call and shows nothing wrong."),
        Verdict("EQUIPMENT", "No mobile network at the address for some hours; the unit is back."),
    ),
    CLOCK: (
        Verdict("EQUIPMENT", "The clock of the tag is right again. Its times until then are not to be trusted."),
    ),
}
OF_DEVICE: dict[str, tuple[Verdict, ...]] = {
    "STRAP_TAMPER": (
        Verdict("EQUIPMENT", "Strap closed again by itself. Wearer sent a photo: strap whole. Engineer will check the tag."),
        Verdict("EQUIPMENT", "Signal came and went, wearer was asleep. Photo seen, no damage. Tag to be changed."),
        Verdict("NO_ACTION", "Says it caught on a boot. Strap looked at by the officer, no mark."),
        Verdict("VIOLATION", "Marks on the strap at the visit. New tag fitted, police informed."),
    ),
    "CASE_TAMPER": (
        Verdict("EQUIPMENT", "Knocked against a door. Case looks whole, self test good."),
        Verdict("NO_ACTION", "Cleared in minutes, no damage at the visit."),
    ),
    "BATTERY_CRITICAL": (
        Verdict("EQUIPMENT", "Called, put it on the charger. Full again now."),
        Verdict("EQUIPMENT", "Charger was broken; a new one was brought. Battery is good."),
        Verdict("EQUIPMENT", "Went flat before charging. Reminded of two hours a day on the charger."),
    ),
    "BATTERY_LOW": (
        Verdict("EQUIPMENT", "Text sent, charged since."),
        Verdict("EQUIPMENT", "Reminded to charge in the evening. Charged."),
    ),
    "HMU_POWER_LOST": (
        Verdict("EQUIPMENT", "Meter ran out. Power is back, home unit answers."),
        Verdict("EQUIPMENT", "Plug pulled for the hoover. Told to leave it in."),
    ),
    "HMU_MOVED": (
        Verdict("EQUIPMENT", "Moved for cleaning; back in its place. Range tested."),
        Verdict("NO_ACTION", "Knocked off the shelf by the cat, according to the family. In range again."),
    ),
    "ALCOHOL_DETECTED": (
        Verdict("VIOLATION", "Alcohol over some hours. Says it was a birthday. To the case officer, for the court."),
        Verdict("VIOLATION", "Admits to drinking. Officer informed."),
        Verdict("EQUIPMENT", "Short reading; hand gel at work, says the laboratory. Not alcohol that was drunk."),
    ),
    "JAMMING": (
        Verdict("EQUIPMENT", "Short, near the substation where others saw the same. No sign of a jammer."),
        Verdict("NO_ACTION", "Cleared by itself, trail is whole before and after. Watched."),
    ),
    Kind.NO_COMMUNICATION: (
        Verdict("EQUIPMENT", "No network. Buffered reports came in since and show nothing wrong."),
        Verdict("EQUIPMENT", "Tag silent, answers again. Trail checked for the gap."),
        Verdict("EQUIPMENT", "Battery was flat; charged since. Reminded."),
        Verdict("NO_ACTION", "Basement flat, known for bad reception. Reports are here now."),
    ),
    Kind.UNVERIFIED: (
        Verdict("NO_ACTION", "Only coarse positions indoors. Home unit sees the tag again."),
        Verdict("LOCATION_ERROR", "Positions too coarse to tell; called, at home."),
        Verdict("NO_ACTION", "Nothing usable for two hours, verified since."),
    ),
    Kind.APPROACH: (
        Verdict("NO_ACTION", "Passed by on the main road, did not stop."),
        Verdict("NO_ACTION", "Near the zone, not in it. Noted for the officer."),
    ),
}
LASTING: dict[str, tuple[str, ...]] = {
    Kind.TAMPER: ("Strap still shows open. Field visit booked.", "No answer by phone. Police asked for a welfare check."),
    Kind.NO_COMMUNICATION: ("Still silent, no answer to two calls.", "Relative says the tag is charging. Waiting."),
    Kind.CURFEW: ("Still not back. Officer on call informed.", "Phone is off. Nothing from the family either."),
    Kind.EXCLUSION: ("Still inside. Police control room has the position.",),
    Kind.UNVERIFIED: ("Called, says he is at home. Still no good position.",),
    Kind.HMU: ("Home unit still without power. Says the electrician comes today.", "Unit has not seen the tag since."),
    Kind.BATTERY: ("Told to charge, not done yet.",),
    Kind.ATTENDANCE: ("The provider has not seen him so far.",),
    Kind.ALCOHOL: ("Still reads alcohol. Officer informed.",),
    HOME_UNIT_SILENT: ("Called at the address: the plug is in. Engineer booked.", "Nobody answers at the address."),
    CLOCK: ("Times of this tag cannot be trusted. New tag ordered.",),
}
# fmt: on
STILL = ("Lasts. Will look again.",)


class DemoOperator:
    """Three people with one list of errands, over the whole of a history."""

    def __init__(self, worlds: list[World], seed: int) -> None:
        self._seed = seed
        self._worlds = {wearer.wearer_id: world for world in worlds for wearer in world.wearers}
        self._without_positions = {w.wearer_id for world in worlds for w in world.wearers if w.rf_only}
        self._errands: list[Errand] = []
        self._seen: datetime = datetime_of(0)

    async def see_raised(self, connection: Connection) -> None:
        """Take in alerts that were raised since the last look."""
        for row in await connection.fetch(RAISED, self._seen):
            self._seen = max(self._seen, row["raised_at"])
            rng = dice(self._seed, "operator", row["alert_no"])
            raised_ms = instant_of(row["raised_at"])
            first_ms = raised_ms + _minutes_ms(rng, ACKNOWLEDGED_AFTER_MIN[row["severity"]])
            heapq.heappush(self._errands, Errand(first_ms, row["alert_no"], "acknowledge"))
            look_ms = first_ms + _minutes_ms(rng, LOOKED_AT_AFTER_MIN[row["severity"]])
            heapq.heappush(self._errands, Errand(look_ms, row["alert_no"], "look"))
            if row["severity"] <= CALLED_SEVERITY and row["wearer_no"] is not None:
                called_ms = first_ms + _minutes_ms(rng, (0.5, 2.5))
                heapq.heappush(self._errands, Errand(called_ms, row["alert_no"], "call"))
                if row["severity"] <= TOLD_SEVERITY:
                    told_ms = called_ms + _minutes_ms(rng, TOLD_AFTER_MIN)
                    heapq.heappush(self._errands, Errand(told_ms, row["alert_no"], "tell"))

    async def act_until(self, connection: Connection, now_ms: int) -> None:
        """Everything that was due before `now_ms`, at its own instant, in one transaction."""
        if not self._errands or self._errands[0].due_ms >= now_ms:
            return
        async with connection.transaction():
            while self._errands and self._errands[0].due_ms < now_ms:
                await self._run(connection, heapq.heappop(self._errands))

    async def _run(self, connection: Connection, errand: Errand) -> None:
        rng, who = dice(self._seed, errand.what, errand.alert_no, errand.due_ms), operator_at(errand.due_ms)
        if errand.what == "acknowledge":
            await act(connection, errand.alert_no, who=who, action="acknowledged", now_ms=errand.due_ms)
            return
        if errand.what in TOLD:
            await self._tell(connection, errand, rng, who)
            return
        rows = await connection.fetch(STANDING, errand.alert_no)
        findings = [row for row in rows if row["begin_at"] is not None]
        lasts = any(row["end_at"] is None for row in findings)
        if lasts or (not findings and await connection.fetchval(EQUIPMENT_LASTS, errand.alert_no)):
            await self._note(connection, errand, rng, rows[0]["kind"])
        elif findings and instant_of(max(row["end_at"] for row in findings)) > errand.due_ms - OVER_FOR_MS:
            self._look_again(errand, rng)
        else:
            outcome, note = self._verdict(rng, rows[0], findings)
            await act(
                connection, errand.alert_no, who=who, action="closed", outcome=outcome, note=note,
                confirmed=True, now_ms=errand.due_ms,
            )  # fmt: skip

    async def _tell(self, connection: Connection, errand: Errand, rng: Random, who: str) -> None:
        """A call, or an authority: of an entry only if it was one."""
        rows = await connection.fetch(STANDING, errand.alert_no)
        if rows[0]["closed_at"] is not None:
            return
        if errand.what == "tell" and rows[0]["kind"] == Kind.EXCLUSION:
            around = errand.due_ms - HOUR_MS, errand.due_ms
            if not self._broken_ms(rows[0]["wearer_id"], rows[0]["requirement_id"], *around):
                return
        action, notes = TOLD[errand.what]
        await act(connection, errand.alert_no, who=who, action=action, note=rng.choice(notes), now_ms=errand.due_ms)

    async def _note(self, connection: Connection, errand: Errand, rng: Random, kind: str) -> None:
        """What lasts stays open; the first look leaves a note now and then."""
        if errand.what == "look" and rng.random() < NOTED_SHARE:
            note = rng.choice(LASTING.get(kind, STILL))
            await act(
                connection,
                errand.alert_no,
                who=operator_at(errand.due_ms),
                action="noted",
                note=note,
                now_ms=errand.due_ms,
            )
        self._look_again(errand, rng)

    def _look_again(self, errand: Errand, rng: Random) -> None:
        due_ms = errand.due_ms + _minutes_ms(rng, LOOKED_AT_AGAIN_AFTER_MIN)
        heapq.heappush(self._errands, Errand(due_ms, errand.alert_no, "look again"))

    def _verdict(self, rng: Random, alert: asyncpg.Record, findings: list[asyncpg.Record]) -> Verdict:
        if not findings:
            return rng.choice(WITHOUT_FINDINGS.get(alert["kind"], WITHDRAWN))
        kind = alert["kind"]
        if kind in GUILTY:
            return self._verdict_on_person(rng, alert, findings)
        reasons = [row["reason"] for row in findings]
        worst = next((reason for reason in OF_DEVICE if reason in reasons), kind)
        return rng.choice(OF_DEVICE[worst])

    def _verdict_on_person(self, rng: Random, alert: asyncpg.Record, findings: list[asyncpg.Record]) -> Verdict:
        begin_ms, end_ms = instant_of(findings[0]["begin_at"]), instant_of(max(row["end_at"] for row in findings))
        true_ms = self._broken_ms(alert["wearer_id"], alert["requirement_id"], begin_ms, end_ms)
        if not true_ms:
            return rng.choice(NOT_HEARD if alert["wearer_id"] in self._without_positions else INNOCENT)
        if true_ms < BRIEF_MS and alert["kind"] == Kind.CURFEW:
            return rng.choice(BRIEF)
        return rng.choice(GUILTY[alert["kind"]])

    def _broken_ms(self, wearer_id: str, requirement_id: str, begin_ms: int, end_ms: int) -> int:
        """For how long the order was truly broken around [begin, end)."""
        spans = self._worlds[wearer_id].truth(wearer_id, begin_ms - OVER_FOR_MS, end_ms + OVER_FOR_MS)
        return sum(_length_ms(span) for span in spans if span["requirement_id"] == requirement_id)


def _length_ms(span: dict[str, Any]) -> int:
    return parse_instant(span["end"]) - parse_instant(span["begin"])


def _minutes_ms(rng: Random, minutes: tuple[float, float]) -> int:
    return round(rng.uniform(*minutes) * 60) * 1000
