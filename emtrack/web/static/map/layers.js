// The layers of the map over its ground and under its positions, and what is chosen.
import {
  CircleGeometry, Feature, Graticule, MultiLineString, MultiPolygon, Point, Style, VectorLayer, VectorSource, boundingExtent, createEmpty, extend,
  fromLonLat,
} from '../vendor/ol.js';
import { mapUnitsPerMetre } from './geodesy.js';
import { bufferLines, polygonsOf } from './outlines.js';
import { GRID_STROKE, bufferStyle, chosenRadiusStyle, chosenStyles, findingStyle, gridLabel, numberStyle, restingZoneStyle, stopRingStyle, stopStyle, zoneLabelStyle, zoneStyle } from './symbols.js';
import { lengthOf } from './words.js';

const MOST_NUMBERS = 1_500;
const GRID_STEPS_DEG = [10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001, 0.00005];

export function gridLayer() {
  return new Graticule({
    intervals: GRID_STEPS_DEG,
    lonLabelFormatter: (lon_deg) => degrees(lon_deg, 'E', 'W'),
    latLabelFormatter: (lat_deg) => degrees(lat_deg, 'N', 'S'),
    lonLabelStyle: gridLabel({ textBaseline: 'bottom' }),
    latLabelStyle: gridLabel({ textAlign: 'end' }),
    showLabels: true,
    strokeStyle: GRID_STROKE,
    targetSize: 120,
    wrapX: false,
  });
}

function degrees(value, positive, negative) {
  return `${Number(Math.abs(value).toFixed(5))}° ${value < 0 ? negative : positive}`;
}

export const vectors = (features, options) => new VectorLayer({ source: new VectorSource({ features }), ...options });

// ---- zones

/** {areas, buffers, labels, at} */
export function zoneLayers(zones) {
  const areas = zones.map(({ geometry, kind }) =>
    styled(new MultiPolygon(polygonsOf(geometry).map((polygon) => polygon.map(projected))), zoneStyle(kind)));
  const buffers = zones.map(({ geometry, widen_m = 0, buffer_m, kind }) => {
    // The zone as wide as it is judged, and the buffer round that.
    const lines = [widen_m, buffer_m > 0 ? widen_m + buffer_m : 0].flatMap((distance_m) => bufferLines(geometry, distance_m));
    return styled(new MultiLineString(lines.map(projected)), bufferStyle(kind));
  });
  const labels = zones.map(({ label, kind }, index) => {
    const [west, , east, north] = [areas[index], buffers[index]].map((each) => each.getGeometry().getExtent()).reduce(extend, createEmpty());
    return styled(new Point([(west + east) / 2, north]), zoneLabelStyle({ label, kind, width: east - west }));
  });
  const full = zones.map((_, index) => [areas, buffers, labels].map((each) => each[index].getStyle()));

  /** Zones as they were at an instant: filled where they obliged, an outline where they were in force, else nothing. */
  let states = '';
  function at(at_ms) {
    const now = zones.map((zone) => stateAt(zone, at_ms));
    if (now.join() === states) return;
    states = now.join();
    now.forEach((state, index) => {
      const [area, buffer, label] = state === 'none' ? [NOTHING, NOTHING, NOTHING] : full[index];
      areas[index].setStyle(state === 'in force' ? restingZoneStyle(zones[index].kind) : area);
      buffers[index].setStyle(buffer);
      labels[index].setStyle(label);
    });
  }

  return { areas: vectors(areas), buffers: vectors(buffers), labels: vectors(labels), at };
}

const NOTHING = new Style({});

/** `periods`: in which a zone obliges; a map that is of no time has none. */
export function stateAt({ from_ms, to_ms, periods }, at_ms) {
  if (periods === undefined) return 'obliges';
  if (at_ms < from_ms || at_ms >= to_ms) return 'none';
  return periods.some(([begin_ms, end_ms]) => begin_ms <= at_ms && at_ms < end_ms) ? 'obliges' : 'in force';
}

const projected = (line) => line.map((place) => fromLonLat(place));

export function styled(geometry, style) {
  const feature = new Feature(geometry);
  feature.setStyle(style);
  return feature;
}

// ---- what is read of points

/** Numbers beside the points, as many as can be read: those that would lie over others are left out. Made when they are first shown. */
export function numbersLayer(points) {
  const layer = vectors([], { declutter: true, style: ({ point }) => numberStyle(point.n) });
  const show = (passes) => {
    const passed = points.filter(passes);
    const step = Math.ceil(passed.length / MOST_NUMBERS);
    const numbered = passed.filter((point, index) => index % step === 0 || point.in_finding);
    layer.getSource().clear(true);
    layer.getSource().addFeatures(numbered.map((point) => Object.assign(new Feature(new Point(point.place)), { point })));
  };
  return { layer, show };
}

export const radiusCircle = ({ place, radius_m, lat_deg }) => new CircleGeometry(place, radius_m * mapUnitsPerMetre(lat_deg));

/** {layer, show}. Places of stops: a ring as wide as the place is known to be, with its letter; one for each place, however often it was visited. */
export function stopsLayer() {
  const layer = vectors([], { declutter: 'stops' });
  const show = (stops) => layer.getSource().addFeatures(featuresOf(stops));
  return { layer, show };
}

function featuresOf(stops) {
  const places = new Map();
  for (const stop of stops) {
    const seen = places.get(stop.place);
    places.set(stop.place, { ...(seen ?? stop), stay_ms: (seen?.stay_ms ?? 0) + stop.end_ms - stop.begin_ms });
  }
  return [...places.values()].flatMap((place) => {
    const middle = fromLonLat([place.lon_deg, place.lat_deg]);
    return [
      styled(radiusCircle({ ...place, place: middle }), stopRingStyle(place.is_exact)),
      styled(new Point(middle), stopStyle(`${place.place} ${lengthOf(place.stay_ms)}`)),
    ];
  });
}

/** Where findings begin on the trail: at the last evidence before, or the first after. Those without a position have no place. */
export function findingsLayer(findings, trail) {
  const features = findings.flatMap(({ begin_ms, title, alert_no }) => {
    const before = trail.findLast(({ at_ms }) => at_ms <= begin_ms) ?? trail.find(({ at_ms }) => at_ms > begin_ms);
    if (!before) return [];
    return [styled(new Point(before.place), findingStyle(alert_no === null ? title : `${title} (alert ${alert_no})`))];
  });
  return vectors(features, { declutter: 'findings' });
}

export function chosenLayer() {
  const layer = vectors([]);
  const show = (point) => {
    layer.getSource().clear();
    const circle = point.radius_m > 0 ? [styled(radiusCircle(point), chosenRadiusStyle)] : [];
    layer.getSource().addFeatures([...circle, ...chosenStyles.map((style) => styled(new Point(point.place), style))]);
  };
  return { layer, show };
}

/** All zones and all evidence: a fix at (0, 0) or a jump would make a town a dot. */
export function wholeExtent({ areas, buffers }, sent) {
  const evidence = sent.filter(({ is_evidence }) => is_evidence);
  const points = evidence.length ? evidence : sent;
  const zoned = [areas, buffers].map((layer) => layer.getSource().getExtent());
  return [...zoned, boundingExtent(points.map(({ place }) => place))].reduce(extend, createEmpty());
}
