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
export const SMALLEST_RADIUS_PX = 4;
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

/** Of a zone that is in force and obliges nobody just then. */
export function restingZoneStyle(kind) {
  return new Style({ stroke: new Stroke({ color: `${colourOf(kind)}99`, width: 1.5 }) });
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

const SECOND_COLOUR = '#00625b';

/** Of the second of two people in another colour, and in long dashes. */
export function trailOf(person) {
  const colour = person === 0 ? TRAIL_COLOUR : SECOND_COLOUR;
  return {
    trail: { colour, width: person === 0 ? 1.6 : 2.2, dash: person === 0 ? [] : [14, 4], cap: 'butt' },
    gap: { colour, width: 2, dash: [0.1, 7], cap: 'round' },
  };
}

const ARROW_TURNS = 72;
const arrowSprites = new Map();

/** One picture for each of `ARROW_TURNS` directions: as many as anybody can tell apart. */
export function arrowSprite(rotation, pixelRatio) {
  const turn = Math.round((rotation / (2 * Math.PI)) * ARROW_TURNS);
  const key = `${turn} ${pixelRatio}`;
  if (!arrowSprites.has(key)) {
    const options = { points: 3, radius: 7, rotation: (turn / ARROW_TURNS) * 2 * Math.PI };
    arrowSprites.set(key, sprite([new Style({ image: shape(options, TRAIL_COLOUR, '#ffffff', 1) })], pixelRatio));
  }
  return arrowSprites.get(key);
}

/** The pictures of styles, one on the other, as one square picture round their common middle. */
function sprite(styles, pixelRatio) {
  const pictures = styles.map((style) => style.getImage());
  for (const picture of pictures) picture.load();
  const parts = pictures.map((picture) => ({ picture: picture.getImage(pixelRatio), rotation: picture.getRotation() }));
  const side = 2 * Math.ceil(Math.max(...parts.map(({ picture }) => Math.max(picture.width, picture.height))) / 2) + 2;
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = side;
  const pen = canvas.getContext('2d');
  for (const { picture, rotation } of parts) {
    pen.setTransform(1, 0, 0, 1, side / 2, side / 2);
    pen.rotate(rotation);
    pen.drawImage(picture, -picture.width / 2, -picture.height / 2);
  }
  return canvas;
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

/** The pictures of points: one for each look that occurs, shared by all points that look so. */
export function pointSprites(radius_px, person = 0) {
  const known = new Map();
  return ({ mechanism, verdict, is_evidence, in_finding }, pixelRatio) => {
    const look = `${mechanism} ${is_evidence && verdict} ${is_evidence} ${in_finding} ${pixelRatio}`;
    if (!known.has(look)) known.set(look, sprite(person === 0 ? pointLook(mechanism, verdict, is_evidence, in_finding, radius_px) : secondLook(is_evidence, in_finding, radius_px), pixelRatio));
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

/** Of the second of two people: a star, whatever told it; the table says what did. */
function secondLook(is_evidence, in_finding, radius_px) {
  const fill = new Fill({ color: is_evidence ? SECOND_COLOUR : 'rgba(255, 255, 255, 0.85)' });
  const stroke = new Stroke({ color: is_evidence ? '#ffffff' : SECOND_COLOUR, width: 1 });
  const star = new Style({ image: new RegularShape({ points: 5, radius: radius_px * 1.6, radius2: radius_px * 0.7, fill, stroke }) });
  return in_finding ? [...ringed(radius_px + 5, FINDING_COLOUR, 4), star] : [star];
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

// ---- where findings begin

export const findingStyle = (label) => new Style({
  image: new RegularShape({ points: 3, radius: 9, rotation: Math.PI, displacement: [0, 14], fill: new Fill({ color: FINDING_COLOUR }), stroke: new Stroke({ color: INK, width: 1.5 }) }),
  text: haloed(label, `bold 13px ${FONT}`, INK, { offsetY: -30 }),
});

// ---- stops

const STOP_COLOUR = '#4a1456';

export const stopRingStyle = (is_exact) => new Style({ stroke: new Stroke({ color: STOP_COLOUR, width: 3, lineDash: is_exact ? [] : [2, 6] }) });
export const stopStyle = (label) => new Style({ text: haloed(label, `bold 14px ${FONT}`, STOP_COLOUR, { offsetY: 20, overflow: true }) });

// ---- playback: of two people, each has a shape and a colour

const PEOPLE = [{ colour: '#d4351c', points: 0 }, { colour: SECOND_COLOUR, points: 4 }];
const PLAYHEAD_PX = 9;

/** The last known position: full; where it is too old to say anything, hollow. */
export function playheadStyles(person, isKnown) {
  const { colour, points } = PEOPLE[person];
  const look = { points, radius: points === 0 ? PLAYHEAD_PX : PLAYHEAD_PX * 1.35, angle: 0 };
  return [new Style({ image: shape({ ...look, radius: look.radius + 3 }, 'rgba(0, 0, 0, 0)', '#ffffff', 3), zIndex: 3 }),
    new Style({ image: shape(look, isKnown ? colour : 'rgba(255, 255, 255, 0.9)', isKnown ? INK : colour, isKnown ? 2 : 3), zIndex: 3 })];
}

export function playheadRadiusStyle(person, isKnown) {
  return new Style({ stroke: new Stroke({ color: PEOPLE[person].colour, width: 2, lineDash: isKnown ? [] : [2, 6] }), zIndex: 1 });
}

export const tailStyle = (person) => new Style({ stroke: new Stroke({ color: PEOPLE[person].colour, width: 4 }), zIndex: 2 });
export const gapOfTailStyle = (person) => new Style({ stroke: new Stroke({ color: PEOPLE[person].colour, width: 4, lineDash: [0.1, 8], lineCap: 'round' }), zIndex: 2 });
export const colourOfPerson = (person) => PEOPLE[person].colour;

export const numberStyle = (n) => new Style({ text: haloed(String(n), `12px ${FONT}`, INK, { offsetX: 9, offsetY: -9, textAlign: 'left' }) });

export const RADIUS = { line: `rgba(${RADIUS_COLOUR}, 0.55)`, fill: `rgba(${RADIUS_COLOUR}, 0.05)` };
/** Of many circles together. */
export const MERGED_RADIUS = { line: `rgba(${RADIUS_COLOUR}, 0.8)`, fill: `rgba(${RADIUS_COLOUR}, 0.12)` };

export const chosenRadiusStyle = new Style({
  stroke: new Stroke({ color: INK, width: 2 }),
  fill: new Fill({ color: 'rgba(255, 221, 0, 0.2)' }),
});
