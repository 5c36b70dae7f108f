"""The clocks of tags, as far as their uploads tell. Memory follows the disk: what a look finds is adopted after the commit, and what
the uploads of the last hour said is there at the next start, so that a restart neither raises an alert nor ends one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from alerts import (
    ClockChange,
    OwnShards,
    Upload,
    is_right,
    is_right_again,
    load_uploads,
    note_clocks,
    skew_of,
    store_uploads,
    within_window,
    wrong_now,
)
from emtrack.db.connect import Connection
from emtrack.db.ids import IdBlocks
from emtrack.service.activations import LiveActivations
from geofence import DeviceEvent, Fact

EVERY_MS = 5 * 60_000
"""Of the uploads of so long a time the one that says most counts: a dozen of each tag is kept, and few of its uploads change them."""


class ClockLook(NamedTuple):
    """What a look at the uploads of a turn found. `uploads`: those of the last hour of each activation for which they are others now;
    `changes`: clocks that turned out to be wrong, or are right again."""

    uploads: dict[int, list[Upload]]
    changes: list[ClockChange]


class ClockWatch:
    """What the uploads of the last hour said, and which clocks are known to be wrong; by activation."""

    def __init__(self, uploads: Mapping[int, list[Upload]], wrong: set[int]) -> None:
        self._uploads = dict(uploads)
        self._wrong = wrong

    @classmethod
    async def loaded(cls, connection: Connection, now_ms: int) -> ClockWatch:
        return cls(await load_uploads(connection, now_ms), await wrong_now(connection))

    def look(
        self,
        activations: LiveActivations,
        facts: Mapping[int, Sequence[Fact]],
        sent_ms: Mapping[int, int],
        now_ms: int,
    ) -> ClockLook:
        """At what came in a turn: facts by activation, and by the number of a device when it says that it sent. Nothing in memory
        changes."""
        found = ClockLook({}, [])
        for number, upload in _uploads(activations, facts, sent_ms, now_ms).items():
            before = self._uploads.get(number, [])
            uploads = _added(before, upload)
            if uploads == before:
                continue
            found.uploads[number] = uploads
            change = self._change(activations, number, uploads)
            if change is not None:
                found.changes.append(change)
        return found

    def _change(self, activations: LiveActivations, number: int, uploads: Sequence[Upload]) -> ClockChange | None:
        assignment = activations.by_number(number).assignment
        interval_ms = assignment.plan.activation.report_interval_ms
        if number in self._wrong:
            is_over = is_right_again(uploads, interval_ms)
            return ClockChange(assignment.wearer_no, number, None) if is_over else None
        if is_right(uploads[-1], interval_ms):  # nearly always
            return None
        skew = skew_of(uploads, interval_ms)
        return None if skew is None else ClockChange(assignment.wearer_no, number, skew)

    def adopt(self, look: ClockLook) -> None:
        """What the look found is committed: memory follows."""
        self._uploads |= look.uploads
        for change in look.changes:
            if change.skew is None:
                self._wrong.discard(change.activation_no)
            else:
                self._wrong.add(change.activation_no)


async def record_clocks(
    connection: Connection, look: ClockLook, alert_nos: IdBlocks, now_ms: int, own: OwnShards | None
) -> int:
    """What a look found. Inside the turn's transaction; how many alerts were opened."""
    await store_uploads(connection, look.uploads)
    return await note_clocks(connection, look.changes, alert_nos.take, now_ms, own) if look.changes else 0


def _uploads(
    activations: LiveActivations, facts: Mapping[int, Sequence[Fact]], sent_ms: Mapping[int, int], now_ms: int
) -> dict[int, Upload]:
    """What a turn says of the clocks of tags, by activation. Who says when it sent is the tag as it is worn now, whatever its facts
    are of: a clock can be so wrong that all of them are refused."""
    uploads = {}
    for number, some in facts.items():
        own_ms = [fact.own_ms for fact in some if fact.received_ms == now_ms and not _is_relayed(fact)]
        if own_ms:
            uploads[number] = Upload(now_ms, now_ms - max(own_ms))
    for device_no, at_ms in sent_ms.items():
        live = activations.at(device_no, now_ms)
        if live is not None:
            uploads[live.number] = Upload(now_ms, now_ms - at_ms, is_exact=True)
    return uploads


def _is_relayed(fact: Fact) -> bool:
    return isinstance(fact, DeviceEvent) and fact.sent_by is not None


def _added(uploads: list[Upload], upload: Upload) -> list[Upload]:
    """Those of the last hour, this one among them."""
    if uploads and upload.received_ms - uploads[-1].received_ms < EVERY_MS:
        return [*uploads[:-1], _together(uploads[-1], upload)]
    return [*within_window(uploads, upload.received_ms), upload]


def _together(first: Upload, second: Upload) -> Upload:
    """Of two that came so soon after each other the one that says more: it is exact, or its newest fact is newer."""
    more = max(first, second, key=lambda upload: (upload.is_exact, -upload.behind_ms))
    return more._replace(received_ms=first.received_ms)
