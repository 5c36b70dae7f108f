// The layers of the map, from the ground up.
import {
  CircleGeometry, Feature, Graticule, LineString, MultiLineString, MultiPolygon, Point, VectorImageLayer, VectorLayer, VectorSource,
  boundingExtent, containsCoordinate, createEmpty, extend, fromLonLat,
} from '../vendor/ol.js';
import { mapUnitsPerMetre } from './geodesy.js';
import { bufferLines, polygonsOf } from './outlines.js';
import {
  GRID_STROKE, arrowStyle, bufferStyle, chosenRadiusStyle, chosenStyles, gapStyle, gridLabel, numberStyle, pointStyles,
  radiusStyleAt, trailStyle, zoneLabelStyle, zoneStyle,
} from './symbols.js';
import { arrowsAlong, trailLines } from './trail.js';

const MANY_POINTS = 3_000;
const PICTURE_RATIO = 1.6;
const MOST_NUMBERS = 1_500;
const GRID_STEPS_DEG = [10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001, 0.00005];

/** Layers with the ground to draw on. None yet: the grid is enough to read distances and directions. */
export function baseLayers(_config) {
  return [];
}

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

const vectors = (features, options) => new VectorLayer({ source: new VectorSource({ features }), ...options });

/**
 * Where there are many points, a picture of the layer is moved while the map moves, and made anew when it rests: with
 * 15,000 points in view a frame takes 17 ms so, and 130 ms with each point drawn in each frame (Chromium, no GPU).
 */
function manyVectors(features, count, options) {
  if (count <= MANY_POINTS) return vectors(features, options);
  return new VectorImageLayer({ source: new VectorSource({ features }), imageRatio: PICTURE_RATIO, ...options });
}

// ---- zones

/** {areas, buffers, labels} */
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
  return { areas: vectors(areas), buffers: vectors(buffers), labels: vectors(labels) };
}

const projected = (line) => line.map((place) => fromLonLat(place));

function styled(geometry, style) {
  const feature = new Feature(geometry);
  feature.setStyle(style);
  return feature;
}

// ---- trail

export function trailLayers(points, max_gap_s) {
  const { joined, gaps } = trailLines(points.filter(({ is_evidence }) => is_evidence), max_gap_s);
  const arrows = vectors([]);
  const follow = (map) => {
    const extent = map.getView().calculateExtent();
    const found = arrowsAlong(joined, map.getView().getResolution(), (place) => containsCoordinate(extent, place));
    arrows.getSource().clear(true);
    arrows.getSource().addFeatures(found.map(({ place, rotation }) => styled(new Point(place), arrowStyle(rotation))));
  };
  const lines = [...joined.map((line) => [line, trailStyle]), ...gaps.map((line) => [line, gapStyle])];
  const trail = manyVectors(lines.map(([line, style]) => styled(new LineString(line), style)), points.length);
  return { layers: [trail, arrows], follow, gaps: gaps.length };
}

// ---- points

export function radiiLayer(points) {
  const features = points.filter(({ radius_m }) => radius_m > 0).map((point) => feature(point, radiusCircle(point)));
  return manyVectors(features, points.length, { style: radiusStyleAt });
}

const radiusCircle = ({ place, radius_m, lat_deg }) => new CircleGeometry(place, radius_m * mapUnitsPerMetre(lat_deg));

function feature(point, geometry) {
  const made = new Feature(geometry);
  made.point = point;
  return made;
}

export function pointsLayer(points) {
  const styleOf = pointStyles(points.length > MANY_POINTS ? 4 : 5.5);
  const features = points.map((point) => feature(point, new Point(point.place)));
  // What matters more lies on top: the finding over the evidence, the evidence over the rest.
  const weight = ({ in_finding, is_evidence }) => (in_finding ? 2 : is_evidence ? 1 : 0);
  features.sort((one, other) => weight(one.point) - weight(other.point));
  return manyVectors(features, points.length, { style: ({ point }) => styleOf(point) });
}

/** Numbers beside the points, as many as can be read: those that would lie over others are left out. */
export function numbersLayer(points) {
  const step = Math.ceil(points.length / MOST_NUMBERS);
  const numbered = points.filter((point, index) => index % step === 0 || point.in_finding);
  return vectors(numbered.map((point) => feature(point, new Point(point.place))), { declutter: true, style: ({ point }) => numberStyle(point.n) });
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

/** The features of a layer that pass, in place of all: a layer draws only what its source holds. */
export function filterable(layer) {
  const all = layer.getSource().getFeatures();
  return (passes) => {
    layer.getSource().clear(true);
    layer.getSource().addFeatures(all.filter(({ point }) => passes(point)));
  };
}

/** All zones and all evidence: a fix at (0, 0) or a jump would make a town a dot. */
export function wholeExtent({ areas, buffers }, sent) {
  const evidence = sent.filter(({ is_evidence }) => is_evidence);
  const points = evidence.length ? evidence : sent;
  const zoned = [areas, buffers].map((layer) => layer.getSource().getExtent());
  return [...zoned, boundingExtent(points.map(({ place }) => place))].reduce(extend, createEmpty());
}
