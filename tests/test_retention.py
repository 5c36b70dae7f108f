"""For how long what is kept, to the day; holds; what went is told by the log; reports get through meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from benchmarks.stored import pack_all
from emtrack.cli.findings import stored_findings
from emtrack.cli.retention import deleted, going, held
from emtrack.db.connect import connect
from emtrack.db.rights import RunTime, grant_rights, run_time_dsn
from emtrack.files.export import export_to
from emtrack.forms.iom import Cohort
from emtrack.iom.entries import Author, Draft, Span, enter, following
from emtrack.iom.memberships import MEMBERSHIP, EndReason, Membership
from emtrack.iom.people import Person
from emtrack.iom.standing import add_person
from emtrack.metrics import Metrics
from emtrack.orders.importing import make_device_key
from emtrack.people.looks import commander
from emtrack.retention.holds import UnfitHold, enter_hold, holds
from emtrack.retention.rules import DEFAULTS, Kind, Rule, UnfitRules, ended_before, rules_of
from emtrack.retention.runs import Run, begin_run, planned
from emtrack.retention.targets import OF_A_PERSON, OF_NOBODY
from emtrack.sealing.check import PLAIN_TEXT, check_tree, kinds, misfits_of
from emtrack.sealing.proofs import verify
from emtrack.sealing.proving import NothingToProve, prove_rows
from emtrack.service.sealer import Sealer
from emtrack.service.witness import Witness
from emtrack.settings import ClockSetting, Settings
from geofence import parse_instant
from tests.office import ORDERS, open_office
from tests.service_world import activation, curfew, orders, position, serving

# ------------------------------------------------------------------ days


def kept(ended: str, now: str, days: int, timezone: str = "Europe/London") -> bool:
    zone = ZoneInfo(timezone)
    at = datetime.fromisoformat(now).replace(tzinfo=zone)
    return not datetime.fromisoformat(ended).replace(tzinfo=zone) < ended_before(at, days, timezone)


@pytest.mark.parametrize(
    ("ended", "last_moment", "first_moment"),
    [
        ("2026-03-10T18:00", "2026-03-20T23:59:59", "2026-03-21T00:00"),
        ("2026-03-10T00:00", "2026-03-20T23:59:59", "2026-03-21T00:00"),
        ("2026-03-10T23:59:59", "2026-03-20T23:59:59", "2026-03-21T00:00"),
        ("2026-03-25T12:00", "2026-04-04T23:59:59", "2026-04-05T00:00"),  # over the change to summer time
        ("2026-10-20T12:00", "2026-10-30T23:59:59", "2026-10-31T00:00"),  # and back
    ],
)
@pytest.mark.parametrize("timezone", ["Europe/London", "Pacific/Auckland", "America/St_Johns"])
def test_a_row_is_kept_on_the_last_day_and_may_go_on_the_next(
    ended: str, last_moment: str, first_moment: str, timezone: str
) -> None:
    assert kept(ended, last_moment, 10, timezone)
    assert not kept(ended, first_moment, 10, timezone)


def test_the_day_is_that_of_the_deployment_and_not_of_utc() -> None:
    """23:30 UTC on 10 June is the 11th in London."""
    ended = datetime.fromisoformat("2026-06-10T23:30:00+00:00")
    at = datetime.fromisoformat("2026-06-20T23:15:00+00:00")  # the 21st in London
    assert not ended < ended_before(at, 10, "Europe/London")
    assert ended < ended_before(at, 9, "Europe/London")
    assert not ended < ended_before(at, 10, "UTC")


# ------------------------------------------------------------------ rules


def test_every_kind_has_a_rule_with_a_reason() -> None:
    assert set(DEFAULTS) == set(Kind)
    assert all(rule.days > 0 and len(rule.reason) > 20 for rule in DEFAULTS.values())


def test_a_file_changes_rules_and_one_that_does_not_fit_says_what_is_expected(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text('{"positions": {"days": 30, "reason": "a pilot"}}')
    assert rules_of(path) == {**DEFAULTS, Kind.POSITIONS: Rule(30, "a pilot")}
    for text, what in (
        ('{"places": {"days": 1, "reason": "x"}}', "is no kind"),
        ('{"positions": {"days": -1, "reason": "x"}}', "days from 0"),
        ('{"positions": {"days": 1, "reason": " "}}', "a reason"),
        ('{"positions": 3}', "expected"),
        ("[", "expected"),
    ):
        path.write_text(text)
        with pytest.raises(UnfitRules, match=what):
            rules_of(path)


# ------------------------------------------------------------------ a record of two: W1 ended on 3 March, W2 is monitored


ENDS = "2026-03-03T10:00:00Z"


def form() -> dict[str, Any]:
    made = orders(1, 2)
    made["activations"] = [activation(1, to=ENDS), activation(2)]
    for requirement in made["requirements"]:
        if requirement["wearer_id"] == "W1":
            requirement["to"] = ENDS
    return made


class Kept:
    """A record that was served, sealed and ended. `connection`: of the owner."""

    def __init__(self, connection: Any, settings: Settings) -> None:
        self.connection = connection
        self.settings = settings

    async def run(self, days: int, now: str) -> Run:
        rules = {kind: Rule(days, "a test") for kind in Kind}
        plan = await planned(self.connection, rules, parse_instant(now))
        this = await begin_run(self.connection, plan, "Ann")
        await this.all_of_it("Ann", parse_instant(now))
        return this

    async def count(self, table: str, where: str = "true") -> int:
        number: int = await self.connection.fetchval(f"SELECT count(*) FROM {table} WHERE {where}")  # noqa: S608
        return number

    async def told(self) -> set[str]:
        async with self.connection.transaction():
            await self.connection.execute(PLAIN_TEXT)
            return {
                row.what
                for kind in await kinds(self.connection)
                async for row, _ in misfits_of(self.connection, kind)
            }

    async def seal(self) -> None:
        metrics = Metrics()
        dsn = await run_time_dsn(self.settings.database_url or "", RunTime.WORKER)
        own = await connect(dsn)
        try:
            sealer = Sealer(dsn, self.settings, metrics, Witness((), metrics))
            await sealer.load(own)
            while await sealer.pass_once(own):
                pass
        finally:
            await own.close()


CLOCK = ClockSetting(parse_instant("2026-03-02T12:00:00Z"), 1.0)


@pytest.fixture
async def record(database_url: str, tmp_path: Path) -> AsyncIterator[Kept]:
    settings = Settings(data_dir=tmp_path, database_url=database_url, clock=CLOCK)
    async with serving(database_url, form(), data_dir=tmp_path, clock=CLOCK) as door:
        for device in ("D1", "D2"):
            sent = [position(seq, f"2026-03-02T11:{seq:02}:00Z") for seq in range(1, 31)]
            status, answer = await door.reports(*sent, device=device)
            assert (status, len(answer["ack"])) == (200, 30)
        assert (await door.reports({"seq": 99, "type": "position"}, device="D1"))[0] == 200  # refused, and kept
    connection = await connect(database_url)
    await grant_rights(connection)
    yield Kept(connection, settings)
    await connection.close()


FACTS = ("positions", "raw_requests", "raw_reports", "quarantine")


async def test_on_the_last_day_everything_is_kept_and_on_the_next_it_is_gone_and_nobody_elses(record: Kept) -> None:
    before = {table: await record.count(table) for table in FACTS}
    assert (await record.run(10, "2026-03-13T23:59:59Z")).gone.total() == 0
    assert {table: await record.count(table) for table in FACTS} == before
    this = await record.run(10, "2026-03-14T00:00:00Z")
    assert this.gone["positions"] == 30
    assert (this.gone["raw_requests"], this.gone["raw_reports"]) == (1, 1), "thirty in one, and what was refused"
    assert this.gone["quarantine"] == 1
    assert (await record.count("positions"), await record.count("raw_requests")) == (30, 1)
    assert await record.count("raw_reports") == 0
    assert await record.count("iom_versions", "wearer_no = 1") == 0
    assert await record.told() == {f"deleted by retention run {this.run_no}"}


async def test_what_is_left_is_proved_as_before_and_what_went_is_not(record: Kept) -> None:
    mine, others = [
        await record.connection.fetchval("SELECT min(fact_id) FROM positions WHERE device_no = $1", number)
        for number in (1, 2)
    ]
    async with record.connection.transaction():
        before = await prove_rows(record.connection, "fact", others)
    await record.run(10, "2026-03-14T00:00:00Z")
    await record.seal()
    line = record.settings.head_file.with_suffix(".pub").read_text()
    async with record.connection.transaction():
        for proof in [*before, *await prove_rows(record.connection, "fact", others)]:
            assert verify(proof, line)
        with pytest.raises(NothingToProve, match="was deleted"):
            await prove_rows(record.connection, "fact", mine)
        assert (await check_tree(record.connection)).troubles == []
        (removal,) = await prove_rows(record.connection, "removal", 1)
        assert verify(removal, line)


async def test_what_was_taken_in_the_dark_is_not_told_as_retention(record: Kept) -> None:
    await record.connection.execute("DELETE FROM positions WHERE device_no = 2 AND fact_id % 2 = 0")
    this = await record.run(10, "2026-03-14T00:00:00Z")
    assert await record.told() == {f"deleted by retention run {this.run_no}", "is gone"}


async def test_somebody_who_is_held_stays_whole_until_the_hold_is_released(record: Kept) -> None:
    await enter_hold(record.connection, "W1", is_held=True, reason="a claim", who="Ann")
    assert [hold.wearer_id for hold in await holds(record.connection)] == ["W1"]
    assert (await record.run(10, "2026-04-14T00:00:00Z")).gone["positions"] == 0
    with pytest.raises(UnfitHold, match="held already"):
        await enter_hold(record.connection, "W1", is_held=True, reason="again", who="Ann")
    await enter_hold(record.connection, "W1", is_held=False, reason="settled", who="Ann")
    assert (await record.run(10, "2026-04-14T00:00:00Z")).gone["positions"] == 30


async def test_a_day_in_which_nothing_has_to_stay_goes_whole(record: Kept) -> None:
    await record.connection.execute("DELETE FROM positions WHERE device_no = 2")
    this = await record.run(10, "2026-03-14T00:00:00Z")
    assert (this.days_dropped, this.gone["positions"]) == (1, 30)
    assert await record.connection.fetchval("SELECT to_regclass('positions_2026_03_02')") is None
    assert await record.count("retention_removals", "whole_partition = 'positions_2026_03_02'") == 1


async def test_packed_positions_go_with_the_rows_that_they_are_of(record: Kept) -> None:
    await pack_all(record.connection, parse_instant("2026-03-03T00:00:00Z"))
    assert await record.count("packed_positions") == 2
    await record.run(10, "2026-03-14T00:00:00Z")
    assert await record.count("packed_positions", "device_no = 1") == 0
    assert await record.count("packed_positions") == 1
    await record.connection.execute("DELETE FROM positions WHERE device_no = 2")
    assert await record.count("packed_positions") == 0


async def test_a_day_that_goes_whole_takes_its_packed_hours_with_it(record: Kept) -> None:
    await record.connection.execute("DELETE FROM positions WHERE device_no = 2")
    await pack_all(record.connection, parse_instant("2026-03-03T00:00:00Z"))
    assert (await record.run(10, "2026-03-14T00:00:00Z")).days_dropped == 1
    for table in ("packed_positions", "packed_hours", "packed_late"):
        assert await record.count(table) == 0, table


async def test_nobody_judges_again_whose_facts_were_deleted(record: Kept, database_url: str) -> None:
    """A service that starts again, or that is asked to judge again, finds nothing about them that was not found before."""
    await record.run(10, "2026-03-14T00:00:00Z")
    async with serving(database_url, form(), data_dir=record.settings.data_dir, clock=CLOCK) as door:
        for device in ("D1", "D2"):
            door.keys[device] = await make_device_key(record.settings, device, who="Ann")
        status, answer = await door.reports(position(1, "2026-03-02T11:40:00Z"), device="D2", boot=2)
        assert (status, answer["ack"]) == (200, [1])
        status, answer = await door.reports(position(1, "2026-03-02T11:40:00Z"), device="D1", boot=2)
        assert [refused["reason"] for refused in answer["refused"]] == ["no_activation"]
    assert await record.count("findings", "activation_no = 1") == 0


async def test_live_reports_get_through_while_a_run_deletes(database_url: str, tmp_path: Path) -> None:
    """A run beside the service, whose judgement of W1 ends on the way: every report of W2 is acknowledged, in order."""
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({str(kind): {"days": 0, "reason": "a test"} for kind in Kind}))
    clock = ClockSetting(parse_instant("2026-03-04T12:00:00Z"), 1.0)
    settings = Settings(data_dir=tmp_path, database_url=database_url, clock=clock, retention_rules=rules)
    async with serving(database_url, form(), data_dir=tmp_path, clock=clock) as door:
        await door.reports(*(position(seq, f"2026-03-02T11:{seq:02}:00Z") for seq in range(1, 31)), device="D1")
        await door.reports(*(position(seq, f"2026-03-02T11:{seq:02}:00Z") for seq in range(1, 31)), device="D2")
        found = await going(settings)
        assert {one.table for one in found if one.wearer_id == "W1"} >= {"positions", "raw_requests"}
        assert all(one.wearer_id in ("W1", None) for one in found)
        ended, acknowledged = asyncio.Event(), 0

        async def send() -> int:
            sent = 0
            while not ended.is_set() or sent < 20:
                sent += 1
                status, answer = await door.reports(
                    position(sent, f"2026-03-04T11:{sent % 60:02}:{sent // 60:02}Z"), device="D2", boot=3
                )
                assert (status, answer["ack"]) == (200, [sent])
            return sent

        sending = asyncio.ensure_future(send())
        this = await deleted(settings)
        ended.set()
        acknowledged = await sending
        assert this.gone["positions"] == 30
    connection = await connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM positions WHERE device_no = 2") == 30 + acknowledged
    assert await connection.fetchval("SELECT count(*) FROM outages WHERE cause LIKE 'no commit%'") == 0
    await connection.close()


async def test_a_hold_is_entered_by_command(record: Kept) -> None:
    await held(record.settings, "W2", "a claim", is_held=True)
    (hold,) = await holds(record.connection)
    assert (hold.wearer_id, hold.reason) == ("W2", "a claim")


async def test_what_a_run_that_was_cut_short_left_goes_with_the_next(record: Kept) -> None:
    rules = {kind: Rule(10, "a test") for kind in Kind}
    at_ms = parse_instant("2026-03-14T00:00:00Z")
    plan = await planned(record.connection, rules, at_ms)
    cut = await begin_run(record.connection, plan, "Ann")
    for person in plan.of(Kind.POSITIONS):
        await cut._positions_of(person)
    assert cut.gone["positions"] == 30
    this = await record.run(10, "2026-03-14T00:00:00Z")
    assert (this.gone["positions"], this.gone["raw_requests"], this.gone["raw_reports"]) == (0, 1, 1)
    assert await record.told() == {f"deleted by retention run {run_no}" for run_no in (cut.run_no, this.run_no)}


async def test_somebody_with_an_order_without_an_end_is_monitored_and_nothing_goes(record: Kept) -> None:
    await record.connection.execute(
        "UPDATE requirement_versions SET valid = tstzrange(lower(valid), NULL) WHERE wearer_no = 1 AND upper_inf(recorded)"
    )
    assert (await record.run(10, "2036-03-14T00:00:00Z")).gone["positions"] == 0


async def test_each_kind_goes_by_its_own_rule(record: Kept) -> None:
    rules = {kind: Rule(10 if kind == Kind.RAW_REPORTS else 1000, "a test") for kind in Kind}
    at_ms = parse_instant("2026-03-14T00:00:00Z")
    this = await begin_run(record.connection, await planned(record.connection, rules, at_ms), "Ann")
    await this.all_of_it("Ann", at_ms)
    assert set(this.gone) == {"raw_requests", "raw_reports"}
    assert await record.count("judgement_ended") == 0, "with positions and findings there, everybody can be judged"
    assert await record.count("positions") == 60


async def test_what_is_on_nobody_by_the_orders_of_today_goes_by_its_own_age(record: Kept) -> None:
    """An activation that was entered for too long and is corrected leaves facts that are nobody's."""
    await record.connection.execute(
        "INSERT INTO devices (device_no, device_id, added_at) OVERRIDING SYSTEM VALUE VALUES (77, 'D77', now())"
    )
    await record.connection.execute(
        "INSERT INTO positions (fact_id, device_no, fix_time, mechanism, lat_deg, lon_deg, received_at) "
        "VALUES (900001, 77, '2026-03-02T11:00Z', 'GPS', 53, -2, '2026-03-02T11:00Z')"
    )
    await record.connection.execute(
        "INSERT INTO device_events (fact_id, device_no, event_time, type, received_at) "
        "VALUES (900002, 77, '2026-03-02T11:00Z', 'HEARTBEAT', '2026-03-02T11:00Z')"
    )
    kept = await record.run(10, "2026-03-12T23:59:59Z")
    assert (kept.gone["positions"], kept.gone["device_events"]) == (0, 0)
    gone = await record.run(10, "2026-03-13T00:00:00Z")
    assert (gone.gone["positions"], gone.gone["device_events"]) == (1, 1)
    assert await record.told() == {f"deleted by retention run {gone.run_no}"}


