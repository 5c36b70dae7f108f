"""What is told of many positions at once, and of facts that come in order, is what is told of them one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from geofence import DeviceEvent, EventType, Fact, Mechanism, Position, without_duplicates
from geofence.judgement.evidence import (
    PositionStatus,
    Track,
    columns_of,
    evidence_in_columns,
    evidence_of,
    position_statuses,
)

MINUTE_MS = 60_000


@st.composite
def position(draw: st.DrawFn, at_ms: int) -> Position:
    """Mostly of a walk; now and then a jump, (0, 0), one of the future, or one of no known precision."""
    place = draw(st.sampled_from([(53.0, -2.1)] * 6 + [(53.0005, -2.1), (54.5, -2.1), (0.0, 0.0)]))
    lateness_ms = draw(st.sampled_from([0] * 6 + [-301_000, 5_000]))
    precision_m = draw(st.sampled_from([6.0, 6.0, 30.0, None, 0.0, -1.0]))
    return Position(at_ms, *place, precision_m, draw(st.sampled_from(Mechanism)), at_ms + lateness_ms)


@st.composite
def tracks(draw: st.DrawFn) -> list[Position]:
    """In the order of evidence, now and then two at an instant."""
    gaps_ms = draw(st.lists(st.sampled_from([MINUTE_MS] * 8 + [0, 1_000]), min_size=16, max_size=30))
    found, at_ms = [], 0
    for gap_ms in gaps_ms:
        at_ms += gap_ms
        found.append(draw(position(at_ms)))
    unique = {one.content: one for one in found}
    return sorted(unique.values(), key=lambda one: one.key)


def one_by_one(track: Track, positions: list[Position]) -> tuple[list[Position], Track]:
    chosen = []
    for one, status, after in position_statuses(track, positions):
        track = after
        if status is PositionStatus.EVIDENCE:
            chosen.append(one)
    return chosen, track


@given(tracks(), st.booleans())
def test_many_positions_are_told_as_one_by_one(positions: list[Position], has_last: bool) -> None:
    last = Position(-MINUTE_MS, 53.0, -2.1, 6.0, Mechanism.GPS, -MINUTE_MS)
    track = Track(last) if has_last else Track()
    chosen, after, columns = evidence_in_columns(track, positions)
    assert (chosen, after) == evidence_of(track, positions) == one_by_one(track, positions)
    expected = [(one.fix_ms, one.lon_deg, one.lat_deg, one.radius_m) for one in chosen]
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected
    assert len(columns_of([]).at_ms) == 0


TIMES, HEARD = st.integers(0, 6), st.integers(0, 9)
FACTS: st.SearchStrategy[Fact] = st.one_of(
    st.builds(
        lambda at, lat, heard: Position(at, lat, -2.1, 6.0, Mechanism.GPS, heard),
        TIMES,
        st.sampled_from([53.0, 54.0]),
        HEARD,
    ),
    st.builds(lambda at, kind, heard: DeviceEvent(at, kind, None, heard), TIMES, st.sampled_from(EventType), HEARD),
)


@given(st.lists(FACTS, max_size=8))
def test_each_content_stands_once_whether_facts_come_in_order_or_not(facts: list[Fact]) -> None:
    found = without_duplicates(facts)
    assert [fact.key for fact in found] == sorted(fact.key for fact in found)
    assert {fact.content for fact in found} == {fact.content for fact in facts}
    assert len(found) == len({fact.content for fact in facts})
    for fact in found:
        assert fact.received_ms == min(other.received_ms for other in facts if other.content == fact.content)
