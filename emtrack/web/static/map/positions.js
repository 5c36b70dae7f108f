// The positions on one canvas: circles, trail, arrows and points, drawn by hand in each frame.
//
// A feature of OpenLayers for each circle, point and number of a fortnight (60,000 of them) takes seconds to make. Here a position is
// two numbers; at each zoom those that would fall on one spot are drawn once, and while the map moves nothing is made at all.
import { Layer } from '../vendor/ol.js';
import { element } from './dom.js';
import { mapUnitsPerMetre } from './geodesy.js';
import { GAP, MERGED_RADIUS, RADIUS, SMALLEST_RADIUS_PX, TRAIL, arrowSprite, pointSprites } from './symbols.js';
import { arrowsAlong, simplified, trailLines } from './trail.js';

export const MANY_POINTS = 3_000;
const MOST_SINGLE_CIRCLES = 60;
const SPOT_PX = 3;
const MARGIN_PX = 24;

/** {layer, gaps, show, nearest}. `shown`: {radii, trail, passes: (point) => boolean}. */
export function positionsLayer(points, max_gap_s) {
  const lines = trailLines(points.filter(({ is_evidence }) => is_evidence), max_gap_s);
  const sprites = pointSprites(points.length > MANY_POINTS ? 4 : 5.5);
  const spot_px = points.length > MANY_POINTS ? SPOT_PX : 0;
  const byWeight = [...points].sort((one, other) => weightOf(one) - weightOf(other));
  let shown = { radii: false, trail: true, passes: () => true };
  let visible = byWeight;
  let made = null;

  /** What is drawn at a resolution; made anew for another, or when something else is shown. */
  function at(resolution) {
    if (made?.resolution !== resolution) {
      made = {
        resolution,
        circles: shown.radii ? circlesAt(visible, resolution) : [],
        points: thinned(visible, resolution * spot_px),
        joined: shown.trail ? lines.joined.map((line) => simplified(line, resolution)) : [],
        gaps: shown.trail ? lines.gaps : [],
        arrows: shown.trail ? arrowsAlong(lines.joined, resolution) : [],
      };
    }
    return made;
  }

  const canvas = element('canvas');
  const sheet = element('div', { class: 'emtrack-map__positions' }, canvas);
  const layer = new Layer({
    className: 'emtrack-map__positions',
    render: (frame) => {
      draw(canvas, frame, at(frame.viewState.resolution), sprites);
      return sheet;
    },
  });

  return {
    layer,
    gaps: lines.gaps.length,
    show(choice) {
      shown = choice;
      visible = byWeight.filter(choice.passes);
      made = null;
      layer.changed();
    },
    /** The point nearest to a place, within a reach; the one on top, of several. */
    nearest([x, y], reach) {
      let found = null;
      let least = reach;
      for (const point of visible) {
        const distance = Math.hypot(point.place[0] - x, point.place[1] - y);
        if (distance <= least) [found, least] = [point, distance];
      }
      return found;
    },
  };
}

// What matters more lies on top: the finding over the evidence, the evidence over the rest.
const weightOf = ({ in_finding, is_evidence }) => (in_finding ? 2 : is_evidence ? 1 : 0);

/** Of points on one spot the one on top. */
function thinned(points, spot) {
  if (spot === 0) return points;
  const taken = new Set();
  const kept = [];
  for (let row = points.length - 1; row >= 0; row -= 1) {
    const [x, y] = points[row].place;
    const key = Math.floor(x / spot) * 0x8000000 + Math.floor(y / spot);
    if (taken.has(key)) continue;
    taken.add(key);
    kept.push(points[row]);
  }
  return kept.reverse();
}

/** A radius that would be hidden by the point's own symbol is not drawn. */
function circlesAt(points, resolution) {
  const circles = [];
  for (const { place, radius_m, lat_deg } of points) {
    const radius = radius_m > 0 ? radius_m * mapUnitsPerMetre(lat_deg) : 0;
    if (radius / resolution > SMALLEST_RADIUS_PX) circles.push({ place, radius });
  }
  return circles;
}

// ---- drawing

