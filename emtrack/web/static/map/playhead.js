// What playback shows on the map: the last known position with its circle, and the trail of the last half hour before it.
import { Feature, MultiLineString, Point } from '../vendor/ol.js';
import { metresPerDegree } from './geodesy.js';
import { radiusCircle, styled, vectors } from './layers.js';
import { gapOfTailStyle, playheadRadiusStyle, playheadStyles, tailStyle } from './symbols.js';
import { trailLines } from './trail.js';
import { distanceOf, lengthOf } from './words.js';

const TAIL_MS = 30 * 60_000;
const LONGEST_TAIL = 400;

/** `person`: 0, or 1 for the second of two. */
export function playheadLayer(gap_s, person) {
  const layer = vectors([]);
  let shown = '';

  /** The last of the points in order of time that is not after an instant, with how long ago it was; shows it. */
  function show(points, at_ms) {
    const last = lastAt(points, at_ms);
    const point = points[last] ?? null;
    const age_ms = point ? at_ms - point.at_ms : null;
    const isKnown = point !== null && age_ms / 1000 <= gap_s;
    const now = `${point?.n} ${isKnown} ${points.length}`;
    if (now !== shown) {
      shown = now;
      layer.getSource().clear(true);
      if (point) layer.getSource().addFeatures(features(points, last, isKnown));
    }
    return { point, age_ms, isKnown };
  }

  function features(points, last, isKnown) {
    const point = points[last];
    let first = last;
    while (first > 0 && last - first < LONGEST_TAIL && point.at_ms - points[first - 1].at_ms <= TAIL_MS) first -= 1;
    const { joined, gaps } = trailLines(points.slice(first, last + 1), gap_s);
    const circle = point.radius_m > 0 ? [styled(radiusCircle(point), playheadRadiusStyle(person, isKnown))] : [];
    return [
      styled(new MultiLineString(gaps), gapOfTailStyle(person)),
      styled(new MultiLineString(joined), tailStyle(person)),
      ...circle,
      ...playheadStyles(person, isKnown).map((style) => styled(new Point(point.place), style)),
    ];
  }

  return { layer, show };
}

/** Of points in order of time the place of the last one that is not after an instant; -1 before the first. */
export function lastAt(points, at_ms) {
  let [low, high] = [0, points.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle].at_ms <= at_ms) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** How far apart the last positions of two people are, in words; nothing where one of them is too old. */
export function apartWords(one, other) {
  if (!one.isKnown || !other.isKnown) return '';
  const { east, north } = metresPerDegree(one.point.lat_deg);
  const apart_m = Math.hypot((one.point.lon_deg - other.point.lon_deg) * east, (one.point.lat_deg - other.point.lat_deg) * north);
  const exact_m = Math.round((one.point.radius_m ?? 0) + (other.point.radius_m ?? 0));
  return `Their last positions are ${distanceOf(apart_m)} apart, to within ${exact_m} m.`;
}

/** What is known at an instant, in words. */
export function knownWords({ point, age_ms, isKnown }, count) {
  if (!point) return 'No position yet.';
  if (!isKnown) return `No position for ${lengthOf(age_ms)}. Where the person was is not known.`;
  const within = point.radius_m === null ? '' : `, accurate to ${Math.round(point.radius_m)} m`;
  return `Last position ${age_ms < 1000 ? 'now' : `${lengthOf(age_ms)} ago`}: point ${point.n} of ${count}${within}.`;
}
