// How the ground looks: quiet, so that zones and positions stand out. Layers and attributes are those of Protomaps' base map
// (https://docs.protomaps.com/basemaps/layers); of OpenMapTiles those that mean the same; of what is not known the outlines are drawn.
import { CircleSymbol, Fill, Stroke, Style, Text } from '../vendor/ol.js';

const PAPER = '#f7f6f3';
const WATER = '#c9dbe6';
const GREEN = '#dfe9d7';
const BUILT = '#eceae5';
const BUILDING = '#e0ddd6';
const NAME = '#505a5f';
const WATER_NAME = '#3f6480';
const FONT = 'arial, helvetica, sans-serif';
const TILE_0_M = 156_543.033_928;

const AREAS = {
  park: GREEN, wood: GREEN, forest: GREEN, grass: GREEN, grassland: GREEN, nature_reserve: GREEN, national_park: GREEN, cemetery: GREEN,
  golf_course: GREEN, recreation_ground: GREEN, garden: GREEN, allotments: GREEN, pitch: GREEN, playground: GREEN, village_green: GREEN,
  meadow: GREEN, scrub: GREEN, school: '#f0e7d6', university: '#f0e7d6', college: '#f0e7d6', hospital: '#f3e3e1', industrial: BUILT,
  commercial: BUILT, retail: BUILT, residential: BUILT, urban_area: BUILT, pedestrian: BUILT, railway: BUILT, aerodrome: BUILT,
};
/** Colour, colour of the edge, width in pixels at zoom 15, and from which zoom on. */
const ROADS = {
  highway: ['#b9bdc0', '#8f9599', 7, 5],
  major_road: ['#cdd0d2', '#a5abae', 5.5, 8],
  medium_road: ['#d6d8da', '#b3b8bb', 4.5, 10],
  minor_road: ['#e2e3e4', '#c4c8ca', 3.5, 12],
  other: ['#e8e8e8', '#d3d5d6', 2, 14],
};
const PATH = new Stroke({ color: '#b5b0a6', width: 1, lineDash: [3, 3] });
const RAIL = new Stroke({ color: '#9a9fa2', width: 1.4, lineDash: [7, 3] });
const BOUNDARIES = {
  country: new Stroke({ color: '#8a8f92', width: 1.4, lineDash: [8, 4] }),
  county: new Stroke({ color: '#bfc2c4', width: 1, lineDash: [5, 4] }),
};
const UNKNOWN = new Style({ stroke: new Stroke({ color: '#c4c8ca', width: 1 }), zIndex: 2 });
const POI_DOT = new CircleSymbol({ radius: 3, fill: new Fill({ color: '#7d8487' }), stroke: new Stroke({ color: '#ffffff', width: 1 }) });
/** Points that people tell the way by. */
const POIS = new Set(['station', 'school', 'hospital', 'police', 'courthouse', 'university', 'college', 'townhall', 'park', 'prison', 'bus_station', 'supermarket']);
const PLACES = { country: [17, 9], region: [13, 7], county: [13, 7], city: [15, 6], town: [14, 5], locality: [13, 4], village: [12, 3], suburb: [12, 2], neighbourhood: [12, 1] };

const OPENMAPTILES = {
  transportation: 'roads', transportation_name: 'roads', landcover: 'landuse', park: 'landuse', waterway: 'water', water_name: 'water',
  place: 'places', building: 'buildings', boundary: 'boundaries', poi: 'pois', aeroway: 'landuse', globallandcover: 'landuse',
};
const CLASSES = { motorway: 'highway', trunk: 'highway', primary: 'major_road', secondary: 'major_road', tertiary: 'medium_road', minor: 'minor_road', service: 'other', track: 'path' };

/** A style function for the tiles of a file. */
export function groundStyle() {
  const draw = { earth, landuse, landcover: landuse, water, buildings, roads, transit: roads, boundaries, places, pois };
  return (feature, resolution) => {
    const layer = feature.get('layer');
    const name = OPENMAPTILES[layer] ?? layer;
    const zoom = Math.log2(TILE_0_M / resolution);
    return draw[name] ? draw[name](feature, zoom) : unknown(feature);
  };
}

function kindOf(feature) {
  const kind = feature.get('kind') ?? feature.get('pmap:kind') ?? feature.get('class') ?? '';
  return CLASSES[kind] ?? kind;
}

const isArea = (feature) => feature.getType().endsWith('Polygon');
const isLine = (feature) => feature.getType().endsWith('LineString');

const known = new Map();

/** Styles are made once for each look; there are some dozens. */
function once(key, make) {
  if (!known.has(key)) known.set(key, make());
  return known.get(key);
}

const filled = (color, zIndex) => once(`${color} ${zIndex}`, () => new Style({ fill: new Fill({ color }), zIndex }));

