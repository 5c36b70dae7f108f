"""Moments at which something became known, in words: of an alert as it came, and of a history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from alerts import OUTCOMES, Alert, RaisedFor, Tick
from emtrack.reading.becoming_known import Receipt
from emtrack.record.findings import FindingVersion
from emtrack.web.wording import CHANGES, MOVED, Words, title_of, why_words


class KnownMoment(NamedTuple):
    """`told`: what became known, a sentence each. `is_marked`: something was found or raised."""

    at_ms: int
    told: list[str]
    is_marked: bool


class _Told(NamedTuple):
    at_ms: int
    text: str
    is_marked: bool = False


def moments_of_alert(
    alert: Alert,
    ticks: Sequence[Tick],
    versions: Iterable[FindingVersion],
    raised: Mapping[int, RaisedFor],
    receipts: Sequence[Receipt],
    words: Words,
) -> list[KnownMoment]:
    """In order of time."""
    told = [_received(receipt, words) for receipt in receipts] + [_found(version, words) for version in versions]
    told.append(_Told(alert.raised_ms, "Alert raised.", True))
    repeated = sorted({one.added_ms for one in raised.values() if one.added_ms > alert.raised_ms})
    told += [_Told(at_ms, "Alert repeated: another finding counts on it.", True) for at_ms in repeated]
    for done in alert.actions:
        outcome = "" if done.outcome is None else f": {OUTCOMES.get(done.outcome, done.outcome)}"
        note = f" Note: {done.note}" if done.note else ""
        told.append(_Told(done.done_ms, f"{done.done_by} {MOVED[done.action]}{outcome}.{note}"))
    told += [
        _Told(t.ticked_ms, f"{t.ticked_by} {'ticked' if t.is_done else 'took back'} the step “{t.text}”.")
        for t in ticks
    ]
    return _together(told)


def moments_of_history(
    versions: Iterable[FindingVersion], raised: Iterable[RaisedFor], receipts: Sequence[Receipt], words: Words
) -> list[KnownMoment]:
    """In order of time."""
    told = [_received(receipt, words) for receipt in receipts] + [_found(version, words) for version in versions]
    alerts = {one.alert_no: one.raised_ms for one in raised}
    told += [_Told(at_ms, f"Alert {number} raised.", True) for number, at_ms in alerts.items()]
    return _together(told)


def _together(told: Sequence[_Told]) -> list[KnownMoment]:
    """What became known in the same instant is one moment."""
    ordered = sorted(told, key=lambda one: one.at_ms)
    moments = []
    for at_ms, group in groupby(ordered, key=lambda one: one.at_ms):
        same = list(group)
        moments.append(KnownMoment(at_ms, [one.text for one in same], any(one.is_marked for one in same)))
    return moments


def _received(receipt: Receipt, words: Words) -> _Told:
    counts = [(receipt.positions, "position"), (receipt.events, "event")]
    what = " and ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts if count)
    of = words.row(receipt.first_ms)
    if receipt.last_ms != receipt.first_ms:
        of = f"{of} to {words.row(receipt.last_ms)}"
    return _Told(receipt.received_ms, f"{what} received, of {of}.")


def _found(version: FindingVersion, words: Words) -> _Told:
    finding = version.finding
    end = "ongoing" if finding.end_ms is None else f"to {words.row(finding.end_ms)}"
    title = title_of(finding.kind, finding.reason)
    text = f"{CHANGES[version.change]}: {title}, from {words.row(finding.begin_ms)}, {end}; because {why_words(version.why)}."
    return _Told(version.recorded_ms, text, True)