function draw(canvas, { size: [width, height], pixelRatio, viewState: { center, resolution } }, picture, sprites) {
  if (canvas.width !== Math.round(width * pixelRatio) || canvas.height !== Math.round(height * pixelRatio)) {
    canvas.width = Math.round(width * pixelRatio);
    canvas.height = Math.round(height * pixelRatio);
  }
  const pen = canvas.getContext('2d');
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
  const screen = {
    width,
    height,
    x: (place) => (place[0] - center[0]) / resolution + width / 2,
    y: (place) => (center[1] - place[1]) / resolution + height / 2,
  };
  drawCircles(pen, screen, picture.circles, resolution);
  drawLines(pen, screen, picture.joined, TRAIL);
  drawLines(pen, screen, picture.gaps, GAP);
  for (const { place, rotation } of picture.arrows) stamp(pen, screen, place, arrowSprite(rotation, pixelRatio), pixelRatio);
  for (const point of picture.points) stamp(pen, screen, point.place, sprites(point, pixelRatio), pixelRatio);
}

function stamp(pen, screen, place, sprite, pixelRatio) {
  const [x, y] = [screen.x(place), screen.y(place)];
  if (x < -MARGIN_PX || y < -MARGIN_PX || x > screen.width + MARGIN_PX || y > screen.height + MARGIN_PX) return;
  const side = sprite.width / pixelRatio;
  pen.drawImage(sprite, Math.round((x - side / 2) * pixelRatio) / pixelRatio, Math.round((y - side / 2) * pixelRatio) / pixelRatio, side, side);
}

function drawLines(pen, screen, lines, { colour, width, dash, cap }) {
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.lineCap = cap;
  pen.lineJoin = 'round';
  pen.setLineDash(dash);
  pen.beginPath();
  for (const line of lines) drawLine(pen, screen, line);
  pen.stroke();
  pen.setLineDash([]);
}

/** Only what comes near the screen: a line that leaves it is begun anew where it comes back. */
function drawLine(pen, screen, line) {
  let isDown = false;
  let [ax, ay] = [screen.x(line[0]), screen.y(line[0])];
  for (let index = 1; index < line.length; index += 1) {
    const [bx, by] = [screen.x(line[index]), screen.y(line[index])];
    const isOut = (ax < 0 && bx < 0) || (ay < 0 && by < 0) || (ax > screen.width && bx > screen.width) || (ay > screen.height && by > screen.height);
    if (!isOut) {
      if (!isDown) pen.moveTo(ax, ay);
      pen.lineTo(bx, by);
    }
    isDown = !isOut;
    [ax, ay] = [bx, by];
  }
}

/** A few each by itself; more as one area with one edge: their overlaps would hide the map. */
function drawCircles(pen, screen, circles, resolution) {
  const inView = circles
    .map(({ place, radius }) => ({ x: screen.x(place), y: screen.y(place), r: radius / resolution }))
    .filter(({ x, y, r }) => x > -r && y > -r && x < screen.width + r && y < screen.height + r);
  if (inView.length === 0) return;
  if (inView.length > MOST_SINGLE_CIRCLES) {
    drawMerged(pen, screen, inView);
    return;
  }
  for (const circle of inView) {
    pen.beginPath();
    pen.arc(circle.x, circle.y, circle.r, 0, 2 * Math.PI);
    pen.fillStyle = RADIUS.fill;
    pen.fill();
    pen.strokeStyle = RADIUS.line;
    pen.lineWidth = 1;
    pen.stroke();
  }
}

const other = element('canvas');

function drawMerged(pen, { width, height }, circles) {
  const { a: scale } = pen.getTransform();
  other.width = Math.round(width * scale);
  other.height = Math.round(height * scale);
  const brush = other.getContext('2d');
  brush.setTransform(scale, 0, 0, scale, 0, 0);
  const fill = (colour, more_px) => {
    brush.fillStyle = colour;
    brush.beginPath();
    for (const { x, y, r } of circles) {
      brush.moveTo(x + r + more_px, y);
      brush.arc(x, y, r + more_px, 0, 2 * Math.PI);
    }
    brush.fill();
  };
  fill(MERGED_RADIUS.line, 1);
  brush.globalCompositeOperation = 'destination-out';
  fill('#000000', 0);
  brush.globalCompositeOperation = 'source-over';
  fill(MERGED_RADIUS.fill, 0);
  pen.drawImage(other, 0, 0, width, height);
}
