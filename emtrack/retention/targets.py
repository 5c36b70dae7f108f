"""Which rows are of a kind, and of whom. One statement for each table, in the order in which tables depend on one another.

$1 is the number of a person; of what is of nobody, the instant before which it may go.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from emtrack.retention.rules import Kind

SLICE: Final = 5_000
"""So many rows go in one transaction."""


class Target(NamedTuple):
    """Rows of a table. `how_many`: of them there are; `remove`: takes a slice of them and records which ($1, run $2, kind $3, days
    $4), and gives how many it took. `also`: kinds that may rest on them; they go when these may go, too, and are of `kind` on
    record."""

    kind: Kind
    table: str
    how_many: str
    remove: str
    also: tuple[Kind, ...] = ()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """By whose rules they go."""
        return (self.kind, *self.also)


# What the statements of a table are made of; a test prepares each of them.
HOW_MANY_OF: Final = """-- of a table
SELECT count(*) FROM {table} r WHERE {whose}
"""
REMOVE_FROM: Final = """-- a table
WITH gone AS (
    DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT r.ctid FROM {table} r WHERE {whose} LIMIT {slice}))
    RETURNING {key} AS key, ({part})::bigint AS part
), noted AS (
    INSERT INTO retention_removals (run_no, kind, rule, days, keys, parts, removed_at)
    SELECT $2, '{table}', $3, $4, array_agg(key), array_agg(part), clock_timestamp() FROM gone HAVING count(*) > 0
)
SELECT count(*) FROM gone
"""


def _target(kind: Kind, table: str, whose: str, key: str, part: str = "0", also: tuple[Kind, ...] = ()) -> Target:
    names = {"table": table, "whose": whose, "key": key, "part": part, "slice": SLICE}
    return Target(kind, table, HOW_MANY_OF.format(**names), REMOVE_FROM.format(**names), also)


# A device's time with a person; of what it sent, until it was with somebody else.
WORN = """EXISTS (SELECT FROM activation_versions v WHERE v.wearer_no = $1 AND upper_inf(v.recorded) AND v.device_no = r.device_no
              AND v.during @> r.{at})"""
SENT = """EXISTS (
    SELECT FROM activation_versions v WHERE v.wearer_no = $1 AND upper_inf(v.recorded) AND v.device_no = r.device_no
    AND r.received_at >= lower(v.during) AND NOT EXISTS (
        SELECT FROM activation_versions n WHERE n.device_no = v.device_no AND upper_inf(n.recorded) AND n.wearer_no <> v.wearer_no
        AND lower(n.during) > lower(v.during) AND lower(n.during) <= r.received_at)
    UNION ALL
    SELECT FROM home_units h JOIN devices d ON d.device_id = h.hmu_id
    WHERE h.wearer_no = $1 AND upper_inf(h.recorded) AND d.device_no = r.device_no AND h.during @> r.received_at)"""
BY_REPORT = """(EXISTS (SELECT FROM raw_reports q WHERE q.fact_id = r.fact_id AND {sent}) OR EXISTS (
    SELECT FROM raw_requests q WHERE q.request_no > r.fact_id - 1000 AND q.request_no <= r.fact_id
    AND r.fact_id < q.request_no + q.reports AND {sent}))""".replace("{sent}", SENT.replace("r.", "q."))
"""A request has at most 1,000 reports."""
OF_ACTIVATION = """r.activation_no IN (
    SELECT activation_no FROM activation_versions WHERE wearer_no = $1 AND upper_inf(recorded))"""
OF_FINDING = f"r.finding_no IN (SELECT finding_no FROM findings r WHERE {OF_ACTIVATION})"  # noqa: S608
OF_ALERT = "r.alert_no IN (SELECT alert_no FROM alerts WHERE wearer_no = $1)"
OF_WEARER = "r.wearer_no = $1"
OF_NEAR = "(r.wearer_no = $1 OR r.other_wearer_no = $1)"
OF_LOOK = "r.look_no IN (SELECT look_no FROM looks WHERE wearer_no = $1)"
MARKED: Final = (Kind.FINDINGS, Kind.POSITIONS, Kind.EVENTS)
"""What says of its facts that nobody vouches for them, beside looks, with which results of who was near go. Without the mark it would
say that somebody does."""

OF_A_PERSON: Final = (
    _target(Kind.EVENTS, "device_events", WORN.replace("{at}", "event_time"), "fact_id", "device_no"),
    _target(Kind.POSITIONS, "future_positions", WORN.replace("{at}", "fix_time"), "fact_id", "device_no"),
    _target(Kind.QUARANTINE, "quarantine_releases",
            f"r.fact_id IN (SELECT fact_id FROM quarantine r WHERE {SENT})", "fact_id"),  # noqa: S608
    _target(Kind.QUARANTINE, "quarantine", SENT, "fact_id"),
    _target(Kind.RAW_REPORTS, "integrity_events", BY_REPORT, "fact_id", "device_no"),
    _target(Kind.RAW_REPORTS, "signed_reports",
            f"r.request_no IN (SELECT request_no FROM signed_requests r WHERE {SENT})", "fact_id"),  # noqa: S608
    _target(Kind.RAW_REPORTS, "signed_requests", SENT, "request_no"),
    _target(Kind.RAW_REPORTS, "raw_reports", SENT, "fact_id"),
    _target(Kind.RAW_REPORTS, "raw_requests", SENT, "request_no"),
    _target(Kind.FINDINGS, "atv_lines", OF_WEARER, "line_no"),
    _target(Kind.FINDINGS, "atv_timers", OF_WEARER, "wearer_no"),
    _target(Kind.FINDINGS, "network_silences", OF_FINDING, "finding_no"),
    _target(Kind.FINDINGS, "alert_timers", OF_FINDING, "finding_no"),
    _target(Kind.FINDINGS, "alert_occurrences", OF_FINDING, "finding_no"),
    _target(Kind.FINDINGS, "presence_notes", OF_FINDING, "finding_no"),
    _target(Kind.FINDINGS, "finding_versions", OF_FINDING, "finding_no", "version"),
    _target(Kind.FINDINGS, "visit_results",
            "r.visit_no IN (SELECT visit_no FROM visits WHERE wearer_no = $1)", "result_no"),
    _target(Kind.FINDINGS, "visits", OF_WEARER, "visit_no"),
    _target(Kind.FINDINGS, "request_decisions",
            "r.request_no IN (SELECT request_no FROM order_requests WHERE wearer_no = $1)", "decision_no"),
    _target(Kind.FINDINGS, "order_requests", OF_WEARER, "request_no"),
    _target(Kind.FINDINGS, "iom_silences", OF_FINDING, "finding_no"),
    _target(Kind.FINDINGS, "findings", OF_ACTIVATION, "finding_no"),
    _target(Kind.ALERTS, "possible_entries", OF_ALERT, "alert_no"),
    _target(Kind.ALERTS, "wrong_clocks", OF_ALERT, "alert_no"),
    _target(Kind.ALERTS, "unit_silences", OF_ALERT, "silence_no"),
    _target(Kind.ALERTS, "alert_occurrences", OF_ALERT, "finding_no"),
    _target(Kind.ALERTS, "alert_changes", OF_ALERT, "change_no"),
    _target(Kind.ALERTS, "alert_actions", OF_ALERT, "alert_no", "action_no"),
    _target(Kind.ALERTS, "alert_occasions", OF_ALERT, "alert_no"),
    _target(Kind.ALERTS, "step_ticks", OF_ALERT, "tick_no"),
    _target(Kind.ALERTS, "gap_work", OF_WEARER, "work_no"),
    _target(Kind.ALERTS, "alert_people", OF_WEARER, "alert_no", "wearer_no"),
    _target(Kind.ALERTS, "alerts",
            "r.wearer_no = $1 AND NOT EXISTS (SELECT FROM alerts n WHERE n.previous_alert_no = r.alert_no)", "alert_no"),
    _target(Kind.LOOKS, "near_assessments", f"r.result_no IN (SELECT result_no FROM near_people r WHERE {OF_NEAR})", "assessment_no"),  # noqa: S608
    _target(Kind.LOOKS, "near_people", OF_NEAR, "result_no"),
    _target(Kind.LOOKS, "unauthenticated_facts", SENT, "fact_id", also=MARKED),
    _target(Kind.LOOKS, "draft_results", f"r.run_no IN (SELECT run_no FROM draft_runs r WHERE {OF_WEARER})", "run_no"),  # noqa: S608
    _target(Kind.LOOKS, "draft_runs", OF_WEARER, "run_no"),
    _target(Kind.LOOKS, "disclosures", OF_WEARER, "disclosure_no"),
    _target(Kind.LOOKS, "record_openings", OF_WEARER, "look_no"),
    _target(Kind.LOOKS, "restricted_looks_seen", OF_LOOK, "look_no"),
    _target(Kind.LOOKS, "looks", OF_WEARER, "look_no"),
    _target(Kind.IOM_RECORD, "iom_open_tasks", "r.item_no IN (SELECT item_no FROM iom_entries WHERE wearer_no = $1)", "item_no"),
    _target(Kind.IOM_RECORD, "iom_entries", OF_WEARER, "entry_no"),
    _target(Kind.IOM_RECORD, "rag_grades", OF_WEARER, "grade_no"),
    _target(Kind.IOM_RECORD, "iom_versions", OF_WEARER, "version_no"),
    _target(Kind.IOM_RECORD, "wearer_details", OF_WEARER, "version_no"),
    _target(Kind.IOM_RECORD, "requirement_names", OF_WEARER, "version_no"),
    _target(Kind.IOM_RECORD, "protocols",
            "r.wearer_no = $1 AND NOT EXISTS (SELECT FROM step_ticks t WHERE t.protocol_no = r.protocol_no)", "protocol_no"),
    _target(Kind.IOM_RECORD, "access_limits", OF_WEARER, "limit_no"),
)  # fmt: skip
"""Positions of days are taken by device and day: see `runs`."""

# The rest of SENT, and of WORN: what came before a device was with anybody, or of a time for which orders were corrected since.
NOBODYS = """r.received_at < $1 AND NOT EXISTS (
    SELECT FROM activation_versions v WHERE v.device_no = r.device_no AND upper_inf(v.recorded) AND lower(v.during) <= r.received_at)