async def test_a_hold_that_comes_while_a_run_works_keeps_what_is_left(record: Kept) -> None:
    rules = {kind: Rule(10, "a test") for kind in Kind}
    at_ms = parse_instant("2026-03-14T00:00:00Z")
    this = await begin_run(record.connection, await planned(record.connection, rules, at_ms), "Ann")
    await enter_hold(record.connection, "W1", is_held=True, reason="a claim", who="Ann")
    await this.all_of_it("Ann", at_ms)
    assert (this.gone["positions"], this.gone["raw_requests"], this.gone["raw_reports"]) == (0, 0, 0)
    assert await record.count("judgement_ended") == 0


async def test_findings_that_are_kept_for_longer_than_their_facts_can_still_be_asked_for(
    database_url: str, data_dir: Path
) -> None:
    async with open_office(database_url, data_dir, ORDERS | {"requirements": [curfew(1), curfew(2)]}) as office:
        await office.two_are_out()
        before = (await office.get("/v1/alerts?wearer=W1"))[1]["alerts"]
        await office.connection.execute(
            "UPDATE activation_versions SET during = tstzrange(lower(during), '2026-03-02T19:59Z') WHERE wearer_no = 1;"
            "UPDATE requirement_versions SET valid = tstzrange(lower(valid), '2026-03-02T19:59Z') WHERE wearer_no = 1"
        )
        rules = {kind: Rule(0 if kind == Kind.POSITIONS else 1000, "a test") for kind in Kind}
        at_ms = parse_instant("2026-03-04T00:00:00Z")
        this = await begin_run(office.connection, await planned(office.connection, rules, at_ms), "Ann")
        await this.all_of_it("Ann", parse_instant("2026-03-02T20:00:00Z"))
        assert this.gone["positions"] == 2
        assert (await office.get("/v1/alerts?wearer=W1"))[1]["alerts"] == before
        for role in ("operator", "officer", "administrator"):
            for path in ("/v1/findings?wearer=W1", "/v1/wearers/W1/atv", "/v1/alerts?wearer=W1"):
                async with office.http.get(path, headers=office.bearer(role)) as response:
                    assert response.status < 500, (path, await response.text())
        found = await stored_findings(office.settings, commander("Ann"), None, None, "W1")
        assert any(b'"CURFEW"' in line for line in found)
        await export_to(office.settings, data_dir / "all", commander("Ann"))
        assert b"D1," not in (data_dir / "all" / "positions.csv").read_bytes()


