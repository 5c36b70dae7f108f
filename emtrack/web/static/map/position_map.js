// One map: its data, what is chosen and what is shown.
import {
  DragPan, Map as OpenLayersMap, MouseWheelZoom, ScaleLine, View, containsCoordinate, defaultInteractions, isEmpty,
} from '../vendor/ol.js';
import { pointCard } from './card.js';
import { layerChoices, mechanismChoices } from './choices.js';
import { element, freshId, replaceContent } from './dom.js';
import { onMap } from './geodesy.js';
import {
  baseLayers, chosenLayer, filterable, gridLayer, numbersLayer, pointsLayer, radiiLayer, trailLayers, wholeExtent, zoneLayers,
} from './layers.js';
import { legend } from './legend.js';
import { tableRows } from './rows.js';

const GREAT_BRITAIN = [onMap(-8.2, 49.9), onMap(1.8, 60.9)].flat();
const FIT = { padding: [48, 36, 56, 36], maxZoom: 18 };
const CLOSEST_ZOOM = 22;
const REACH_PX = 14;
const MOST_NUMBERED_AT_FIRST = 60;

/** Draws `data` into the element `place`, and marks it ready when the first picture is complete. */
export async function positionMap(place, { zones = [], zones_left_out = 0, points: sent = [], max_gap_s, ...config }) {
  const points = sent.map((point) => ({ ...point, at_ms: Date.parse(point.at), place: onMap(point.lon_deg, point.lat_deg) }));
  const shown = { radii: true, trail: true, numbers: points.length <= MOST_NUMBERED_AT_FIRST, notEvidence: true, hiddenMechanisms: new Set() };
  const parts = layersOf(zones, points, max_gap_s, config);
  const screen = screenOf(place);
  const map = mapOn(screen.viewport, parts.all);
  const fit = () => map.getView().fit(isEmpty(parts.extent) ? GREAT_BRITAIN : parts.extent, FIT);

  const reader = pointReader(points, shown, (point, visible) => {
    parts.chosen.show(point);
    mark(point.n);
    card.show(point, possibleSteps(visible, point));
    bringIntoView(map, point.place);
  });
  const card = pointCard(reader, points.length);
  const mark = tableRows(place.id, (n) => reader.chooseNumber(n));
  const refresh = () => {
    parts.show(shown);
    card.show(null, possibleSteps(reader.visible(), reader.chosen()));
  };

  screen.fill(mapButtons(map, fit), card.section, [layerChoices(shown, refresh), mechanismChoices(points, shown, refresh), ...leftOut(zones_left_out), legend()], points.length + zones.length > 0);
  map.updateSize();
  fit();
  refresh();
  map.on('click', ({ coordinate }) => reader.chooseNear(parts.points.getSource(), coordinate, map.getView().getResolution() * REACH_PX));
  map.on('moveend', () => parts.trail.follow(map));
  await new Promise((drawn) => { map.once('rendercomplete', drawn); });
  Object.assign(place.dataset, { points: points.length, zones: zones.length, gaps: parts.trail.gaps, ready: 'true' });
}

function leftOut(zones_left_out) {
  if (zones_left_out === 0) return [];
  return [element('p', { class: 'govuk-body-s emtrack-map__left-out' }, `${zones_left_out} more zones lie near and are not drawn.`)];
}

function layersOf(zones, points, max_gap_s, config) {
  const zoned = zoneLayers(zones);
  const trail = trailLayers(points, max_gap_s);
  const [radii, symbols, numbers] = [radiiLayer(points), pointsLayer(points), numbersLayer(points)];
  const filters = [radii, symbols, numbers].map(filterable);
  const chosen = chosenLayer();
  return {
    all: [
      ...baseLayers(config), gridLayer(), zoned.areas, zoned.buffers, radii, ...trail.layers, symbols, numbers, zoned.labels, chosen.layer,
    ],
    extent: wholeExtent(zoned, points),
    points: symbols,
    trail,
    chosen,
    show(shown) {
      for (const layer of trail.layers) layer.setVisible(shown.trail);
      radii.setVisible(shown.radii);
      numbers.setVisible(shown.numbers);
      for (const filter of filters) filter((point) => isShown(point, shown));
    },
  };
}

function isShown({ is_evidence, mechanism }, shown) {
  return (is_evidence || shown.notEvidence) && !shown.hiddenMechanisms.has(mechanism);
}

