"""Who sends, and when: numbers, boots, buffers, and a network that is sometimes away.

Theory. A sender writes reports down in order of `order_ms` and numbers them (boot, seq). It uploads its buffer when there
are ten, ten minutes after the last upload, or at once for what cannot wait. While the network (or the battery)
is away, uploads are held; then all go, in requests of `burst_reports`. Some uploads go twice, some are overtaken.

A sender's life is stepped day by day (04:00 to 04:00). What passes from one day to the next is in `Life`, which is small and
frozen: a stream starts from any `Life`, and gives the same bytes as one that ran through. What a sender writes down in a day is
its own business: tags, home units and alcohol tags have a module each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest
from typing import Any, NamedTuple, Protocol

import numpy as np

from emtrack.emulator.habits import Faults, Sensors
from emtrack.emulator.paths import DayPath, Planner
from emtrack.emulator.people import Wearer
from emtrack.emulator.schedule import MINUTE_MS, SECOND_MS, Interval
from emtrack.emulator.sensing import GPS, KINDS, MECHANISMS, Rows

BLOCK_UPLOADS = 24  # turned into dicts together: numpy's cost per call is shared, memory stays small
RETAINED_LIVES = 3
BURST_GAP_MS = 400
COPY_DELAY_MS = (5 * SECOND_MS, 120 * SECOND_MS)


@dataclass(frozen=True, slots=True)
class Upload:
    """One request of one sender, at `send_ms` of true time. `reports` are the wire's dicts. `ahead_ms`: how far the clock is ahead
    by which it says when it was sent; None: it does not say."""

    send_ms: int
    device_id: str
    boot: int
    reports: list[dict[str, Any]]
    ahead_ms: int | None = None

    def sent_at_ms(self, true_ms: int) -> int | None:
        """What it says if it goes at an instant of true time."""
        return None if self.ahead_ms is None else true_ms + self.ahead_ms


class Parcel(NamedTuple):
    """An upload before its rows are turned into dicts. Ordered by (send_ms, serial), which is unique in a device."""

    send_ms: int
    serial: int
    rows: Rows


@dataclass(frozen=True)
class Life:
    """A sender at the beginning of `day`: the last numbers it gave, what it buffers, what it has yet to send."""

    day: int
    boot: int = 1
    seq: int = 0
    serial: int = 0
    last_send_ms: int = 0
    due_ms: int = 0  # when the next upload is due; a new sender's first report goes at once
    buffer: Rows | None = None
    pending: tuple[Parcel, ...] = ()


class Paths(Protocol):
    """Where the paths come from (the world, which remembers some)."""

    def path(self, wearer: Wearer, day: int) -> DayPath:
        """The path of one wearer on one day."""


class _Group(NamedTuple):
    """Rows [low, high) that go together, from `ready_ms` on; `release_ms`: when the network is back, or 0."""

    low: int
    high: int
    ready_ms: int
    release_ms: int


class Sender:
    """One device with a key of its own, from `begin_ms` on. `end_ms`: when it stops, None: never."""

    skew_ms = 0
    """How far its clock is ahead of true time."""

    def __init__(
        self, device_id: str, begin_ms: int, end_ms: int | None, planner: Planner, sensors: Sensors, faults: Faults
    ) -> None:
        self.device_id = device_id
        self.number = int(device_id[1:])
        self.planner = planner
        self.sensors = sensors
        self.faults = faults
        self._end_ms = end_ms
        self._lives = [Life(planner.day_of(begin_ms))]

    @property
    def _ahead_ms(self) -> int | None:
        return self.skew_ms if self.sensors.sent_at == "its clock" else None

    def written(self, life: Life, day: int, span: Interval) -> tuple[Life, list[Parcel]]:
        """What is written down in a day and made ready to be sent, whenever that will be; the life after it."""
        raise NotImplementedError

    def uploads(self, from_ms: int, to_ms: int | None) -> Iterator[tuple[int, str, int, Upload]]:
        """(send_ms, device_id, serial, upload) with from <= send < to, in order. Days before `from_ms` are stepped unsent."""
        life = self._life_before(from_ms)
        while to_ms is None or self.planner.turn_ms(life.day) < to_ms:
            life, parcels = self._step(life)
            wanted = [p for p in parcels if p.send_ms >= from_ms and (to_ms is None or p.send_ms < to_ms)]
            for k in range(0, len(wanted), BLOCK_UPLOADS):
                yield from self._written(wanted[k : k + BLOCK_UPLOADS])
            if self._over(life):
                return

    def _life_before(self, from_ms: int) -> Life:
        """The newest remembered life that begins no later than `from_ms`, or the first."""
        kept = [life for life in self._lives if self.planner.turn_ms(life.day) <= from_ms]
        return kept[-1] if kept else self._lives[0]

    def _over(self, life: Life) -> bool:
        return self._end_ms is not None and self.planner.turn_ms(life.day) > self._end_ms and not life.pending

    def _remember(self, life: Life) -> None:
        if life.day > self._lives[-1].day:
            self._lives = [self._lives[0], *self._lives[1:][-RETAINED_LIVES:], life]

    def _step(self, life: Life) -> tuple[Life, list[Parcel]]:
        """One day: the life after it, and the parcels sent before it ends, in order of sending."""
        day = life.day
        span = self.span(day)
        parcels = list(life.pending)
        life, made = self.written(life, day, span)
        parcels += made
        parcels.sort(key=lambda parcel: parcel[:2])
        due = [parcel for parcel in parcels if parcel.send_ms < span[1]]
        life = replace(life, day=day + 1, pending=tuple(parcels[len(due) :]))
        self._remember(life)
        return life, due

    def span(self, day: int) -> Interval:
        """A day from its beginning to its end."""
        return self.planner.turn_ms(day), self.planner.turn_ms(day + 1)

    @staticmethod
    def numbered(life: Life, rows: Rows, restarts: list[int]) -> tuple[Life, Rows]:
        """Gives each row its boot and seq; a restart begins a boot, with seq from 1."""
        cuts = [0, *np.searchsorted(rows["order_ms"], sorted(restarts)).tolist(), len(rows)]
        boot, seq = life.boot, life.seq
        for k, (low, high) in enumerate(pairwise(cuts)):
            boot, seq = (boot, seq) if k == 0 else (boot + 1, 0)
            rows["boot"][low:high] = boot
            rows["seq"][low:high] = np.arange(seq + 1, seq + 1 + high - low)
            seq += high - low
        return replace(life, boot=boot, seq=seq), rows

    def posted(
        self, life: Life, rows: Rows, worn: Interval, ends: bool, away: list[Interval], rng: np.random.Generator
    ) -> tuple[Life, list[Parcel]]:
        """Buffers, holds while the network is `away`, and sends; what is still buffered when the day is over stays in the life."""
        if life.buffer is not None:
            rows = np.concatenate([life.buffer, rows])
        batches, rest, due_ms = self._batches(rows, life.due_ms, worn[1], ends)
        groups = [_Group(low, high, ready, _release(ready, away)) for low, high, ready in batches]
        life, parcels = self._sent(life, rows, list(self._merged(groups, rows)), away, rng)
        return replace(life, due_ms=due_ms, buffer=rows[rest:].copy() if rest < len(rows) else None), parcels

    def _batches(
        self, rows: Rows, due_ms: int, end_ms: int, ends: bool
    ) -> tuple[list[tuple[int, int, int]], int, int]:
        """(low, high, ready_ms) of each full, due or urgent buffer; where the unfinished one begins; when it is due."""
        out: list[tuple[int, int, int]] = []
        wait_ms, most = self.sensors.upload_every_s * SECOND_MS, self.sensors.upload_reports
        low, last_boot = 0, 0
        columns = zip(rows["order_ms"].tolist(), rows["at_once"].tolist(), rows["boot"].tolist(), strict=True)
        for k, (at_ms, at_once, boot) in enumerate(columns):
            if k > low and (at_ms >= due_ms or boot != last_boot):
                out.append((low, k, min(at_ms, due_ms)))
                low, due_ms = k, min(at_ms, due_ms) + wait_ms
            if k == low:
                due_ms = max(due_ms, at_ms)  # there was nothing to send when it was due
            last_boot = boot
            if at_once or k - low + 1 == most:
                out.append((low, k + 1, at_ms))
                low, due_ms = k + 1, at_ms + wait_ms
        if low < len(rows) and (ends or due_ms < end_ms):
            out.append((low, len(rows), min(due_ms, end_ms)))
            low, due_ms = len(rows), min(due_ms, end_ms) + wait_ms
        return out, low, due_ms

    def _merged(self, groups: list[_Group], rows: Rows) -> Iterator[_Group]:
        """Groups held until the same moment go together, up to `burst_reports`, one boot in each."""
        held: _Group | None = None
        for group in groups:
            if (
                held is not None
                and held.release_ms == group.release_ms > 0
                and group.high - held.low <= self.faults.burst_reports
                and rows["boot"][held.low] == rows["boot"][group.low]
            ):
                held = held._replace(high=group.high)
                continue
            if held is not None:
                yield held
            held = group
        if held is not None:
            yield held

    def _sent(
        self, life: Life, rows: Rows, groups: list[_Group], away: list[Interval], rng: np.random.Generator
    ) -> tuple[Life, list[Parcel]]:
        """Parcels with their times of sending: in order, but for the few that are overtaken or sent twice."""
        parcels: list[Parcel] = []
        last_ms, serial, faults = life.last_send_ms, life.serial, self.faults
        for group, after in zip_longest(groups, groups[1:]):
            lag_ms = int(rng.integers(*self.sensors.send_delay_ms))
            chances = rng.random(4)
            content = rows[group.low : group.high]
            delayed = chances[0] < faults.delayed_share
            if delayed and after is not None and self._can_be_overtaken(group, after):
                least, most = faults.delayed_min
                send_ms = after.ready_ms + round((least + chances[1] * (most - least)) * MINUTE_MS)
                send_ms = max(send_ms, _release(send_ms, away) + lag_ms)
            else:
                gap_ms = BURST_GAP_MS if group.release_ms else 1
                send_ms = last_ms = max((group.release_ms or group.ready_ms) + lag_ms, last_ms + gap_ms)
            parcels.append(Parcel(send_ms, serial, content))
            serial += 1
            if chances[2] < faults.duplicate_share:
                again_ms = send_ms + COPY_DELAY_MS[0] + int(chances[3] * (COPY_DELAY_MS[1] - COPY_DELAY_MS[0]))
                again_ms = max(again_ms, _release(again_ms, away) + lag_ms)
                parcels.append(Parcel(again_ms, serial, content))
                serial += 1
        return replace(life, last_send_ms=last_ms, serial=serial), parcels

    def _can_be_overtaken(self, group: _Group, after: _Group) -> bool:
        """Both go when they are ready, and `after` soon enough for nobody to miss this one."""
        if group.release_ms or after.release_ms:
            return False
        return after.ready_ms - group.ready_ms < self.faults.delayed_within_min * MINUTE_MS

    def _written(self, parcels: list[Parcel]) -> Iterator[tuple[int, str, int, Upload]]:
        """Parcels with their rows as dicts."""
        reports = wire_reports(np.concatenate([parcel.rows for parcel in parcels]))
        low = 0
        for parcel in parcels:
            high = low + len(parcel.rows)
            boot = int(parcel.rows["boot"][0])
            upload = Upload(parcel.send_ms, self.device_id, boot, reports[low:high], self._ahead_ms)
            yield parcel.send_ms, self.device_id, parcel.serial, upload
            low = high


def wire_reports(rows: Rows) -> list[dict[str, Any]]:
    """Rows as the protocol has them; times to the second, degrees with six digits, nothing that is not known."""
    times = np.datetime_as_string(rows["at_ms"].astype("datetime64[ms]"), unit="s").tolist()
    columns = zip(
        rows["seq"].tolist(),
        rows["kind"].tolist(),
        times,
        np.round(rows["lat_deg"], 6).tolist(),
        np.round(rows["lon_deg"], 6).tolist(),
        rows["precision_m"].tolist(),
        rows["hmu"].tolist(),
        rows["tag"].tolist(),
        strict=True,
    )
    out: list[dict[str, Any]] = []
    for seq, kind, at, lat_deg, lon_deg, precision_m, hmu, tag in columns:
        if kind < len(MECHANISMS):
            out.append(
                {
                    "seq": seq,
                    "type": "position",
                    "fix_time": at + "Z",
                    "lat_deg": lat_deg,
                    "lon_deg": lon_deg,
                    "precision_m": precision_m,
                    "mechanism": MECHANISMS[kind],
                }
            )
        else:
            out.append({"seq": seq, "type": "event", "event": KINDS[kind], "event_time": at + "Z"})
            if hmu:
                out[-1]["hmu_id"] = f"H{hmu:04d}"
            if tag:
                out[-1]["tag"] = f"D{tag:04d}"
    _add_gps(out, rows)
    return out


def _add_gps(reports: list[dict[str, Any]], rows: Rows) -> None:
    """Speed, direction, satellites and hdop, where the receiver gave them."""
    gps = np.flatnonzero(rows["kind"] == GPS)
    chosen = rows[gps]
    columns = (chosen[name].tolist() for name in ("speed_kmh", "direction_deg", "satellites", "hdop"))
    for k, speed_kmh, direction_deg, satellites, hdop in zip(gps.tolist(), *columns, strict=True):
        report = reports[k]
        if not math.isnan(speed_kmh):
            report["speed_kmh"] = speed_kmh
        if not math.isnan(direction_deg):
            report["direction_deg"] = int(direction_deg)
        report["satellites"] = int(satellites)
        report["hdop"] = hdop


def _release(at_ms: int, away: list[Interval]) -> int:
    """When what is ready at `at_ms` can go: 0 for now, else the end of the time without network."""
    return next((end for begin, end in away if begin <= at_ms < end), 0)
