// Where the edge of a zone and the edge of its buffer run, as [lon, lat].
import { RBush } from '../vendor/ol.js';
import { circleRing, metresPerDegree } from './geodesy.js';

const ARC_STEP = Math.PI / 36;
const MOST_STEPS_OF_AN_EDGE = 2_000;

/** The polygons of a zone's geometry, each a list of rings. */
export function polygonsOf(geometry) {
  if (geometry.type === 'Circle') return [[circleRing(geometry.centre, geometry.radius_m)]];
  if (geometry.type === 'Polygon') return [geometry.coordinates];
  if (geometry.type === 'MultiPolygon') return geometry.coordinates;
  return [];
}

/** The lines that lie `buffer_m` outside a zone. */
export function bufferLines(geometry, buffer_m) {
  if (!(buffer_m > 0)) return [];
  if (geometry.type === 'Circle') return [circleRing(geometry.centre, geometry.radius_m + buffer_m)];
  const polygons = polygonsOf(geometry);
  if (polygons.length === 0) return [];
  const plane = planeAt(polygons[0][0][0]);
  const rings = polygons.flatMap((polygon) => polygon.map((ring, index) => oriented(ring.map(plane.metres), index === 0)));
  return offsetLines(rings, buffer_m).map((line) => line.map(plane.degrees));
}

/** A flat plane of metres, good for the extent of a zone. */
function planeAt([lon_deg, lat_deg]) {
  const { east, north } = metresPerDegree(lat_deg);
  return {
    metres: ([lon, lat]) => [(lon - lon_deg) * east, (lat - lat_deg) * north],
    degrees: ([x, y]) => [lon_deg + x / east, lat_deg + y / north],
  };
}

/** The ring without repeated corners, with the outside of the zone on the right of each edge. */
function oriented(ring, isOuter) {
  const corners = ring.filter(([x, y], index) => index === 0 || x !== ring[index - 1][0] || y !== ring[index - 1][1]);
  const doubled = corners.slice(1).reduce((sum, [x, y], index) => sum + corners[index][0] * y - x * corners[index][1], 0);
  return doubled > 0 === isOuter ? corners : corners.reverse();
}

/**
 * Every edge is moved outwards and the gaps at the corners are filled with arcs. What then comes nearer than
 * `distance_m` to any edge is left out: that also leaves out what crossed into the zone, since the edge it crossed
 * is nearer than the way it came.
 */
function offsetLines(rings, distance_m) {
  const edges = rings.flatMap((ring) => ring.slice(1).map((end, index) => [ring[index], end]));
  const index = new RBush();
  index.load(edges.map(extentOf), edges);
  const isClear = (point) => !isNearer(index, point, distance_m * (1 - 1e-6));
  return rings.flatMap((ring) => runs(movedRing(ring, distance_m), isClear));
}

function extentOf([[ax, ay], [bx, by]]) {
  return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
}

function isNearer(index, [x, y], distance_m) {
  const near = [x - distance_m, y - distance_m, x + distance_m, y + distance_m];
  return index.getInExtent(near).some((edge) => distance_2(edge, x, y) < distance_m ** 2);
}

function distance_2([[ax, ay], [bx, by]], x, y) {
  const [dx, dy] = [bx - ax, by - ay];
  const along = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)));
  return (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2;
}

function movedRing(ring, distance_m) {
  return ring.slice(1).flatMap((end, index) => {
    const start = ring[index];
    const next = ring[index + 2] ?? ring[1];
    return [...movedEdge(start, end, distance_m), ...arc(start, end, next, distance_m)];
  });
}

function movedEdge([ax, ay], [bx, by], distance_m) {
  const length_m = Math.hypot(bx - ax, by - ay);
  const steps = Math.min(MOST_STEPS_OF_AN_EDGE, Math.ceil((length_m / distance_m) * 10));
  const [right_x, right_y] = [((by - ay) / length_m) * distance_m, (-(bx - ax) / length_m) * distance_m];
  return Array.from({ length: steps + 1 }, (_, step) =>
    [ax + ((bx - ax) * step) / steps + right_x, ay + ((by - ay) * step) / steps + right_y]);
}

function arc([ax, ay], [x, y], [cx, cy], distance_m) {
  const first = Math.atan2(y - ay, x - ax) - Math.PI / 2;
  const turn = Math.atan2(cy - y, cx - x) - Math.PI / 2 - first;
  const left = ((turn % (2 * Math.PI)) + 2 * Math.PI) % (2 * Math.PI);
  if (left >= Math.PI) return []; // a corner that points into the zone: nothing to fill
  const steps = Math.ceil(left / ARC_STEP);
  return Array.from({ length: steps }, (_, step) => {
    const angle = first + (left * (step + 1)) / steps;
    return [x + distance_m * Math.cos(angle), y + distance_m * Math.sin(angle)];
  });
}

/** The parts of a closed line whose points pass, each as long as it can be: dashes begin anew with each line. */
function runs(points, passes) {
  const passed = points.map(passes);
  const gap = passed.indexOf(false);
  if (gap < 0) return points.length > 1 ? [[...points, points[0]]] : [];
  const lines = [];
  let line = [];
  for (let step = 1; step <= points.length; step += 1) {
    const at = (gap + step) % points.length;
    if (passed[at]) line.push(points[at]);
    else {
      if (line.length > 1) lines.push(line);
      line = [];
    }
  }
  return lines;
}
