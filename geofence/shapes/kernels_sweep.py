"""Compiled kernels: presence and violations of very many wearers at once, for replay, what-if and audit.

The idea. Classifying positions needs no state (`kernels_zones.py`); only what follows from the verdicts has an order, that of each
wearer's time. Nearly always nothing follows: all zones say what they said, and the wearer's state says so in one line of memory
(*steady*: presence is known on every zone, every run has the value of its presence, and the last position decided on all). Else
each zone is taken by itself, by the table of transitions at the top of `presence.py`.

    people (wearers, 4)   int64: last decisive instant (ms), mask of the zones in which presence is INSIDE, 1 if steady, unused
    states (zones, 6)     int64: last decisive instant, value of the run, its first instant, its length; value of the open presence
                          (0: not known), when that was known; valid where the wearer is not steady
    begins (zones,)       int64: since when the open presence holds
    rules (zones, 3)      int64: the value that violates (INSIDE for an exclusion, else OUTSIDE), confirm points, confirm ms
    periods (n, 2)        int64: obligation periods [S, E), sorted and apart; zone z has those at ends[z]:ends[z + 1]
    found (m, 5)          int64: zone, begin, end, known, S of a violation

A violation is a stretch of presence with the value that violates, cut to an obligation period.
"""

import numpy as np

from geofence.shapes.compiled import kernel, piece
from geofence.shapes.kernels import row
from geofence.shapes.kernels_zones import TILE

LAST, INSIDE_MASK, STEADY = range(3)
STATE_LAST, RUN_VALUE, RUN_FIRST, RUN_LENGTH, VALUE, KNOWN = range(6)
VIOLATES, POINTS, SPAN = range(3)
NEVER = -(1 << 62)
FOREVER = 1 << 62
OUT_OF_ORDER = -2


@kernel
def follow(
    people,
    states,
    begins,
    rules,
    first,
    periods,
    ends,
    max_gap_ms,
    wearer,
    fix_ms,
    inside,
    unknown,
    start,
    found,
    counts,
):
    """Take in the verdicts of positions from `start` on, each wearer's in order of time; instants that a zone had already are
    only recorded.

    counts: int64 (2,), rows of `found` that are used; touched words, of no use. Returns the position before which it stopped: n
    when all are done, fewer if `found` may not hold what the next one closes (take what is in it, and go on from there), or
    OUT_OF_ORDER - i if position i comes before the last one of its wearer.
    """
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
            if room > found.shape[0]:
                return i
            take_apart(people, states, rules, who, zone_0, zone_1)
            for zone in range(zone_0, zone_1):
                bit = np.uint64(1) << np.uint64(zone - zone_0)
                if unknown[row(i)] & bit:
                    continue
                verdict = 1 if inside[row(i)] & bit else -1
                transit(states, begins, rules, periods, ends, max_gap_ms, zone, verdict, at_ms, found, counts)
            put_together(people, states, who, zone_0, zone_1, at_ms)
    return n


@piece
def take_apart(people, states, rules, who, zone_0, zone_1):
    """Give each zone of a steady wearer its own state again."""
    if people[who, STEADY] == 0:
        return
    for zone in range(zone_0, zone_1):
        states[zone, STATE_LAST] = people[who, LAST]
        states[zone, RUN_VALUE] = states[zone, VALUE]
        states[zone, RUN_LENGTH] = rules[zone, POINTS]  # what is confirmed needs no more
    people[who, STEADY] = 0


@piece
def put_together(people, states, who, zone_0, zone_1, at_ms):
    """Whether a wearer is steady now; the last instant is that of the position, whatever it decided."""
    mask = np.int64(0)
    steady = True
    for zone in range(zone_0, zone_1):
        value = states[zone, VALUE]
        steady &= (states[zone, STATE_LAST] == at_ms) & (value != 0) & (value == states[zone, RUN_VALUE])
        mask |= np.int64(value == 1) << (zone - zone_0)
    people[who, LAST], people[who, INSIDE_MASK], people[who, STEADY] = at_ms, mask, np.int64(steady)


@piece
def transit(states, begins, rules, periods, ends, max_gap_ms, zone, verdict, at_ms, found, counts):
    """One decisive verdict on one zone: the table of `presence.py`."""
    last_ms = states[zone, STATE_LAST]
    if last_ms == at_ms:
        return
    gap = last_ms == NEVER or at_ms - last_ms > max_gap_ms
    if gap and states[zone, VALUE] != 0:
        close(states, begins, rules, periods, ends, zone, last_ms + max_gap_ms, found, counts)
    if gap or verdict != states[zone, RUN_VALUE]:
        states[zone, RUN_VALUE], states[zone, RUN_FIRST], states[zone, RUN_LENGTH] = verdict, at_ms, 1
    else:
        states[zone, RUN_LENGTH] += 1
    states[zone, STATE_LAST] = at_ms
    complete = (
        states[zone, RUN_LENGTH] >= rules[zone, POINTS] and at_ms - states[zone, RUN_FIRST] >= rules[zone, SPAN]
    )
    if states[zone, VALUE] != verdict and complete:
        if states[zone, VALUE] != 0:
            close(states, begins, rules, periods, ends, zone, states[zone, RUN_FIRST], found, counts)
        states[zone, VALUE], states[zone, KNOWN] = verdict, at_ms
        begins[zone] = states[zone, RUN_FIRST]


@piece
def close(states, begins, rules, periods, ends, zone, end_ms, found, counts):
    """End the open presence; if it violates, write its stretches in obligation periods."""
    if states[zone, VALUE] == rules[zone, VIOLATES]:
        for k in range(ends[zone], ends[zone + 1]):
            from_ms, to_ms = max(begins[zone], periods[k, 0]), min(end_ms, periods[k, 1])
            if from_ms < to_ms:
                at = counts[0]
                found[at, 0], found[at, 1], found[at, 2] = zone, from_ms, to_ms
                found[at, 3], found[at, 4] = max(from_ms, states[zone, KNOWN]), periods[k, 0]
                counts[0] += 1
    states[zone, VALUE] = 0


@kernel
def finish(people, states, begins, rules, first, periods, ends, max_gap_ms, now_ms, start, found, counts):
    """End every presence that had lapsed by *now*, and show those that last as they are then: an end after *now* is FOREVER.

    Returns the wearer before which it stopped, as `follow` does. The states are spent."""
    for who in range(start, people.shape[0]):
        room = counts[0] + ends[first[who + 1]] - ends[first[who]] + 1
        if room > found.shape[0]:
            return who
        take_apart(people, states, rules, who, first[who], first[who + 1])
        for zone in range(first[who], first[who + 1]):
            if states[zone, VALUE] != 0:
                lapse_ms = states[zone, STATE_LAST] + max_gap_ms
                before = counts[0]
                close(
                    states,
                    begins,
                    rules,
                    periods,
                    ends,
                    zone,
                    lapse_ms if lapse_ms <= now_ms else FOREVER,
                    found,
                    counts,
                )
                for at in range(before, counts[0]):
                    if found[at, 2] > now_ms:
                        found[at, 2] = FOREVER
    return people.shape[0]
