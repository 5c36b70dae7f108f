// Metres on the ground, on the WGS 84 ellipsoid. Exact to centimetres over the few kilometres of a zone.
import { fromLonLat } from '../vendor/ol.js';

const EQUATOR_M = 6_378_137;
const ECCENTRICITY_2 = 0.006_694_379_990_14;
const DEGREE = Math.PI / 180;

/** Length in metres of one degree to the east and to the north at a latitude. */
export function metresPerDegree(lat_deg) {
  const narrowing = 1 - ECCENTRICITY_2 * Math.sin(lat_deg * DEGREE) ** 2;
  const east = (EQUATOR_M / Math.sqrt(narrowing)) * Math.cos(lat_deg * DEGREE) * DEGREE;
  const north = (EQUATOR_M * (1 - ECCENTRICITY_2)) / narrowing ** 1.5 * DEGREE;
  return { east, north };
}

/** The [lon, lat] that lies so many metres to the east and north. Degrees are measured half way: they shrink to the pole. */
export function moved([lon_deg, lat_deg], east_m, north_m) {
  const first_deg = lat_deg + north_m / metresPerDegree(lat_deg).north;
  const between = metresPerDegree((lat_deg + first_deg) / 2);
  return [lon_deg + east_m / between.east, lat_deg + north_m / between.north];
}

/** A closed ring of [lon, lat] round a centre. */
export function circleRing(centre, radius_m, corners = 128) {
  const ring = Array.from({ length: corners }, (_, corner) => {
    const bearing = (corner / corners) * 2 * Math.PI;
    return moved(centre, radius_m * Math.sin(bearing), radius_m * Math.cos(bearing));
  });
  return [...ring, ring[0]];
}

/** Units of the map's projection for a metre on the ground at a latitude: what a circle of some pixels needs. */
export function mapUnitsPerMetre(lat_deg) {
  const onMap = EQUATOR_M * DEGREE;
  const { east, north } = metresPerDegree(lat_deg);
  return (onMap / east + onMap / Math.cos(lat_deg * DEGREE) / north) / 2;
}

export const onMap = (lon_deg, lat_deg) => fromLonLat([lon_deg, lat_deg]);

/** The [lon, lat] of a place on the map. */
export const onEarth = ([x, y]) => [x / EQUATOR_M / DEGREE, (2 * Math.atan(Math.exp(y / EQUATOR_M)) - Math.PI / 2) / DEGREE];

/** Square metres within a ring of [lon, lat], as on a plane that touches the earth at its first corner. */
export function areaOf(ring) {
  const { east, north } = metresPerDegree(ring[0][1]);
  const at = ring.map(([lon, lat]) => [(lon - ring[0][0]) * east, (lat - ring[0][1]) * north]);
  const twice = at.reduce((sum, [x, y], corner) => {
    const [nextX, nextY] = at[(corner + 1) % at.length];
    return sum + x * nextY - nextX * y;
  }, 0);
  return Math.abs(twice) / 2;
}
