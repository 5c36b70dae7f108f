"""What goes wrong with one tag or one home unit on one day: a function of (seed, number, day) and the constants.

A mishap may last into the next day (never longer than a day): whoever asks for a day looks at the day before it too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from emtrack.emulator.chance import dice
from emtrack.emulator.habits import Faults, Range
from emtrack.emulator.schedule import HOUR_MS, MINUTE_MS, SECOND_MS, Interval

Event = tuple[int, str]


@dataclass(frozen=True)
class TagMishaps:
    """Of one tag: `dead` (no power), `offline` (no network), `restarts` (boots), and the events it reports."""

    dead: tuple[Interval, ...] = ()
    offline: tuple[Interval, ...] = ()
    restarts: tuple[int, ...] = ()
    events: tuple[Event, ...] = ()

    def __add__(self, other: TagMishaps) -> TagMishaps:
        return TagMishaps(
            self.dead + other.dead,
            self.offline + other.offline,
            self.restarts + other.restarts,
            self.events + other.events,
        )


@dataclass(frozen=True)
class UnitMishaps:
    """Of one home unit: `silent` (no power: sees nobody), the events it reports, `deaf` (does not hear a tag that is there),
    `offline` (no network)."""

    silent: tuple[Interval, ...] = ()
    events: tuple[Event, ...] = ()
    deaf: tuple[Interval, ...] = ()
    offline: tuple[Interval, ...] = ()

    def __add__(self, other: UnitMishaps) -> UnitMishaps:
        return UnitMishaps(
            self.silent + other.silent,
            self.events + other.events,
            self.deaf + other.deaf,
            self.offline + other.offline,
        )


def tag_mishaps(seed: int, device: int, day: int, span: Interval, faults: Faults) -> TagMishaps:
    """What begins on `day` (`span`: its beginning and end)."""
    rng = dice(seed, "tag", device, day)
    found = TagMishaps()
    for chance, strike in (
        (faults.battery_low, _battery),
        (faults.strap_tamper, _strap),
        (faults.case_tamper, _case),
        (faults.jamming, _jamming),
        (faults.reboot, _reboot),
        (faults.outage, _outage),
    ):
        happens, at_ms = rng.random() < chance, _second(rng.uniform(*span))
        if happens:
            found += strike(rng, at_ms, faults)
    return found


def unit_mishaps(seed: int, wearer: int, day: int, span: Interval, faults: Faults) -> UnitMishaps:
    """What begins on `day` with the home unit of a wearer."""
    rng = dice(seed, "unit", wearer, day)
    found = UnitMishaps()
    moved, moved_ms = rng.random() < faults.hmu_moved, _second(rng.uniform(*span))
    lost, lost_ms = rng.random() < faults.hmu_power_lost, _second(rng.uniform(*span))
    if moved:
        found += UnitMishaps(events=((moved_ms, "HMU_MOVED"),))
    if lost:
        back_ms = lost_ms + _length(rng, faults.hmu_power_min, MINUTE_MS)
        events = ((lost_ms, "HMU_POWER_LOST"), (back_ms, "HMU_POWER_RESTORED"))
        found += UnitMishaps(((lost_ms, back_ms),), events)
    return found


def radio_mishaps(seed: int, wearer: int, day: int, span: Interval, faults: Faults) -> UnitMishaps:
    """What begins on `day` with the radio and the network of a home unit that sends for itself."""
    rng = dice(seed, "radio", wearer, day)
    spot, spot_ms = rng.random() < faults.dead_spot, _second(rng.uniform(*span))
    lost, lost_ms = rng.random() < faults.unit_offline, _second(rng.uniform(*span))
    spot_end_ms = spot_ms + _length(rng, faults.dead_spot_min, MINUTE_MS)
    lost_end_ms = lost_ms + _length(rng, faults.unit_offline_h, HOUR_MS)
    return UnitMishaps(
        deaf=((spot_ms, spot_end_ms),) if spot else (), offline=((lost_ms, lost_end_ms),) if lost else ()
    )


def of_a_radio_tag(faults: Faults) -> Faults:
    """What goes wrong with a tag that only a home unit hears: it has a battery for a year, and no network to lose."""
    return replace(
        faults,
        battery_low=faults.rf_battery_low,
        battery_dies_share=faults.rf_battery_dies_share,
        jamming=0.0,
        reboot=0.0,
        outage=0.0,
    )


def drinking(seed: int, wearer: int, day: int, span: Interval, chance: float, length_h: Range) -> tuple[Event, ...]:
    """What an alcohol tag reads of an evening that begins on `day`."""
    rng = dice(seed, "drinking", wearer, day)
    happens, at_ms = rng.random() < chance, _second(rng.uniform(span[0] + 14 * HOUR_MS, span[0] + 19 * HOUR_MS))
    if not happens:
        return ()
    return (at_ms, "ALCOHOL_DETECTED"), (at_ms + _length(rng, length_h, HOUR_MS), "ALCOHOL_CLEAR")


def skew_ms(seed: int, device: int, faults: Faults) -> int:
    """How far the clock of a device is ahead of true time, all its life."""
    rng = dice(seed, "skew", device)
    pick, small_s, sign = rng.random(), rng.uniform(*faults.skew_small_s), rng.choice((-1, 1))
    if pick < faults.skew_small_share:
        return sign * round(small_s) * SECOND_MS
    pick -= faults.skew_small_share
    if pick < faults.skew_hour_back_share:
        return -HOUR_MS
    pick -= faults.skew_hour_back_share
    return round(faults.skew_ahead_s) * SECOND_MS if pick < faults.skew_ahead_share else 0


def _second(at_ms: float) -> int:
    return int(at_ms) // SECOND_MS * SECOND_MS


def _length(rng: Random, length: Range, unit_ms: int) -> int:
    return _second(rng.uniform(*length) * unit_ms)


def _battery(rng: Random, at_ms: int, faults: Faults) -> TagMishaps:
    """Low, then critical; then charged in time, or dead for hours."""
    critical_ms = at_ms + _length(rng, (20, 90), MINUTE_MS)
    end_ms = critical_ms + _length(rng, (10, 40), MINUTE_MS)
    events: tuple[Event, ...] = ((at_ms, "BATTERY_LOW"), (critical_ms, "BATTERY_CRITICAL"))
    if rng.random() >= faults.battery_dies_share:
        return TagMishaps(events=(*events, (end_ms, "BATTERY_OK")))
    alive_ms = end_ms + _length(rng, faults.dead_h, HOUR_MS)
    events += ((alive_ms, "BATTERY_OK"),)
    return TagMishaps(dead=((end_ms, alive_ms),), restarts=(alive_ms,), events=events)


def _strap(rng: Random, at_ms: int, faults: Faults) -> TagMishaps:
    start = (at_ms, "STRAP_TAMPER")
    if rng.random() >= faults.strap_clears_share:
        return TagMishaps(events=(start,))
    return TagMishaps(events=(start, (at_ms + _length(rng, faults.strap_clear_min, MINUTE_MS), "STRAP_CLEAR")))


def _case(rng: Random, at_ms: int, faults: Faults) -> TagMishaps:
    clear_ms = at_ms + _length(rng, faults.strap_clear_min, MINUTE_MS)
    return TagMishaps(events=((at_ms, "CASE_TAMPER"), (clear_ms, "CASE_CLEAR")))


def _jamming(rng: Random, at_ms: int, faults: Faults) -> TagMishaps:
    clear_ms = at_ms + _length(rng, faults.strap_clear_min, MINUTE_MS)
    return TagMishaps(events=((at_ms, "JAMMING"), (clear_ms, "JAMMING_CLEAR")))


def _reboot(_rng: Random, at_ms: int, _faults: Faults) -> TagMishaps:
    return TagMishaps(restarts=(at_ms,))


def _outage(rng: Random, at_ms: int, faults: Faults) -> TagMishaps:
    return TagMishaps(offline=((at_ms, at_ms + _length(rng, faults.outage_h, HOUR_MS)),))
