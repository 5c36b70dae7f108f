"""The clocks of tags, as far as their uploads tell: kept in memory for an hour, and made again from what comes after a restart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from alerts import ClockChange, Upload, is_right, is_right_again, note_clocks, skew_of, within_window, wrong_now
from emtrack.db.connect import Connection
from emtrack.db.ids import IdBlocks
from emtrack.service.activations import LiveActivations
from geofence import DeviceEvent, Fact

EVERY_MS = 60_000
"""Of the uploads of a minute the one with the newest fact counts: memory holds at most an hour of minutes of each tag."""


class ClockWatch:
    """What the uploads of the last hour said. Thrown away when a turn fails, as all memory is."""

    def __init__(self, wrong: set[int]) -> None:
        self._uploads: dict[int, list[Upload]] = defaultdict(list)
        self._wrong = wrong

    @classmethod
    async def loaded(cls, connection: Connection) -> ClockWatch:
        return cls(await wrong_now(connection))

    async def turn_failed(self, connection: Connection) -> None:
        """What the turn said of clocks is not in the record, and is found again when its reports are taken again."""
        self._wrong = await wrong_now(connection)

    async def note(
        self,
        connection: Connection,
        activations: LiveActivations,
        facts: Mapping[int, Sequence[Fact]],
        alert_nos: IdBlocks,
        now_ms: int,
    ) -> int:
        """Take in the facts of a turn, by activation. Inside its transaction; how many alerts were opened."""
        changes = []
        for number, some in facts.items():
            change = self._take_in(activations, number, some, now_ms)
            if change is not None:
                changes.append(change)
        return await note_clocks(connection, changes, alert_nos.take, now_ms) if changes else 0

    def _take_in(
        self, activations: LiveActivations, number: int, facts: Sequence[Fact], now_ms: int
    ) -> ClockChange | None:
        own_ms = [fact.own_ms for fact in facts if fact.received_ms == now_ms and not _is_relayed(fact)]
        if not own_ms:
            return None
        upload = Upload(now_ms, now_ms - max(own_ms))
        uploads = _added(self._uploads[number], upload)
        self._uploads[number] = uploads
        assignment = activations.by_number(number).assignment
        interval_ms = assignment.plan.activation.report_interval_ms
        if number in self._wrong:
            if not is_right_again(uploads, interval_ms):
                return None
            self._wrong.discard(number)
            return ClockChange(assignment.wearer_no, number, None)
        if is_right(uploads[-1], interval_ms):  # nearly always
            return None
        skew = skew_of(uploads, interval_ms)
        if skew is None:
            return None
        self._wrong.add(number)
        return ClockChange(assignment.wearer_no, number, skew)


def _is_relayed(fact: Fact) -> bool:
    return isinstance(fact, DeviceEvent) and fact.sent_by is not None


def _added(uploads: list[Upload], upload: Upload) -> list[Upload]:
    """Those of the last hour, this one among them."""
    if uploads and upload.received_ms - uploads[-1].received_ms < EVERY_MS:
        uploads[-1] = Upload(uploads[-1].received_ms, min(uploads[-1].age_ms, upload.age_ms))
        return uploads
    return [*within_window(uploads, upload.received_ms), upload]
