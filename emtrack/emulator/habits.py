"""Every ratio of the invented world, in one place: how people live, what a sound tag sends, what goes wrong.

A chance "per day" is per wearer or per device and day. Ranges are (least, most), drawn evenly. A test turns one thing up or off with
`dataclasses.replace`; `PRESETS` names the mixes that the benchmarks use.

The defaults are those of the first edition, whose worlds are frozen: published figures rest on them. What came later is off by
default and stands in the presets of the second edition, whose names end with `.2`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

Range = tuple[float, float]
Chance = tuple[float, float]  # per day: of most wearers, and of the few who are prone to break their orders


@dataclass(frozen=True)
class Habits:
    """How the invented people live and break their orders."""

    area_radius_m: float = 11_000.0
    works_share: float = 0.5
    outdoor_work_share: float = 0.4  # of those who work
    drives_share: float = 0.6
    walk_up_to_m: float = 1_800.0
    walk_m_s: Range = (1.2, 1.6)
    drive_m_s: Range = (8.0, 14.0)
    outings_a_day: tuple[int, int] = (2, 4)
    rest_day_share: float = 0.15
    early_for_work_min: Range = (3.0, 15.0)

    home_unit_share: float = 0.8
    two_zones_share: float = 0.45
    polygon_share: float = 0.6
    zone_reach_m: Range = (150.0, 800.0)
    buffered_share: float = 0.4
    inclusion_share: float = 0.25  # of those who work
    absence_share: float = 0.05
    grace_share: float = 0.2
    early_curfew_share: float = 0.0  # from 18:30 every day, in place of the pattern that was drawn
    reused_tag_share: float = 1 / 40

    # of the second edition
    home_units: Literal["through the tag", "for themselves"] = "through the tag"
    call_in_s: int = 600  # of a unit beside a tag with a channel of its own
    rf_only_share: float = 0.0  # a tag that only a home unit hears, and no order but a curfew
    rf_only_call_in_s: tuple[int, ...] = (600, 1_800, 3_600, 7_200, 13_800)
    rf_only_leeway_s: int = 600  # a sighting speaks so much longer than until the next call
    street_m: float | None = None  # ways keep to streets that lie so far apart; None: they go wherever they go
    attendance_share: float = 0.0  # of those who do not work, and have a tag with positions
    alcohol_share: float = 0.0  # of those who have a tag with positions: an alcohol tag beside it

    prone_share: float = 0.2
    late_home: Chance = (0.015, 0.14)
    night_leave: Chance = (0.004, 0.08)
    out_all_night: Chance = (0.002, 0.04)
    zone_visit: Chance = (0.002, 0.05)
    zone_cut_through: Chance = (0.006, 0.06)
    zone_drive_past: Chance = (0.05, 0.10)
    work_skipped: Chance = (0.02, 0.12)
    late_home_min: Range = (4.0, 150.0)
    night_leave_min: Range = (25.0, 150.0)
    zone_visit_min: Range = (4.0, 45.0)
    drive_past_gap_m: Range = (10.0, 80.0)
    attendance_missed: Chance = (0.04, 0.25)  # of appointments
    attendance_cut_short: Chance = (0.04, 0.15)  # of appointments
    drinks: Chance = (0.04, 0.25)
    drinks_h: Range = (3.0, 9.0)  # for so long an alcohol tag reads it


@dataclass(frozen=True)
class Sensors:
    """What a sound tag and a sound home unit send."""

    gps_every_s: int = 60
    indoor_every_s: int = 300
    rf_every_s: int = 300
    heartbeat_every_s: int = 600
    upload_every_s: int = 600
    upload_reports: int = 10
    repeated_rf: Literal["buffered", "at once"] = "buffered"  # a change of range always goes at once
    in_zone: Literal["buffered", "at once"] = "buffered"  # fixes in an exclusion zone of the wearer or its buffer
    alcohol_every_s: int = 1_800
    sent_at: Literal["not said", "its clock"] = "not said"  # whether each request says when it was sent

    gps_p50_m: float = 3.0
    gps_p95_m: float = 17.0
    gps_memory_fixes: float = 2.0
    gps_outdoors_share: float = 1.0  # of ten-minute stretches; the rest have LBS only
    lbs_p50_m: float = 57.0
    lbs_p90_m: float = 729.0
    lbs_most_m: float = 1_600.0
    lbs_same_cell_share: float = 0.4
    wifi_share: float = 0.12  # of indoor fixes
    wifi_p50_m: float = 25.0
    wifi_p95_m: float = 60.0
    home_unit_range_m: Range = (25.0, 38.0)
    send_delay_ms: tuple[int, int] = (400, 3_000)


@dataclass(frozen=True)
class Faults:
    """What goes wrong with tags, home units, clocks and the network. Chances are per device and day unless said."""

    # positions
    lbs_unknown_share: float = 0.024  # of LBS fixes: precision 0
    indoor_gps_share: float = 0.04  # of indoor fixes: drifting GPS
    indoor_gps_p50_m: float = 45.0
    multipath_share: float = 0.03  # of ten-minute stretches outdoors
    multipath_factor: Range = (2.0, 5.0)
    gps_missed_share: float = 0.02  # of GPS fixes
    gps_worse_factor: float = 1.0
    jump_share: float = 0.0004  # of GPS fixes: kilometres off, with a good precision
    null_island_share: float = 0.00005  # of fixes: exactly (0, 0)
    tunnel_per_trip: float = 0.02
    tunnel_min: Range = (2.0, 15.0)

    # the tag and the home unit
    battery_low: float = 1 / 15
    battery_dies_share: float = 0.4
    dead_h: Range = (0.5, 6.0)
    strap_tamper: float = 1 / 80
    strap_clears_share: float = 0.7
    strap_clear_min: Range = (1.0, 15.0)
    case_tamper: float = 1 / 300
    jamming: float = 1 / 400
    hmu_moved: float = 1 / 120
    hmu_power_lost: float = 1 / 80
    hmu_power_min: Range = (5.0, 300.0)
    reboot: float = 1 / 25

    # a home unit that sends for itself, and a tag that only it hears; off in the first edition
    dead_spot: float = 0.0  # in the house, and not heard
    dead_spot_min: Range = (3.0, 20.0)
    unit_offline: float = 0.0
    unit_offline_h: Range = (1.0, 6.0)
    rf_battery_low: float = 0.0
    rf_battery_dies_share: float = 0.1

    # the network
    outage: float = 1 / 12
    outage_h: Range = (1.0, 8.0)
    burst_reports: int = 120
    duplicate_share: float = 0.004  # of uploads: sent again, same seq
    resequenced_share: float = 0.0004  # of reports: same content under another seq
    # Overtaken by the next upload. Only where that follows soon: else each would be a silence of 20 minutes, an alert.
    delayed_share: float = 0.03  # of uploads that the next follows within `delayed_within_min`
    delayed_within_min: float = 6.0
    delayed_min: Range = (0.2, 4.0)  # after the next one is ready

    # the clock, for the life of a device; what is left over is right to the second
    skew_small_share: float = 0.07
    skew_small_s: Range = (5.0, 90.0)
    skew_hour_back_share: float = 0.015
    skew_ahead_share: float = 0.015
    skew_ahead_s: float = 400.0


NO_FAULTS = Faults(
    lbs_unknown_share=0.0,
    indoor_gps_share=0.0,
    multipath_share=0.0,
    gps_missed_share=0.0,
    jump_share=0.0,
    null_island_share=0.0,
    tunnel_per_trip=0.0,
    battery_low=0.0,
    strap_tamper=0.0,
    case_tamper=0.0,
    jamming=0.0,
    hmu_moved=0.0,
    hmu_power_lost=0.0,
    reboot=0.0,
    outage=0.0,
    duplicate_share=0.0,
    resequenced_share=0.0,
    delayed_share=0.0,
    skew_small_share=0.0,
    skew_hour_back_share=0.0,
    skew_ahead_share=0.0,
)


@dataclass(frozen=True)
class Mix:
    """One choice of all constants."""

    habits: Habits = field(default_factory=Habits)
    sensors: Sensors = field(default_factory=Sensors)
    faults: Faults = field(default_factory=Faults)


_FIRST_EDITION: dict[str, Mix] = {
    "standard": Mix(),
    "ordinary": Mix(
        habits=Habits(early_for_work_min=(18.0, 40.0), early_curfew_share=0.2),
        sensors=Sensors(lbs_same_cell_share=0.15),
        faults=Faults(
            outage=1 / 30,
            outage_h=(0.5, 5.0),
            battery_dies_share=0.25,
            indoor_gps_share=0.015,
            strap_clears_share=0.85,
        ),
    ),
    "clean": Mix(faults=NO_FAULTS),
    "lbs_heavy": Mix(sensors=Sensors(gps_outdoors_share=0.04, wifi_share=0.02), faults=Faults(indoor_gps_share=0.0)),
    "urban_canyon": Mix(faults=Faults(multipath_share=0.4, gps_missed_share=0.2, gps_worse_factor=2.5)),
    "gaps": Mix(faults=Faults(tunnel_per_trip=0.3, battery_low=0.5, battery_dies_share=0.8, outage=0.6)),
    "jumps": Mix(faults=replace(NO_FAULTS, jump_share=0.02, null_island_share=0.002)),
}

DEAD_SPOTS, DEAD_SPOTS_ORDINARY = 1 / 25, 1 / 90
SOUND = ("clean", "jumps")
"""Nothing goes wrong with home units there."""


def _second(name: str, rf_only_share: float = 0.0) -> Mix:
    """The same people, whose home units send for themselves, whose tags hold their zones; some have appointments, some an alcohol
    tag beside the other."""
    first = _FIRST_EDITION[name]
    habits = replace(
        first.habits,
        home_units="for themselves",
        rf_only_share=rf_only_share,
        attendance_share=0.15,
        alcohol_share=0.04,
    )
    spots = DEAD_SPOTS_ORDINARY if name == "ordinary" else DEAD_SPOTS
    faults = first.faults if name in SOUND else _with_radio_faults(first.faults, spots)
    return Mix(habits, replace(first.sensors, in_zone="at once", sent_at="its clock"), faults)


def _with_radio_faults(faults: Faults, dead_spot: float) -> Faults:
    return replace(faults, dead_spot=dead_spot, unit_offline=1 / 40, rf_battery_low=1 / 150)


THIRD = 1 / 3
PRESETS: dict[str, Mix] = {
    **_FIRST_EDITION,
    "standard.2": _second("standard", rf_only_share=THIRD),
    "ordinary.2": _second("ordinary", rf_only_share=THIRD),
    **{f"{name}.2": _second(name) for name in ("clean", "lbs_heavy", "urban_canyon", "gaps", "jumps")},
    "rf_only": _second("standard", rf_only_share=1.0),
}
