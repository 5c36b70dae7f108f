// What the signs on the map mean, in words beside small drawings.
import { drawing, element } from './dom.js';
import { HEAT_STEPS } from './heat.js';
import { FINDING_COLOUR, INK, NO_VERDICT_COLOUR, VERDICT_COLOURS, ZONE_COLOURS, colourOfPerson } from './symbols.js';
import { MECHANISMS } from './words.js';

const round = (fill) => ['circle', { cx: 12, cy: 12, r: 6, fill, stroke: INK, 'stroke-width': 1.5 }];
const corners = (points) => ['polygon', { points, fill: NO_VERDICT_COLOUR, stroke: INK, 'stroke-width': 1.5 }];
const line = (more) => ['path', { d: 'M1 12h22', fill: 'none', stroke: INK, 'stroke-width': 2, ...more }];
const box = (kind, d) => [
  ['rect', { x: 2, y: 4, width: 20, height: 16, fill: 'none', stroke: ZONE_COLOURS[kind], 'stroke-width': 2 }],
  ['path', { d, fill: 'none', stroke: ZONE_COLOURS[kind], 'stroke-width': 1.5, 'stroke-linecap': 'round' }],
];

const SIGNS = [
  ['Exclusion zone', ...box('EXCLUSION', 'M3 12l8-8M4 20l16-16M13 20l8-8')],
  ['Inclusion zone', ...box('INCLUSION', 'M7 9h.1M12 9h.1M17 9h.1M7 15h.1M12 15h.1M17 15h.1')],
  ['Curfew place', ...box('CURFEW', 'M2 9h20M2 15h20M9 4v16M15 4v16')],
  ['Edge of a buffer, or of a zone that is widened', line({ 'stroke-dasharray': '6 4' })],
  ['Trail', line(), ['path', { d: 'M10 7l8 5l-8 5z', fill: INK }]],
  ['No points for a long time', line({ 'stroke-dasharray': '0.1 5', 'stroke-linecap': 'round', 'stroke-width': 3 })],
  [MECHANISMS.GPS, round(NO_VERDICT_COLOUR)],
  [MECHANISMS.WIFI, corners('6,6 18,6 18,18 6,18')],
  [MECHANISMS.LBS, corners('12,4 20,18 4,18')],
  [MECHANISMS.RF, corners('12,4 20,12 12,20 4,12')],
  ['Inside', round(VERDICT_COLOURS.INSIDE)],
  ['Outside', round(VERDICT_COLOURS.OUTSIDE)],
  ['Could not tell', round(VERDICT_COLOURS.UNKNOWN)],
  ['Not evidence', round('#ffffff'), ['path', { d: 'M8 8l8 8M16 8l-8 8', stroke: INK, 'stroke-width': 1.5 }]],
  ['In the finding', round(NO_VERDICT_COLOUR), ['circle', { cx: 12, cy: 12, r: 9.5, fill: 'none', stroke: FINDING_COLOUR, 'stroke-width': 3 }]],
];

const SIGNS_OF_PLAYBACK = [
  ['Playback: the last position', ['circle', { cx: 12, cy: 12, r: 7, fill: colourOfPerson(0), stroke: INK, 'stroke-width': 2 }]],
  ['Playback: too long ago to say where', ['circle', { cx: 12, cy: 12, r: 7, fill: '#ffffff', stroke: colourOfPerson(0), 'stroke-width': 3 }]],
  ['A finding begins', ['polygon', { points: '4,4 20,4 12,19', fill: FINDING_COLOUR, stroke: INK, 'stroke-width': 1.5 }]],
  ['Stop: a place as wide as it is known', ['circle', { cx: 12, cy: 12, r: 9, fill: 'none', stroke: '#4a1456', 'stroke-width': 3 }]],
  ...HEAT_STEPS.map(([, colour, meaning]) => [`Time spent: ${meaning}`, ['rect', { x: 3, y: 3, width: 18, height: 18, fill: colour }]]),
  ['Playback: the last half hour', ['path', { d: 'M1 12h22', stroke: colourOfPerson(0), 'stroke-width': 4 }]],
];

const signsOfSecond = (name) => [
  [`${name}: a position`, ['polygon', { points: '12,3 14.5,9.2 21,9.6 16,13.8 17.6,20.2 12,16.6 6.4,20.2 8,13.8 3,9.6 9.5,9.2', fill: colourOfPerson(1) }]],
  [`${name}: trail`, ['path', { d: 'M1 12h22', stroke: colourOfPerson(1), 'stroke-width': 2.5, 'stroke-dasharray': '9 3' }]],
  [`${name}: the last position in playback`, ['polygon', { points: '12,3 21,12 12,21 3,12', fill: colourOfPerson(1), stroke: INK, 'stroke-width': 2 }]],
];

/** `plays`: whether there is playback; `second`: the name of the second of two people. */
export function legend(plays, second) {
  const signs = [...SIGNS, ...(plays ? SIGNS_OF_PLAYBACK : []), ...(second ? signsOfSecond(second) : [])];
  return element('details', { class: 'govuk-details emtrack-map__legend' },
    element('summary', { class: 'govuk-details__summary' }, element('span', { class: 'govuk-details__summary-text' }, 'Key')),
    element('div', { class: 'govuk-details__text' },
      element('ul', { class: 'govuk-list' }, ...signs.map(([meaning, ...shapes]) => element('li', {}, sign(shapes), meaning)))));
}

function sign(shapes) {
  return drawing('svg', { viewBox: '0 0 24 24', width: 24, height: 24, 'aria-hidden': 'true', focusable: 'false' },
    ...shapes.map(([tag, attributes]) => drawing(tag, attributes)));
}
