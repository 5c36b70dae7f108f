// How each thing looks. Nothing differs by colour alone: zones by pattern, mechanisms by shape, verdicts by how dark.
import { CircleSymbol, Fill, RegularShape, Stroke, Style, Text } from '../vendor/ol.js';
import { KINDS } from './words.js';

export const INK = '#0b0c0c';
export const ZONE_COLOURS = { EXCLUSION: '#942514', INCLUSION: '#005a30', CURFEW: '#4c2c92' };
export const VERDICT_COLOURS = { INSIDE: '#003078', OUTSIDE: '#8eb8dc', UNKNOWN: '#cecece' };
export const NO_VERDICT_COLOUR = '#1d70b8';
export const FINDING_COLOUR = '#f47738';
const FOCUS_COLOUR = '#ffdd00';
const TRAIL_COLOUR = '#383f43';
const NOT_EVIDENCE_COLOUR = '#505a5f';
const RADIUS_COLOUR = '29, 112, 184';
const SMALLEST_RADIUS_PX = 4;
const FONT = 'arial, helvetica, sans-serif';

// ---- zones

const PATTERN_PX = 12;
const SMALLEST_NAMED_ZONE_PX = 60;
const PATTERNS = {
  EXCLUSION: (pen) => lines(pen, [[-3, 3, 3, -3], [0, 12, 12, 0], [9, 15, 15, 9]]),
  INCLUSION: (pen) => { pen.beginPath(); pen.arc(6, 6, 1.4, 0, 2 * Math.PI); pen.fill(); },
  CURFEW: (pen) => lines(pen, [[0, 6, 12, 6], [6, 0, 6, 12]]),
};

function lines(pen, ends) {
  pen.beginPath();
  for (const [ax, ay, bx, by] of ends) { pen.moveTo(ax, ay); pen.lineTo(bx, by); }
  pen.stroke();
}

function pattern(kind) {
  const tile = document.createElement('canvas');
  tile.width = PATTERN_PX;
  tile.height = PATTERN_PX;
  const pen = tile.getContext('2d');
  const colour = colourOf(kind);
  pen.fillStyle = `${colour}14`;
  pen.fillRect(0, 0, PATTERN_PX, PATTERN_PX);
  pen.strokeStyle = pen.fillStyle = `${colour}66`;
  pen.lineWidth = 1.2;
  (PATTERNS[kind] ?? (() => {}))(pen);
  return pen.createPattern(tile, 'repeat');
}

const colourOf = (kind) => ZONE_COLOURS[kind] ?? INK;

export function zoneStyle(kind) {
  return new Style({ fill: new Fill({ color: pattern(kind) }), stroke: new Stroke({ color: colourOf(kind), width: 2.5 }) });
}

export function bufferStyle(kind) {
  return new Style({ stroke: new Stroke({ color: colourOf(kind), width: 2, lineDash: [8, 7] }) });
}

/** The label alone where the zone is small on the map, so that neighbours do not cover each other; else its kind too. */
export function zoneLabelStyle({ label, kind, width }) {
  const labelled = (text) => new Style({ text: haloed(text, `bold 14px ${FONT}`, colourOf(kind), { textBaseline: 'bottom', offsetY: -4 }) });
  const [short, long] = [labelled(label), labelled(`${label} ${KINDS[kind] ?? kind}`)];
  return (_, resolution) => (width / resolution < SMALLEST_NAMED_ZONE_PX ? short : long);
}

function haloed(text, font, colour, options) {
  const stroke = new Stroke({ color: '#ffffff', width: 4 });
  return new Text({ text, font, fill: new Fill({ color: colour }), stroke, ...options });
}

// ---- grid

export const GRID_STROKE = new Stroke({ color: 'rgba(11, 12, 12, 0.16)', width: 1 });
export const gridLabel = (options) => haloed('', `12px ${FONT}`, '#505a5f', options);

// ---- trail

export const trailStyle = new Style({ stroke: new Stroke({ color: TRAIL_COLOUR, width: 1.6 }) });
export const gapStyle = new Style({ stroke: new Stroke({ color: TRAIL_COLOUR, width: 2, lineDash: [1, 7], lineCap: 'round' }) });

