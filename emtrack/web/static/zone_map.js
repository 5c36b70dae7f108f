// The map of the page “What if?” on which a zone is drawn; what is drawn goes into the fields of the form, which need no map.
import { groundFile } from './map/ground_file.js';

const CLOSE = 14;
const geojson = document.getElementById('geojson');
const circle = ['lat', 'lon', 'radius'].map((name) => document.getElementById(name));
const details = document.getElementById('zone-drawing');

function cornersOf(text) {
  try {
    const { type, coordinates } = JSON.parse(text);
    return type === 'Polygon' && coordinates.length === 1 ? coordinates[0].slice(0, -1) : [];
  } catch {
    return [];
  }
}

function written(corners) {
  geojson.value = corners.length < 3 ? '' : JSON.stringify({ type: 'Polygon', coordinates: [[...corners, corners[0]]] });
  if (geojson.value) for (const field of circle) field.value = '';
}

function middle([lon, lat]) {
  geojson.value = '';
  [circle[0].value, circle[1].value] = [lat, lon];
  circle[2].focus();
}

async function draw() {
  const place = document.getElementById('zone-map');
  if (place.dataset.ready) return;
  place.dataset.ready = 'false';
  const { zoneDrawing } = await import('./map/zone_drawing.js'); // a map is much to fetch for who enters a circle
  const { show } = zoneDrawing(place, await groundFile(), cornersOf(geojson.value), written, middle);
  const [lat, lon] = [Number(circle[0].value), Number(circle[1].value)];
  if (lat && lon) show(lon, lat, CLOSE);
}

details.addEventListener('toggle', () => { if (details.open) draw(); });
