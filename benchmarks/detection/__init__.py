"""How good the findings are: what the emulator knows to be true, beside what is found in what its tags send.

    python -m benchmarks.detection [--wearers 200] [--days 14] [--presets clean,gaps.2,…] [--seed 1] [--processes 2]
                                   [--write docs/detection.md]

The method
==========

For each preset a world of wearers lives for some days. Everything its tags have sent by the end (each report with the
instant at which it was sent as its receipt) is judged at the end, by activation, in four ways:

    core                  the judgement of the product (`judge_history`), home units and all
    core, positions only  the same without the events
    naive                 what users write: point in polygon on each position, no radius, no confirmation, no test for jumps
    filtered              the naive one on positions whose precision is known and at most 100 m, two in a row

Both of the last know the positions only, each content once, in order of `fix_time`. A finding of theirs is a maximal run
of positions of one activation on the wrong side within one obligation period (the same periods as the core's); it lasts
until the next position that counts or the end of the period, and is known with its first (naive) or second position.

Compared are EXCLUSION, CURFEW and INCLUSION. What is true is `World.truth`: to the second, whether a tag worked or was
worn or not. The definitions are the same for all:

    true finding   overlaps a true interval of its own requirement by any positive length. No tolerance in place or in
                   time: a finding that ends as the truth begins is false. One within grace counts like any other.
    false minutes  the time of all findings less the truth: a finding that is true in part is false for the rest
    found          a violation that a finding of its requirement overlaps
    findable       at least two consecutive positions of one activation (nothing between them, each content once) at most
                   `max_gap` apart were sent while the violation lasted and the wearer truly was, at the instant of each,
                   past the boundary by twice its radius (the default of its mechanism where none was reported)
    onset error    begin of the first finding that overlaps, less the true begin
    known after    `known_at` of that finding, less the true begin
    heard after    the same once what it rests on had been received: what a person would have waited

The worlds are those of two editions: the first is frozen by its seed; in the second home units send for themselves. There:

    rf_only        of a tag that only a home unit hears there are no positions. `core, positions only` is left out; naive is out from
                   each RF_OUT to the next RF_IN; filtered the same where that is at least 5 min
    findable       of such a wearer: unit and tag had power for at least 2 min of the violation
    ATTENDANCE     judged by the core only, and counted apart: how long somebody stayed is not to be seen from the side on which
                   positions lie. Findable: consecutive positions at most `max_gap` apart, past the boundary by twice their radius as
                   above, last for as long as the appointment may be missed

What an operator was shown meanwhile: of some of the people the facts are judged once more, one upload after the other and whenever
time alone changes something, and the alerts are raised as the service does it. Counted are

    versions           of each finding that people were shown, from new to amended or withdrawn
    alerts             findings that were an alert; `then amended`: its begin, or an end that had been told, was another later;
                       `then withdrawn`: it was taken back
    knowable to raised from `known_at`, on the line of the tag's own times, to the alert, on ours
    possible entries   raised for one position inside an exclusion zone; false: at its true instant nobody was inside
    inside to alert    from the true instant of the first position whose circle lies in the zone, while the wearer truly was inside,
                       to the first alert (a possible entry or the finding). In coverage: the tag had network and power then

Facts carry the tag's own clock; whether a violation is findable is asked of the true instants. A tag whose clock is wrong
so counts against whoever believes it.
"""
