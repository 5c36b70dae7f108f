"""Home units of which what they said of themselves is told of tags once more: because they are there to hear somebody whom they were
not there to hear before, or because another shard stored what they said. So much in a turn, as there may be months of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ingest import HeardAgain, NotCommitted, Submission, ToldTo

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping


class UnitsToHear:
    """Up to where each is told, and for which change of orders. Memory follows the disk: `adopt` comes after the commit."""

    def __init__(self) -> None:
        self._waiting: dict[ToldTo, int] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def in_order(self) -> Sequence[ToldTo]:
        return list(self._waiting)

    @property
    def device_nos(self) -> set[int]:
        return {unit.device_no for unit in self._waiting}

    def forget(self) -> None:
        self._waiting = {}

    def add(self, since_ms: Mapping[int, int], change_no: int) -> None:
        """From instants on, by the number of the device. `change_no`: it is not taken in before that is done."""
        for device_no, from_ms in since_ms.items():
            unit = ToldTo(device_no, from_ms)
            self._waiting[unit] = min(change_no, self._waiting.get(unit, change_no))

    def seen(self, read_to: int, heard: HeardAgain) -> int:
        """Up to which change all is told, with what was `heard` just now."""
        finished = {unit for unit, after in heard.told.items() if after is None}
        left = (change_no for unit, change_no in self._waiting.items() if unit not in finished)
        return min(left, default=read_to + 1) - 1

    def adopt(self, heard: HeardAgain) -> None:
        """It is committed. Who has more goes behind the others."""
        for unit, after in heard.told.items():
            change_no = self._waiting.pop(unit)
            if after is not None:
                self._waiting[after] = min(change_no, self._waiting.get(after, change_no))

    def those_that_need_not_wait(
        self, batch: Sequence[Submission], heard: HeardAgain, sources: Callable[[Submission], Collection[int]]
    ) -> list[Submission]:
        """Of duplicates the first receipt counts, and that may be one that was not told yet: who may say what a unit has said is told
        to send again while there is more of it. Likewise a gateway that waits until a unit is heard."""
        more = {unit.device_no for unit in self._waiting.keys() - heard.told.keys()} | heard.unfinished
        return batch_without(more, batch, sources) if more else list(batch)


def batch_without(
    device_nos: Collection[int], batch: Iterable[Submission], sources: Callable[[Submission], Collection[int]]
) -> list[Submission]:
    """Those that nobody of some devices is a source of. The others are told to send again."""
    kept = []
    for submission in batch:
        if not any(number in device_nos for number in sources(submission)):
            kept.append(submission)
        elif not submission.done.done():
            submission.done.set_exception(NotCommitted())
    return kept
