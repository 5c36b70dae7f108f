"""Compiled kernels: presence and violations of very many wearers at once, for replay, what-if and audit.

The idea. Classifying positions needs no state (`kernels_zones.py`); only what follows from the verdicts has an order, that of each
wearer's time. Nearly always nothing follows: all zones say what they said, and the wearer's state says so in one line of memory
(*steady*: presence is known on every zone, every run has the value of its presence, and the last position decided on all). Else
each zone is taken by itself, by the table of transitions at the top of `presence.py`.

A violation is a stretch of presence with the value that violates, cut to an obligation period.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geofence.shapes.compiled import kernel, piece
from geofence.shapes.kernels import row
from geofence.shapes.kernels_zones import TILE

if TYPE_CHECKING:
    from geofence.shapes.arrays import Int64s

LAST, INSIDE_MASK, STEADY = range(3)
STATE_LAST, RUN_VALUE, RUN_FIRST, RUN_LENGTH, VALUE, KNOWN = range(6)
VIOLATES, POINTS, SPAN = range(3)
NEVER = -(1 << 62)
FOREVER = 1 << 62
OUT_OF_ORDER = -2


class Wearers(NamedTuple):
    """By wearer.

    people      int64 (wearers, 4): last decisive instant (ms), mask of the zones in which presence is INSIDE, 1 if steady, unused
    first       int64 (wearers + 1,): the first zone of each
    """

    people: Int64s
    first: Int64s


class State(NamedTuple):
    """By zone, what the verdicts so far came to.

    zones       int64 (zones, 6): last decisive instant, value of the run, its first instant, its length; value of the open presence
                (0: not known), when that was known; valid where the wearer is not steady
    begins      int64 (zones,): since when the open presence holds
    """

    zones: Int64s
    begins: Int64s


class Rules(NamedTuple):
    """By zone, what is asked.

    conditions  int64 (zones, 3): the value that violates (INSIDE for an exclusion, else OUTSIDE), confirm points, confirm ms
    periods     int64 (n, 2): obligation periods [S, E), sorted and apart; zone z has those at ends[z]:ends[z + 1]
    """

    conditions: Int64s
    periods: Int64s
    ends: Int64s
    max_gap_ms: int


class Found(NamedTuple):
    """Violations.

    rows        int64 (m, 5): zone, begin, end, known, S
    counts      int64 (2,): rows that are used; touched words, of no use
    """

    rows: Int64s
    counts: Int64s


@kernel
def follow(wearers, state, rules, wearer, fix_ms, masks, start, found):
    """Take in the verdicts of positions from `start` on, each wearer's in order of time; instants that a zone had already are
    only recorded.

    wearer: int32 (n,), fix_ms: int64 (n,). masks: of one word, (n,) each. Returns the position before which it stopped: n when all
    are done, fewer if `found` may not hold what the next one closes (take what is in it, and go on from there), or
    OUT_OF_ORDER - i if position i comes before the last one of its wearer.
    """
    # Arrays by names of their own in the loop: a tenth faster than taken out of their tuples at each use.
    people, first = wearers.people, wearers.first
    inside, unknown, counts = masks.inside, masks.unknown, found.counts
    ends, max_gap_ms = rules.ends, rules.max_gap_ms
    n = wearer.shape[0]
    for begin in range(start, n, TILE):
        end = min(begin + TILE, n)
        for i in range(begin, end):
            counts[1] ^= people[row(wearer[row(i)]), LAST]
        for i in range(begin, end):
            who = wearer[row(i)]
            at_ms = fix_ms[row(i)]
            since_ms = at_ms - people[row(who), LAST]
            if people[row(who), STEADY] == 1:
                same = inside[row(i)] == np.uint64(people[row(who), INSIDE_MASK])
                if same & (unknown[row(i)] == np.uint64(0)) & (since_ms > 0) & (since_ms <= max_gap_ms):
                    people[row(who), LAST] = at_ms
                    continue
            if since_ms < 0 and people[row(who), LAST] != NEVER:
                return OUT_OF_ORDER - i
            zone_0, zone_1 = first[row(who)], first[row(who) + np.uint64(1)]
            room = counts[0]
            for zone in range(zone_0, zone_1):
                room += ends[zone + 1] - ends[zone] + 1
            if room > found.rows.shape[0]:
                return i
            take_apart(people, state, rules, who, zone_0, zone_1)
            for zone in range(zone_0, zone_1):
                bit = np.uint64(1) << np.uint64(zone - zone_0)
                if unknown[row(i)] & bit:
                    continue
                verdict = 1 if inside[row(i)] & bit else -1
                transit(state, rules, zone, verdict, at_ms, found)
            put_together(people, state, who, zone_0, zone_1, at_ms)
    return n


@piece
def take_apart(people, state, rules, who, zone_0, zone_1):
    """Give each zone of a steady wearer its own state again."""
    if people[who, STEADY] == 0:
        return
    zones = state.zones
    for zone in range(zone_0, zone_1):
        zones[zone, STATE_LAST] = people[who, LAST]
        zones[zone, RUN_VALUE] = zones[zone, VALUE]
        zones[zone, RUN_LENGTH] = rules.conditions[zone, POINTS]  # what is confirmed needs no more
    people[who, STEADY] = 0


@piece
def put_together(people, state, who, zone_0, zone_1, at_ms):
    """Whether a wearer is steady now; the last instant is that of the position, whatever it decided."""
    zones = state.zones
    mask = np.int64(0)
    steady = True
    for zone in range(zone_0, zone_1):
        value = zones[zone, VALUE]
        steady &= (zones[zone, STATE_LAST] == at_ms) & (value != 0) & (value == zones[zone, RUN_VALUE])
        mask |= np.int64(value == 1) << (zone - zone_0)
    people[who, LAST], people[who, INSIDE_MASK], people[who, STEADY] = at_ms, mask, np.int64(steady)


@piece
def transit(state, rules, zone, verdict, at_ms, found):
    """One decisive verdict on one zone: the table of `presence.py`."""
    zones = state.zones
    last_ms = zones[zone, STATE_LAST]
    if last_ms == at_ms:
        return
    gap = last_ms == NEVER or at_ms - last_ms > rules.max_gap_ms
    if gap and zones[zone, VALUE] != 0:
        close(state, rules, zone, last_ms + rules.max_gap_ms, found)
    if gap or verdict != zones[zone, RUN_VALUE]:
        zones[zone, RUN_VALUE], zones[zone, RUN_FIRST], zones[zone, RUN_LENGTH] = verdict, at_ms, 1
    else:
        zones[zone, RUN_LENGTH] += 1
    zones[zone, STATE_LAST] = at_ms
    enough = zones[zone, RUN_LENGTH] >= rules.conditions[zone, POINTS]
    complete = enough and at_ms - zones[zone, RUN_FIRST] >= rules.conditions[zone, SPAN]
    if zones[zone, VALUE] != verdict and complete:
        if zones[zone, VALUE] != 0:
            close(state, rules, zone, zones[zone, RUN_FIRST], found)
        zones[zone, VALUE], zones[zone, KNOWN] = verdict, at_ms
        state.begins[zone] = zones[zone, RUN_FIRST]


@piece
def close(state, rules, zone, end_ms, found):
    """End the open presence; if it violates, write its stretches in obligation periods."""
    if state.zones[zone, VALUE] == rules.conditions[zone, VIOLATES]:
        for k in range(rules.ends[zone], rules.ends[zone + 1]):
            from_ms, to_ms = max(state.begins[zone], rules.periods[k, 0]), min(end_ms, rules.periods[k, 1])
            if from_ms < to_ms:
                at = found.counts[0]
                found.rows[at, 0], found.rows[at, 1], found.rows[at, 2] = zone, from_ms, to_ms
                found.rows[at, 3], found.rows[at, 4] = max(from_ms, state.zones[zone, KNOWN]), rules.periods[k, 0]
                found.counts[0] += 1
    state.zones[zone, VALUE] = 0


@kernel
def finish(wearers, state, rules, now_ms, start, found):
    """End every presence that had lapsed by *now*, and show those that last as they are then: an end after *now* is FOREVER.

    Returns the wearer before which it stopped, as `follow` does. The states are spent."""
    people, first = wearers.people, wearers.first
    for who in range(start, people.shape[0]):
        room = found.counts[0] + rules.ends[first[who + 1]] - rules.ends[first[who]] + 1
        if room > found.rows.shape[0]:
            return who
        take_apart(people, state, rules, who, first[who], first[who + 1])
        for zone in range(first[who], first[who + 1]):
            if state.zones[zone, VALUE] != 0:
                lapse_ms = state.zones[zone, STATE_LAST] + rules.max_gap_ms
                before = found.counts[0]
                close(state, rules, zone, lapse_ms if lapse_ms <= now_ms else FOREVER, found)
                for at in range(before, found.counts[0]):
                    if found.rows[at, 2] > now_ms:
                        found.rows[at, 2] = FOREVER
    return people.shape[0]