AND NOT EXISTS (
    SELECT FROM home_units h JOIN devices d ON d.device_id = h.hmu_id
    WHERE d.device_no = r.device_no AND upper_inf(h.recorded) AND h.during @> r.received_at)"""
ON_NOBODY = """r.{at} < $1 AND NOT EXISTS (
    SELECT FROM activation_versions v WHERE v.device_no = r.device_no AND upper_inf(v.recorded) AND v.during @> r.{at})"""
OF_NOBODY: Final = (
    _target(Kind.QUARANTINE, "quarantine_releases",
            f"r.fact_id IN (SELECT fact_id FROM quarantine r WHERE {NOBODYS})", "fact_id"),  # noqa: S608
    _target(Kind.QUARANTINE, "quarantine", NOBODYS, "fact_id"),
    _target(Kind.RAW_REPORTS, "raw_reports", NOBODYS, "fact_id"),
    _target(Kind.RAW_REPORTS, "raw_requests", NOBODYS, "request_no"),
    _target(Kind.EVENTS, "device_events", ON_NOBODY.replace("{at}", "event_time"), "fact_id", "device_no"),
    _target(Kind.POSITIONS, "future_positions", ON_NOBODY.replace("{at}", "fix_time"), "fact_id", "device_no"),
    _target(Kind.ALERTS, "messages", "r.made_at < $1 AND r.delivery_no IS NOT NULL", "message_no"),
    _target(Kind.ALERTS, "deliveries",
            "r.made_at < $1 AND NOT EXISTS (SELECT FROM messages m WHERE m.delivery_no = r.delivery_no)", "delivery_no"),
    _target(Kind.IOM_RECORD, "iom_entries", "r.wearer_no IS NULL AND r.recorded_at < $1", "entry_no"),
    _target(Kind.IOM_RECORD, "iom_import_rows",
            "r.import_no IN (SELECT import_no FROM iom_imports WHERE imported_at < $1)", "import_no", "row_no"),
    _target(Kind.IOM_RECORD, "iom_imports", "r.imported_at < $1", "import_no"),
    _target(Kind.LOOKS, "unauthenticated_facts", NOBODYS, "fact_id", also=MARKED),
    _target(Kind.LOOKS, "near_runs",
            "r.ran_at < $1 AND NOT EXISTS (SELECT FROM near_people p WHERE p.run_no = r.run_no)", "run_no"),
    _target(Kind.LOOKS, "draft_results",
            "r.run_no IN (SELECT run_no FROM draft_runs WHERE wearer_no IS NULL AND ran_at < $1)", "run_no"),
    _target(Kind.LOOKS, "draft_runs", "r.wearer_no IS NULL AND r.ran_at < $1", "run_no"),
    _target(Kind.LOOKS, "looks", "r.wearer_no IS NULL AND r.looked_at < $1", "look_no"),
    _target(Kind.CREDENTIAL_EVENTS, "credential_changes",
            "r.event_no IN (SELECT event_no FROM credential_events WHERE happened_at < $1)", "change_no"),
    _target(Kind.CREDENTIAL_EVENTS, "credential_events", "r.happened_at < $1", "event_no"),
    _target(Kind.CREDENTIAL_EVENTS, "account_events", "r.happened_at < $1", "event_no"),
)  # fmt: skip
"""Counted from its own time."""