const ARROW_TURNS = 72;
const arrowStyles = new Map();

/** One image for each of `ARROW_TURNS` directions: as many as anybody can tell apart. */
export function arrowStyle(rotation) {
  const turn = Math.round((rotation / (2 * Math.PI)) * ARROW_TURNS);
  if (!arrowStyles.has(turn)) {
    const options = { points: 3, radius: 7, rotation: (turn / ARROW_TURNS) * 2 * Math.PI, scale: [0.8, 1] };
    arrowStyles.set(turn, new Style({ image: shape(options, TRAIL_COLOUR, '#ffffff', 1) }));
  }
  return arrowStyles.get(turn);
}

// ---- points

const SHAPES = {
  GPS: (radius) => ({ points: 0, radius }),
  WIFI: (radius) => ({ points: 4, radius: radius * 1.3, angle: Math.PI / 4 }),
  LBS: (radius) => ({ points: 3, radius: radius * 1.4 }),
  RF: (radius) => ({ points: 4, radius: radius * 1.4, angle: 0 }),
};
const OTHER_SHAPE = (radius) => ({ points: 5, radius: radius * 1.3 });

function shape({ points, ...options }, fillColour, lineColour, width) {
  const fill = new Fill({ color: fillColour });
  const stroke = new Stroke({ color: lineColour, width });
  return points === 0 ? new CircleSymbol({ ...options, fill, stroke }) : new RegularShape({ points, ...options, fill, stroke });
}

/** The styles of points: one list for each look that occurs, shared by all points that look so. */
export function pointStyles(radius_px) {
  const known = new Map();
  return ({ mechanism, verdict, is_evidence, in_finding }) => {
    const look = [mechanism, is_evidence && verdict, is_evidence, in_finding].join();
    if (!known.has(look)) known.set(look, pointLook(mechanism, verdict, is_evidence, in_finding, radius_px));
    return known.get(look);
  };
}

function pointLook(mechanism, verdict, is_evidence, in_finding, radius_px) {
  const outline = (SHAPES[mechanism] ?? OTHER_SHAPE)(radius_px);
  const body = is_evidence
    ? [new Style({ image: shape(outline, VERDICT_COLOURS[verdict] ?? NO_VERDICT_COLOUR, INK, 1.2) })]
    : [new Style({ image: shape(outline, 'rgba(255, 255, 255, 0.85)', NOT_EVIDENCE_COLOUR, 1.5) }), new Style({ image: cross(radius_px) })];
  return in_finding ? [...ringed(radius_px + 5, FINDING_COLOUR, 4), ...body] : body;
}

function cross(radius_px) {
  const stroke = new Stroke({ color: NOT_EVIDENCE_COLOUR, width: 1.5 });
  return new RegularShape({ points: 4, radius: radius_px, radius2: 0, angle: Math.PI / 4, stroke });
}

function ringed(radius, colour, width) {
  const outer = new Stroke({ color: INK, width: width + 2 });
  const inner = new Stroke({ color: colour, width });
  return [outer, inner].map((stroke) => new Style({ image: new CircleSymbol({ radius, stroke }) }));
}

export const chosenStyles = ringed(12, FOCUS_COLOUR, 5);

export const numberStyle = (n) => new Style({ text: haloed(String(n), `12px ${FONT}`, INK, { offsetX: 9, offsetY: -9, textAlign: 'left' }) });

const radiusStyle = new Style({
  stroke: new Stroke({ color: `rgba(${RADIUS_COLOUR}, 0.55)`, width: 1 }),
  fill: new Fill({ color: `rgba(${RADIUS_COLOUR}, 0.05)` }),
});

/** A radius that would be hidden by the point's own symbol is not drawn. */
export function radiusStyleAt(feature, resolution) {
  return feature.getGeometry().getRadius() / resolution > SMALLEST_RADIUS_PX ? radiusStyle : undefined;
}

export const chosenRadiusStyle = new Style({
  stroke: new Stroke({ color: INK, width: 2 }),
  fill: new Fill({ color: 'rgba(255, 221, 0, 0.2)' }),
});