function earth(feature) {
  return isArea(feature) ? filled(PAPER, 0) : undefined;
}

function landuse(feature) {
  const colour = AREAS[kindOf(feature)];
  return isArea(feature) && colour ? filled(colour, 1) : undefined;
}

function water(feature, zoom) {
  if (isArea(feature)) return filled(WATER, 2);
  if (isLine(feature)) {
    const width = Math.max(0.6, (zoom - 9) * 0.45);
    return once(`stream ${width.toFixed(1)}`, () => new Style({ stroke: new Stroke({ color: WATER, width }), zIndex: 2 }));
  }
  return zoom > 9 ? named(feature, `italic 12px ${FONT}`, WATER_NAME, 20) : undefined;
}

function buildings(feature, zoom) {
  return isArea(feature) && zoom >= 14.5 ? filled(BUILDING, 3) : undefined;
}

function roads(feature, zoom) {
  if (!isLine(feature)) return undefined;
  const kind = kindOf(feature);
  if (kind === 'rail') return zoom >= 9 ? stroked('rail', RAIL, 8) : undefined;
  if (kind === 'path') return zoom >= 14 ? stroked('path', PATH, 4) : undefined;
  if (!ROADS[kind] || zoom < ROADS[kind][3]) return undefined;
  const lines = road(kind, zoom);
  const name = feature.get('name') ?? feature.get('pmap:name');
  return name && zoom >= (kind === 'minor_road' ? 15 : 13) ? [...lines, along(name, zoom)] : lines;
}

const stroked = (key, stroke, zIndex) => once(key, () => new Style({ stroke, zIndex }));

/** The edge and the road on it; far out a single line. */
function road(kind, zoom) {
  const [colour, edge, width15, from] = ROADS[kind];
  const step = Math.round(zoom * 2) / 2;
  return once(`${kind} ${step}`, () => {
    const width = Math.max(0.8, width15 * 1.35 ** (step - 15));
    const order = 7 - Object.keys(ROADS).indexOf(kind) / 10;
    if (step < from + 2) return [new Style({ stroke: new Stroke({ color: edge, width: Math.min(width, 1.6) }), zIndex: order })];
    return [
      new Style({ stroke: new Stroke({ color: edge, width: width + 1.6 }), zIndex: order - 1 }),
      new Style({ stroke: new Stroke({ color: colour, width }), zIndex: order }),
    ];
  });
}

function boundaries(feature) {
  if (!isLine(feature)) return undefined;
  const level = feature.get('kind') === 'country' || feature.get('admin_level') === 2 ? 'country' : 'county';
  return stroked(`boundary ${level}`, BOUNDARIES[level], 9);
}

function places(feature, zoom) {
  const detail = feature.get('kind_detail') ?? kindOf(feature);
  const [size, weight] = PLACES[detail] ?? PLACES[kindOf(feature)] ?? [];
  if (!size || zoom < (feature.get('min_zoom') ?? 0) - 1) return undefined;
  const people = Number(feature.get('population') ?? 0);
  const larger = people > 200_000 ? 3 : people > 60_000 ? 1 : 0;
  return named(feature, `${weight > 4 || larger ? 'bold ' : ''}${size + larger}px ${FONT}`, NAME, 100 + weight * 10 + Math.log10(people + 1));
}

function pois(feature, zoom) {
  const kind = kindOf(feature);
  if (!POIS.has(kind) || zoom < (kind === 'station' ? 12 : 14)) return undefined;
  const style = once('poi', () => new Style({ image: POI_DOT, text: haloed(`11px ${FONT}`, NAME, { offsetY: 12 }), zIndex: 50 }));
  style.getText().setText(feature.get('name:en') ?? feature.get('name') ?? '');
  return style;
}

function unknown(feature) {
  return isArea(feature) || isLine(feature) ? UNKNOWN : undefined;
}

// ---- names: one style for each look, whose text is set for each feature

function named(feature, font, colour, zIndex) {
  const name = feature.get('name:en') ?? feature.get('name') ?? feature.get('pmap:name');
  if (!name) return undefined;
  const style = once(`name ${font} ${zIndex.toFixed(1)}`, () => new Style({ text: haloed(font, colour, {}), zIndex }));
  style.getText().setText(name);
  return style;
}

function along(name) {
  const style = once('along', () => new Style({ text: haloed(`11px ${FONT}`, NAME, { placement: 'line', maxAngle: 0.5 }), zIndex: 30 }));
  style.getText().setText(name);
  return style;
}

const haloed = (font, color, more) => new Text({ font, fill: new Fill({ color }), stroke: new Stroke({ color: '#ffffff', width: 3 }), ...more });
