"""Everything an alert is and goes through: grades, how findings raise it, ledger, incidents, the queue, what people do, the feed."""

from alerts.casework import ACTIONS, OUTCOMES, AlreadyClosed, NoAlert, UnfitAction, act
from alerts.feed import BadFeedPosition, FeedPosition, changes_after, newest_position
from alerts.grading import OBLIGED_IS_GRAVER, AlertGrade, Severity, grade_of
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
    "OBLIGED_IS_GRAVER",
    "OUTCOMES",
    "Alert",
    "AlertAction",
    "AlertFilter",
    "AlertGrade",
    "AlreadyClosed",
    "BadFeedPosition",
    "BadQueuePlace",
    "FeedPosition",
    "FindingChange",
    "LedgerEntry",
    "LedgerRules",
    "LineKind",
    "NoAlert",
    "NothingToExcuse",
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
    "one_alert",
    "open_alerts",
    "open_counts",
    "raise_alerts",
    "rules_of",
]