function mapOn(viewport, layers) {
  return new OpenLayersMap({
    target: viewport,
    layers,
    controls: [new ScaleLine({ minWidth: 80 })],
    interactions: interactions(viewport),
    view: new View({ center: [0, 0], zoom: 5, maxZoom: CLOSEST_ZOOM, enableRotation: false }),
  });
}

/** The wheel and the finger scroll the page until somebody goes into the map; the mouse drags it at once. */
function interactions(viewport) {
  const isEntered = () => viewport.contains(document.activeElement);
  const mayDrag = ({ originalEvent: { button, pointerType, shiftKey } }) =>
    button === 0 && !shiftKey && (pointerType === 'mouse' || isEntered()); // with Shift a box is drawn, to zoom to
  const others = { altShiftDragRotate: false, pinchRotate: false, dragPan: false, mouseWheelZoom: false, zoomDuration: 0 };
  return defaultInteractions(others).extend([new DragPan({ condition: mayDrag }), new MouseWheelZoom({ condition: isEntered })]);
}

// ---- the screen

function screenOf(place) {
  const keys = freshId('keys');
  const name = place.dataset.label ?? 'Map';
  const viewport = element('div', { class: 'emtrack-map__viewport', tabindex: 0, role: 'application', 'aria-label': name, 'aria-describedby': keys });
  const help = element('p', { class: 'govuk-visually-hidden', id: keys },
    'The arrow keys move the map, plus and minus zoom. The buttons under “Point” read the points one by one.');
  place.removeAttribute('tabindex'); // the viewport inside is what takes the keys
  place.setAttribute('role', 'region');
  place.setAttribute('aria-label', name);

  function fill(buttons, card, choices, isAnythingDrawn) {
    const nothing = element('p', { class: 'govuk-body emtrack-map__nothing', role: 'status' }, 'There is nothing to draw here: no points and no zones.');
    replaceContent(place, element('div', { class: 'emtrack-map__layout' },
      element('div', { class: 'emtrack-map__frame' }, help, buttons, viewport, ...(isAnythingDrawn ? [] : [nothing])),
      card,
      element('div', { class: 'emtrack-map__choices' }, ...choices)));
  }

  return { viewport, fill };
}

function mapButtons(map, fit) {
  const zoomBy = (steps) => () => map.getView().setZoom(map.getView().getZoom() + steps);
  return element('div', { class: 'emtrack-map__buttons', role: 'group', 'aria-label': 'Map' },
    mapButton('zoom-in', '+', 'Zoom in', zoomBy(1)),
    mapButton('zoom-out', '−', 'Zoom out', zoomBy(-1)),
    mapButton('fit', 'Fit', 'Fit: show all evidence and zones', fit));
}

function mapButton(does, sign, name, action) {
  const button = element('button', { type: 'button', class: 'emtrack-map__button', 'aria-label': name, title: name, 'data-does': does }, sign);
  button.addEventListener('click', action);
  return button;
}

function bringIntoView(map, place) {
  const view = map.getView();
  const [width, height] = map.getSize();
  const inner = view.calculateExtent([Math.max(1, width - 80), Math.max(1, height - 80)]);
  if (!containsCoordinate(inner, place)) view.setCenter(place);
}

// ---- the choice

/** Which point is read, and the steps from it: over the points that are shown, in the order of the record. */
function pointReader(points, shown, onChoose) {
  let chosen = null;
  const visible = () => points.filter((point) => isShown(point, shown));

  function choose(point) {
    if (!point) return;
    chosen = point;
    onChoose(point, visible());
  }

  return {
    chosen: () => chosen,
    visible,
    step: (to) => choose(stepped(visible(), chosen, to)),
    chooseNumber: (n) => choose(points.find((point) => point.n === n)),
    chooseNear(source, coordinate, reach) {
      const nearest = source.getClosestFeatureToCoordinate(coordinate);
      const [x, y] = nearest?.point.place ?? [Infinity, Infinity];
      if (Math.hypot(x - coordinate[0], y - coordinate[1]) <= reach) choose(nearest.point);
    },
  };
}

function stepped(visible, chosen, to) {
  if (to === 'first' || (to === 'next' && !chosen)) return visible[0];
  if (to === 'last') return visible.at(-1);
  if (to === 'next') return visible.find(({ n }) => n > chosen.n);
  return chosen && visible.findLast(({ n }) => n < chosen.n);
}

function possibleSteps(visible, chosen) {
  return ['first', 'previous', 'next', 'last'].filter((to) => (stepped(visible, chosen, to) ?? chosen) !== chosen);
}
