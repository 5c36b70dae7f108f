"""Compiled kernels: presence and violations of very many wearers at once, for replay, what-if and audit.

The idea. Classifying positions needs no state (`kernels_zones.py`); only what follows from the verdicts has an order, that of each
wearer's time. Nearly always nothing follows: all zones say what they said, and the wearer's state says so in one line of memory
(*steady*: presence is known on every zone, every run has the value of its presence, and the last position decided on all). Else
each zone is taken by itself, by the table of transitions at the top of `presence.py`.

A violation is a stretch of presence with the value that violates, cut to an obligation period. Where the wearer must have been seen
outside lately at the start of a period, `pass_starts` notes from where the presence counts, as `starts.py` of the judgement does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from geofence.shapes.compiled import kernel, piece
from geofence.shapes.kernels import row
from geofence.shapes.kernels_zones import TILE

if TYPE_CHECKING:
    from geofence.shapes.arrays import Bools, Float64s, Int32s, Int64s

LAST, INSIDE_MASK, STEADY, NEXT_START = range(4)
STATE_LAST, RUN_VALUE, RUN_FIRST, RUN_LENGTH, VALUE, KNOWN, BEGIN, BEFORE = range(8)
LAST_OUT, PASSED, CIRCLES = range(3)
VIOLATES, POINTS, SPAN, WITHIN = range(4)
WHOEVER_SAW = -1
"""WITHIN of a zone whose presence counts from the start of a period whoever saw it; its repeated circles count too."""
MOST_CIRCLES = 64
"""Of one run that is not complete. A run is complete after 20 at most, unless it must span some time."""
NEVER = -(1 << 62)
FOREVER = 1 << 62
OUT_OF_ORDER = -2


class SweepState(NamedTuple):
    """What the verdicts so far came to.

    people      int64 (wearers, 4): last decisive instant (ms), mask of the zones in which presence is INSIDE, 1 if steady, and then
                the next start of a period of a zone in which presence is OUTSIDE
    first       int64 (wearers + 1,): the first zone of each
    zones       int64 (zones, 8), a line of memory each: last decisive instant; value of the run, its first instant, its length (these
                are valid where the wearer is not steady); value of the open presence (0: not known), when that was known, since when
                it holds, and which value held until then (0: not known)
    seen        int64 (zones, 3): last verdict OUTSIDE (valid as the run is); the first period whose start it has not passed; how many
                circles were counted in the run
    from_ms     int64 (periods,): from where a presence OUTSIDE that began before counts, for periods whose start was passed
    circles     float64 (zones, MOST_CIRCLES, 2): longitude and latitude of cell circles that were counted in the run
    """

    people: Int64s
    first: Int64s
    zones: Int64s
    seen: Int64s
    from_ms: Int64s
    circles: Float64s


class Rules(NamedTuple):
    """By zone, what is asked.

    conditions  int64 (zones, 4): the value that violates (INSIDE for an exclusion, else OUTSIDE), confirm points, confirm ms, and how
                long before the start of a period a wearer who is out must have been seen out (ms), or WHOEVER_SAW
    periods     int64 (n, 2): obligation periods [S, E), sorted and apart; zone z has those at ends[z]:ends[z + 1]
    """

    conditions: Int64s
    periods: Int64s
    ends: Int64s
    max_gap_ms: int


class SweptPositions(NamedTuple):
    """Positions, each wearer's in order of time.

    wearer      int32 (n,)
    fix_ms      int64 (n,)
    lon_deg, lat_deg   float64 (n,)
    is_cell     bool (n,): the position is the circle of a cell
    """

    wearer: Int32s
    fix_ms: Int64s
    lon_deg: Float64s
    lat_deg: Float64s
    is_cell: Bools


class FoundViolations(NamedTuple):
    """Violations.

    rows        int64 (m, 8): zone, begin, end, known; S and E of its period; presence just before it and just after (0: not known)
    counts      int64 (3,): rows that are used; touched words, of no use; circles for which there was no room
    """

    rows: Int64s
    counts: Int64s


@kernel
def follow(state, rules, positions, masks, start, found):
    """Take in the verdicts of positions from `start` on; instants that a zone had already are only recorded.

    masks: of one word, (n,) each. Returns the position before which it stopped: n when all
    are done, fewer if `found` may not hold what the next one closes (take what is in it, and go on from there), or
    OUT_OF_ORDER - i if position i comes before the last one of its wearer.
    """
    # Arrays by names of their own in the loop: a tenth faster than taken out of their tuples at each use.
    people, first = state.people, state.first
    wearer, fix_ms = positions.wearer, positions.fix_ms
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
                before_start = at_ms < people[row(who), NEXT_START]
                if (
                    same
                    & before_start
                    & (unknown[row(i)] == np.uint64(0))
                    & (since_ms > 0)
                    & (since_ms <= max_gap_ms)
                ):
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
            take_apart(state, rules, who, zone_0, zone_1)
            for zone in range(zone_0, zone_1):
                bit = np.uint64(1) << np.uint64(zone - zone_0)
                if unknown[row(i)] & bit:
                    continue
                verdict = 1 if inside[row(i)] & bit else -1
                transit(state, rules, zone, verdict, positions, i, found)
            put_together(state, rules, who, zone_0, zone_1, at_ms)
    return n


@piece
def take_apart(state, rules, who, zone_0, zone_1):
    """Give each zone of a steady wearer its own state again."""
    people, zones = state.people, state.zones
    if people[who, STEADY] == 0:
        return
    for zone in range(zone_0, zone_1):
        zones[zone, STATE_LAST] = people[who, LAST]
        zones[zone, RUN_VALUE] = zones[zone, VALUE]
        zones[zone, RUN_LENGTH] = rules.conditions[zone, POINTS]  # what is confirmed needs no more
        if zones[zone, VALUE] == -1:
            state.seen[zone, LAST_OUT] = people[who, LAST]
    people[who, STEADY] = 0


@piece
def put_together(state, rules, who, zone_0, zone_1, at_ms):
    """Whether a wearer is steady now; the last instant is that of the position, whatever it decided."""
    people, zones = state.people, state.zones
    mask = np.int64(0)
    steady = True
    next_start_ms = FOREVER
    for zone in range(zone_0, zone_1):
        value = zones[zone, VALUE]
        steady &= (zones[zone, STATE_LAST] == at_ms) & (value != 0) & (value == zones[zone, RUN_VALUE])
        mask |= np.int64(value == 1) << (zone - zone_0)
        if (
            value == -1
            and rules.conditions[zone, WITHIN] != WHOEVER_SAW
            and state.seen[zone, PASSED] < rules.ends[zone + 1]
        ):
            next_start_ms = min(next_start_ms, rules.periods[state.seen[zone, PASSED], 0])
    people[who, LAST], people[who, INSIDE_MASK], people[who, STEADY] = at_ms, mask, np.int64(steady)
    people[who, NEXT_START] = next_start_ms


@piece
def pass_starts(state, rules, zone, at_ms):
    """Before a verdict OUTSIDE is taken in: from where a presence that lasts since before counts in periods that began meanwhile."""
    last_out_ms, within_ms = state.seen[zone, LAST_OUT], rules.conditions[zone, WITHIN]
    k = state.seen[zone, PASSED]
    while k < rules.ends[zone + 1] and rules.periods[k, 0] <= at_ms:
        start_ms = rules.periods[k, 0]
        lately = last_out_ms != NEVER and start_ms - last_out_ms <= within_ms
        state.from_ms[k] = start_ms if lately or start_ms == at_ms else at_ms
        k += 1
    state.seen[zone, PASSED], state.seen[zone, LAST_OUT] = k, at_ms


@piece
def is_repeat(state, zone, positions, i, found):
    """Whether the circle of a position was counted in the run already; if not, it is now."""
    lon_deg, lat_deg, count = positions.lon_deg[i], positions.lat_deg[i], state.seen[zone, CIRCLES]
    for at in range(count):
        if state.circles[zone, at, 0] == lon_deg and state.circles[zone, at, 1] == lat_deg:
            return True
    if count == MOST_CIRCLES:
        found.counts[2] += 1
        return False
    state.circles[zone, count, 0], state.circles[zone, count, 1] = lon_deg, lat_deg
    state.seen[zone, CIRCLES] = count + 1
    return False


@piece
def transit(state, rules, zone, verdict, positions, i, found):
    """One decisive verdict (of position i) on one zone: the table of `presence.py`."""
    zones, at_ms = state.zones, positions.fix_ms[i]
    last_ms = zones[zone, STATE_LAST]
    if last_ms == at_ms:
        return
    against = verdict == -1 and rules.conditions[zone, WITHIN] != WHOEVER_SAW
    if against:
        pass_starts(state, rules, zone, at_ms)
    gap = last_ms == NEVER or at_ms - last_ms > rules.max_gap_ms
    if gap and zones[zone, VALUE] != 0:
        close(state, rules, zone, last_ms + rules.max_gap_ms, 0, found)
    counts = True
    if gap or verdict != zones[zone, RUN_VALUE]:
        zones[zone, RUN_VALUE], zones[zone, RUN_FIRST], zones[zone, RUN_LENGTH] = verdict, at_ms, 1
        state.seen[zone, CIRCLES] = 0
        if against and positions.is_cell[i]:
            is_repeat(state, zone, positions, i, found)
    elif zones[zone, VALUE] != verdict:
        counts = not (against and positions.is_cell[i] and is_repeat(state, zone, positions, i, found))
        zones[zone, RUN_LENGTH] += np.int64(counts)
    zones[zone, STATE_LAST] = at_ms
    enough = zones[zone, RUN_LENGTH] >= rules.conditions[zone, POINTS]
    complete = enough and at_ms - zones[zone, RUN_FIRST] >= rules.conditions[zone, SPAN]
    if zones[zone, VALUE] != verdict and counts and complete:
        before = zones[zone, VALUE]
        if before != 0:
            close(state, rules, zone, zones[zone, RUN_FIRST], verdict, found)
        zones[zone, VALUE], zones[zone, KNOWN] = verdict, at_ms
        zones[zone, BEGIN], zones[zone, BEFORE] = zones[zone, RUN_FIRST], before


@piece
def counted_from(state, rules, zone, k, begin_ms):
    """From where the open presence counts in period k: its start, if the presence begins there or was seen lately; else the first
    verdict after it; FOREVER if there is none so far."""
    start_ms, within_ms = rules.periods[k, 0], rules.conditions[zone, WITHIN]
    if begin_ms >= start_ms or within_ms == WHOEVER_SAW:
        return max(begin_ms, start_ms)
    if k < state.seen[zone, PASSED]:
        return state.from_ms[k]
    return start_ms if start_ms - state.seen[zone, LAST_OUT] <= within_ms else FOREVER


@piece
def close(state, rules, zone, end_ms, after, found):
    """End the open presence; if it violates, write its stretches in obligation periods. after: the value that follows, 0 if none."""
    zones = state.zones
    if zones[zone, VALUE] == rules.conditions[zone, VIOLATES]:
        begin_ms, known_ms, rows = zones[zone, BEGIN], zones[zone, KNOWN], found.rows
        for k in range(rules.ends[zone], rules.ends[zone + 1]):
            from_ms, to_ms = counted_from(state, rules, zone, k, begin_ms), min(end_ms, rules.periods[k, 1])
            if from_ms < to_ms:
                at = found.counts[0]
                rows[at, 0], rows[at, 1], rows[at, 2], rows[at, 3] = zone, from_ms, to_ms, max(from_ms, known_ms)
                rows[at, 4], rows[at, 5] = rules.periods[k, 0], rules.periods[k, 1]
                rows[at, 6] = zones[zone, BEFORE] if from_ms == begin_ms else zones[zone, VALUE]
                rows[at, 7] = after if to_ms == end_ms else zones[zone, VALUE]
                found.counts[0] += 1
    zones[zone, VALUE] = 0


@kernel
def finish(state, rules, now_ms, start, found):
    """End every presence that had lapsed by *now*, and show those that last as they are then: an end after *now* is FOREVER.

    Returns the wearer before which it stopped, as `follow` does. The states are spent."""
    people, first, zones = state.people, state.first, state.zones
    for who in range(start, people.shape[0]):
        room = found.counts[0] + rules.ends[first[who + 1]] - rules.ends[first[who]] + 1
        if room > found.rows.shape[0]:
            return who
        take_apart(state, rules, who, first[who], first[who + 1])
        for zone in range(first[who], first[who + 1]):
            if zones[zone, VALUE] != 0:
                lapse_ms = zones[zone, STATE_LAST] + rules.max_gap_ms
                before = found.counts[0]
                close(state, rules, zone, lapse_ms if lapse_ms <= now_ms else FOREVER, 0, found)
                for at in range(before, found.counts[0]):
                    if found.rows[at, 2] > now_ms:
                        found.rows[at, 2] = FOREVER
    return people.shape[0]
