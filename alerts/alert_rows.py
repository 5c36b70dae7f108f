"""Alerts, their occurrences and what feeds are told, as the bytes of a binary COPY (`copied_rows.py`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final

from alerts.copied_rows import bigint, copied, microseconds, text, word

if TYPE_CHECKING:
    from alerts.store import NewAlert

ALERT_COLUMNS: Final = (
    "alert_no", "severity", "known_at", "raised_at", "kind", "wearer_no", "activation_no", "requirement_id", "code", "network",
    "previous_alert_no", "home_unit",
)  # fmt: skip
OCCURRENCE_COLUMNS: Final = ("finding_no", "alert_no", "added_at")
CHANGE_COLUMNS: Final = ("alert_no", "changed_at", "what")
_ALERT: Final = Struct(">hiqiqiqiq").pack
_OCCURRENCE: Final = Struct(">hiqiqiq").pack
_CHANGE: Final = Struct(">hiqiq").pack


def alert_rows(alerts: Iterable[NewAlert], raised_ms: int) -> bytes:
    """Alerts that are about to be opened."""
    raised_us = microseconds(raised_ms)
    return copied(_alert(alert, raised_us) for alert in alerts)


def _alert(alert: NewAlert, raised_us: int) -> bytes:
    fixed = _ALERT(
        len(ALERT_COLUMNS), 8, alert.alert_no, 8, alert.severity, 8, microseconds(alert.known_ms), 8, raised_us
    )
    return b"".join(
        (
            fixed, word(alert.kind), bigint(alert.wearer_no), bigint(alert.activation_no), text(alert.requirement_id),
            word(alert.code), word(alert.network), bigint(alert.previous_alert_no), text(alert.home_unit),
        )
    )  # fmt: skip


def occurrence_rows(finding_nos: Sequence[int], alert_nos: Sequence[int], added_ms: int) -> bytes:
    """Findings that become occurrences of alerts."""
    count, added_us = len(OCCURRENCE_COLUMNS), microseconds(added_ms)
    pairs = zip(finding_nos, alert_nos, strict=True)
    return copied(_OCCURRENCE(count, 8, finding_no, 8, alert_no, 8, added_us) for finding_no, alert_no in pairs)


def change_rows(changes: Iterable[tuple[int, str]], changed_ms: int) -> bytes:
    """What feeds are told of alerts."""
    count, changed_us = len(CHANGE_COLUMNS), microseconds(changed_ms)
    return copied(_CHANGE(count, 8, alert_no, 8, changed_us) + word(what) for alert_no, what in changes)
