"""Everything an alert is and goes through: grades, how findings raise it, ledger, incidents, the queue, what people do, the feed."""

from alerts.casework import ACTIONS, OUTCOMES, AlreadyClosed, NoAlert, UnfitAction, act
from alerts.entries import EntryFate, EntryVerdict, PossibleEntry, note_entries, possible_entries_of
from alerts.feed import BadFeedPosition, FeedPosition, changes_after, newest_position
from alerts.grading import AlertGrade, Severity, grade_of
from alerts.incidents import INCIDENT
from alerts.ledger import ATV, LedgerEntry, LedgerRules, LineKind, NothingToExcuse, excuse, ledger_of, rules_of
from alerts.queue import (
    Alert,
    AlertAction,
    AlertFilter,
    BadQueuePlace,
    alert_as_json,
    alert_as_known,
    alerts_of_wearer,
    alerts_under,
    closed_alerts,
    one_alert,
    open_alerts,
    open_counts,
)
from alerts.raising import FindingChange, Raised, RaisedFinding, raise_alerts

__all__ = [
    "ACTIONS",
    "ATV",
    "INCIDENT",
    "OUTCOMES",
    "Alert",
    "AlertAction",
    "AlertFilter",
    "AlertGrade",
    "AlreadyClosed",
    "BadFeedPosition",
    "BadQueuePlace",
    "EntryFate",
    "EntryVerdict",
    "FeedPosition",
    "FindingChange",
    "LedgerEntry",
    "LedgerRules",
    "LineKind",
    "NoAlert",
    "NothingToExcuse",
    "PossibleEntry",
    "Raised",
    "RaisedFinding",
    "Severity",
    "UnfitAction",
    "act",
    "alert_as_json",
    "alert_as_known",
    "alerts_of_wearer",
    "alerts_under",
    "changes_after",
    "closed_alerts",
    "excuse",
    "grade_of",
    "ledger_of",
    "newest_position",
    "note_entries",
    "one_alert",
    "open_alerts",
    "open_counts",
    "possible_entries_of",
    "raise_alerts",
    "rules_of",
]
