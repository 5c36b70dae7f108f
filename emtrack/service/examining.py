"""What is in quarantine of some devices is read again: when their orders change, and when somebody asks for it. So much in a turn, as
there may be a month of a tag that nobody wore; where it has got to is known by device. Until it is done the devices that have more
are told to send again: of duplicates the first receipt counts, and that may be one that was not read again yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import asyncpg

from emtrack.service.units_to_hear import batch_without
from ingest import (
    NOTHING_EXAMINED,
    ORDERS_CHANGED,
    EventReport,
    Examination,
    Examined,
    PositionReport,
    ReadAgain,
    Refusal,
    Submission,
    Tell,
    devices_with_more,
    read_again,
)

MOST_DEVICES = 100
"""So many of one change of orders are looked at in a turn. What waits of them is read in the order in which it was received, whoever
sent it: a home unit may have said of a tag what the tag said, too. So the tags and units of one person are looked at together."""


class _Device(NamedTuple):
    """`examined_to`: what was looked at. `since`: the change of orders for which it is examined."""

    examined_to: Examined
    since: int


class Examining:
    """Devices that are to be examined, and how far each is. Memory follows the disk: `adopt` comes after the commit."""

    def __init__(self) -> None:
        self._devices: dict[int, _Device] = {}
        self._of_change: Counter[int] = Counter()
        """How many devices wait for each change: there are few changes, and there may be very many devices."""
        self.examination = ORDERS_CHANGED

    def __bool__(self) -> bool:
        return bool(self._devices)

    def __len__(self) -> int:
        return len(self._devices)

    def forget(self) -> None:
        self._devices, self._of_change, self.examination = {}, Counter(), ORDERS_CHANGED

    def add(self, device_nos: Iterable[int], change_no: int) -> None:
        """From the beginning, together: with one that waits for an earlier change, for that. `change_no`: it is not taken in before
        that is done."""
        numbers = list(device_nos)
        since = min([change_no, *(self._taken(number).since for number in numbers if number in self._devices)])
        for number in numbers:
            self._put(number, _Device(NOTHING_EXAMINED, since))

    def ask(self, device_nos: Iterable[int], change_no: int, examination: Examination) -> None:
        """For more reasons than that orders changed; so are the others that wait meanwhile."""
        self.examination = examination
        self.add([*self._devices, *device_nos], change_no)

    def seen(self, read_to: int, but_for: Collection[int] = ()) -> int:
        """Up to which change all devices are examined. `but_for`: these are, in the transaction that says so."""
        waits = self._of_change - Counter(self._devices[number].since for number in but_for)
        return min(waits, default=read_to + 1) - 1

    async def read(
        self,
        connection: asyncpg.Connection[Any],
        read: Callable[[bytes], PositionReport | EventReport | Refusal],
        tell: Tell,
        known_days: Collection[int],
        is_of_several: Callable[[int], bool],
        beside: Callable[[Collection[int]], Collection[int]],
        most: int,
    ) -> ReadAgain:
        """What the next turn has time for, and not more than `most`. `beside`: devices that may have said what some devices said, of
        the same people."""
        if not self._devices:
            return ReadAgain()
        turn_of = next(iter(self._devices.values())).since
        of_one = ((number, device.examined_to) for number, device in self._devices.items() if device.since == turn_of)
        some = dict(islice(of_one, MOST_DEVICES))
        while more := {no for no in beside(some) if no not in some and self._waits_for(no) == turn_of}:
            some |= {number: self._devices[number].examined_to for number in more}
        return await read_again(connection, some, read, tell, known_days, self.examination, is_of_several, most)

    async def with_more(
        self, connection: asyncpg.Connection[Any], device_nos: Collection[int], found: ReadAgain
    ) -> set[int]:
        """Those of some devices that have more in quarantine than was looked at, with what was `found` just now."""
        others = {
            no: self._devices[no].examined_to for no in self._devices.keys() & set(device_nos) - set(found.device_nos)
        }
        more = await devices_with_more(connection, others) if others else set()
        return more | found.unfinished.intersection(device_nos)

    def is_through(self, found: ReadAgain) -> bool:
        """Whether nobody waits any more, with what was `found` just now."""
        return len(found.finished) == len(self._devices)

    def _waits_for(self, device_no: int) -> int | None:
        device = self._devices.get(device_no)
        return None if device is None else device.since

    def adopt(self, found: ReadAgain) -> None:
        """It is committed."""
        for device_no in found.device_nos:
            device = self._taken(device_no)
            if device_no in found.unfinished:  # behind the others
                self._put(device_no, _Device(found.examined_to, device.since))
        if not self._devices:
            self.examination = ORDERS_CHANGED

    def _put(self, device_no: int, device: _Device) -> None:
        self._devices[device_no] = device
        self._of_change[device.since] += 1

    def _taken(self, device_no: int) -> _Device:
        device = self._devices.pop(device_no)
        self._of_change[device.since] -= 1
        if not self._of_change[device.since]:
            del self._of_change[device.since]
        return device


async def those_that_need_not_wait(
    connection: asyncpg.Connection[Any],
    batch: Sequence[Submission],
    examining: Examining,
    found: ReadAgain,
    sources: Callable[[Submission], Collection[int]],
) -> list[Submission]:
    """The others are told to send again. `sources`: devices that may have said what a request says, and whose word was perhaps
    received before it."""
    if examining.is_through(found):
        return list(batch)
    more = await examining.with_more(connection, set().union(*map(sources, batch)), found)
    return batch_without(more, batch, sources)
