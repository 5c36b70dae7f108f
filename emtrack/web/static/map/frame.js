// What every map has: the map itself and how it is moved, its buttons, and whose ground it is.
import { DragPan, Map as OpenLayersMap, MouseWheelZoom, ScaleLine, View, defaultInteractions } from '../vendor/ol.js';
import { element } from './dom.js';
import { onMap } from './geodesy.js';

export const GREAT_BRITAIN = [onMap(-8.2, 49.9), onMap(1.8, 60.9)].flat();
export const FIT = { padding: [48, 36, 56, 36], maxZoom: 18 };
const CLOSEST_ZOOM = 22;

export function mapOn(viewport, layers) {
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

export function groundWords(file) {
  if (!file) return 'The map under the positions could not be loaded.';
  return [file.is_outline ? 'Outline of the country: no map with streets is set up.' : '', file.attribution ? `Map data: ${file.attribution}` : ''].filter(Boolean).join(' ');
}

/** `fitTitle`: what the third shows. */
export function mapButtons(zoom, fit, fitTitle = 'Fit: show all evidence and zones') {
  const zoomBy = (steps) => () => zoom(steps);
  return element('div', { class: 'emtrack-map__buttons', role: 'group', 'aria-label': 'Map' },
    mapButton('zoom-in', '+', 'Zoom in', zoomBy(1)),
    mapButton('zoom-out', '−', 'Zoom out', zoomBy(-1)),
    mapButton('fit', 'Fit', fitTitle, fit));
}

function mapButton(does, sign, name, action) {
  const button = element('button', { type: 'button', class: 'emtrack-map__button', 'aria-label': name, title: name, 'data-does': does }, sign);
  button.addEventListener('click', action);
  return button;
}