async def test_every_statement_of_every_table_can_be_prepared(record: Kept) -> None:
    for target in (*OF_A_PERSON, *OF_NOBODY):
        for statement in (target.how_many, target.remove):
            await record.connection.prepare(statement)


def test_a_kind_that_goes_by_person_or_by_itself_has_its_tables() -> None:
    assert {target.kind for target in (*OF_A_PERSON, *OF_NOBODY)} == set(Kind)


async def test_an_open_membership_keeps_the_record_of_the_programme_and_no_positions(record: Kept) -> None:
    begins = parse_instant("2026-03-01T00:00:00Z")
    draft = Draft(MEMBERSHIP, 1, Membership(cohort=Cohort.FIXED), "OPEN", Span(begins))
    async with record.connection.transaction():
        (member,) = await enter(record.connection, Author("Ann"), [draft], begins)
    assert (await record.run(10, "2026-03-14T00:00:00Z")).gone["positions"] == 30
    assert await record.count("iom_entries", "wearer_no = 1") == 1
    panel = Membership(cohort=Cohort.FIXED, end_reason=EndReason.MOVED, panel="March", panel_date=date(2026, 3, 20))
    ended = following(member, state="ENDED", content=panel, valid=Span(begins, parse_instant("2026-03-20T10:00:00Z")))
    async with record.connection.transaction():
        await enter(record.connection, Author("Ann"), [ended], parse_instant("2026-03-20T10:00:00Z"))
    assert (await record.run(10, "2026-03-30T22:59:59Z")).gone["iom_entries"] == 0
    assert (await record.run(10, "2026-03-30T23:00:00Z")).gone["iom_entries"] == 2


async def test_somebody_who_was_only_nominated_goes_by_when_something_was_last_recorded(record: Kept) -> None:
    at_ms = parse_instant("2026-03-02T12:00:00Z")
    async with record.connection.transaction():
        await add_person(record.connection, Author("Ann"), "N1", Person(name="Somebody"), at_ms)
    assert (await record.run(10, "2026-03-12T23:59:59Z")).gone["iom_entries"] == 0
    assert (await record.run(10, "2026-03-13T00:00:00Z")).gone["iom_entries"] == 1
    assert await record.count("wearers", "wearer_id = 'N1' AND name IS NULL") == 1
