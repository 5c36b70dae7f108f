// Drawing a zone: corners one after the other, by a click or, without a mouse, under the cross in the middle of the map.
import { Feature, Fill, LineString, MultiPolygon, Point, RegularShape, Stroke, Style, VectorLayer, VectorSource } from '../vendor/ol.js';
import { element, replaceContent } from './dom.js';
import { FIT, GREAT_BRITAIN, groundWords, mapButtons, mapOn } from './frame.js';
import { areaOf, onEarth, onMap } from './geodesy.js';
import { groundLayers } from './ground.js';

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const [STEP_PX, FINE_PX] = [64, 8];
const MOST_CORNERS = 200;
const DIGITS = 6; // a tenth of a metre
const EDGE = new Stroke({ color: '#d4351c', width: 2 });
const ZONE = new Style({ fill: new Fill({ color: 'rgba(212, 53, 28, 0.15)' }), stroke: EDGE });
const LINE = new Style({ stroke: EDGE });
const CORNER = new Style({ image: new RegularShape({ points: 4, radius: 6, angle: Math.PI / 4, fill: new Fill({ color: '#ffffff' }), stroke: EDGE }) });

/** Draws into `place`. `first`: corners as [lon, lat]. `onChange`: is given the corners after each change. `onMiddle`: the [lon, lat]
 * under the cross, when somebody takes it for a circle. */
export function zoneDrawing(place, file, first, onChange, onMiddle) {
  let corners = first.slice(0, MOST_CORNERS);
  const source = new VectorSource();
  const viewport = element('div', { class: 'emtrack-map__viewport', tabindex: 0, role: 'application', 'aria-label': 'Map to draw a zone on', 'aria-describedby': 'zone-map-keys' });
  const cross = element('div', { class: 'emtrack-map__cross', 'aria-hidden': 'true' });
  const ground = element('p', { class: 'emtrack-map__attribution' }, groundWords(file));
  const told = element('p', { class: 'govuk-body-s', role: 'status', id: 'zone-map-told' });
  const buttons = actions({ 'Put a corner under the cross': putMiddle, 'Take the last corner back': takeBack, 'Begin anew': clear, 'Take the cross as the middle of a circle': () => onMiddle(rounded(middle())) });
  const zoomBy = (steps) => map.getView().setZoom(map.getView().getZoom() + steps);
  replaceContent(place,
    element('div', { class: 'emtrack-map__frame' }, mapButtons(zoomBy, fit, 'Fit: show the whole zone'), viewport, cross, ground),
    told, buttons);
  const map = mapOn(viewport, [...groundLayers(file, () => { ground.textContent = 'The map under the zone could not be loaded.'; }), new VectorLayer({ source })]);
  viewport.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') putMiddle();
    else if (event.key === 'Backspace') takeBack();
    else if (event.key in STEPS) step(STEPS[event.key], event.shiftKey ? FINE_PX : STEP_PX);
    else return;
    event.preventDefault();
    event.stopImmediatePropagation(); // the map would glide there, and a corner come on the way
  }, true);
  map.on('click', ({ coordinate }) => put(rounded(onEarth(coordinate))));

  const middle = () => onEarth(map.getView().getCenter());

  function step([across, up], length_px) {
    const length = map.getView().getResolution() * length_px;
    map.getView().adjustCenter([across * length, up * length]);
  }

  function putMiddle() { put(rounded(middle())); }

  function put(corner) {
    if (corners.length < MOST_CORNERS) change([...corners, corner]);
  }

  function takeBack() { change(corners.slice(0, -1)); }

  function clear() { change([]); }

  function change(then) {
    corners = then;
    draw();
    onChange(corners);
  }

  function draw() {
    const places = corners.map(([lon, lat]) => onMap(lon, lat));
    source.clear();
    if (places.length > 2) source.addFeature(styled(new MultiPolygon([[[...places, places[0]]]]), ZONE));
    else if (places.length === 2) source.addFeature(styled(new LineString(places), LINE));
    for (const corner of places) source.addFeature(styled(new Point(corner), CORNER));
    told.textContent = wordsOf(corners);
    place.dataset.corners = corners.length;
  }

  function fit() {
    map.getView().fit(corners.length ? source.getExtent() : file && !file.is_outline ? [onMap(file.bounds[0], file.bounds[1]), onMap(file.bounds[2], file.bounds[3])].flat() : GREAT_BRITAIN, FIT);
  }

  draw();
  fit();
  place.dataset.ready = 'true';
  return { show: (lon, lat, zoom) => { map.getView().setCenter(onMap(lon, lat)); map.getView().setZoom(zoom); } };
}

const rounded = (place) => place.map((degrees) => Number(degrees.toFixed(DIGITS)));

function styled(geometry, style) {
  const feature = new Feature(geometry);
  feature.setStyle(style);
  return feature;
}

function actions(named) {
  return element('div', { class: 'emtrack-map__steps', role: 'group', 'aria-label': 'The zone' }, ...Object.entries(named).map(([name, act]) => {
    const button = element('button', { type: 'button', class: 'govuk-button govuk-button--secondary' }, name);
    button.addEventListener('click', act);
    return button;
  }));
}

function wordsOf(corners) {
  if (corners.length === 0) return 'No corner yet. Click on the map, or move it by the arrow keys and press Enter: the cross is where a corner comes.';
  if (corners.length < 3) return `${corners.length} of at least 3 corners.`;
  const area = areaOf(corners);
  return `${corners.length} corners, about ${area < 100_000 ? `${Math.round(area).toLocaleString('en-GB')} m²` : `${(area / 1e6).toFixed(2)} km²`}. It stands below as GeoJSON.`;
}
