// The positions on one canvas: circles, trail, arrows and points, drawn by hand.
//
// A feature of OpenLayers for each circle, point and number of a fortnight (60,000 of them) takes seconds to make. Here a position is
// two numbers; at each zoom those that would fall on one spot are drawn once, and while the map is dragged nothing is drawn at all.
import { Layer } from '../vendor/ol.js';
import { element } from './dom.js';
import { mapUnitsPerMetre } from './geodesy.js';
import { drawHeat, heatAt } from './heat.js';
import { MERGED_RADIUS, RADIUS, SMALLEST_RADIUS_PX, arrowSprite, pointSprites, trailOf } from './symbols.js';
import { arrowsAlong, simplified, trailLines } from './trail.js';

export const MANY_POINTS = 3_000;
const MOST_SINGLE_CIRCLES = 60;
const SPOT_PX = 3;
const MARGIN_PX = 24;
const ROOM = 2; // a drag from the middle to an edge shows nothing that is not drawn

/** `person`: 0, or 1 for the second of two. {layer, gaps, show, nearest}. `shown`: {radii, trail, points, heat, passes: (point) => boolean}. */
export function positionsLayer(points, gap_s, person = 0) {
  const evidence = points.filter(({ is_evidence }) => is_evidence);
  let lines = trailLines(evidence, gap_s);
  const sprites = pointSprites(points.length > MANY_POINTS ? 4 : 5.5, person);
  const spot_px = points.length > MANY_POINTS ? SPOT_PX : 0;
  const byWeight = [...points].sort((one, other) => weightOf(one) - weightOf(other));
  let shown = { radii: false, trail: true, points: true, passes: () => true };
  let visible = byWeight;
  let made = null;

  /** What is drawn at a resolution; made anew for another, or when something else is shown. */
  function at(resolution) {
    if (made?.resolution !== resolution) {
      made = {
        resolution,
        heat: shown.heat ? heatAt(evidence.filter(shown.passes), gap_s, resolution) : [],
        circles: shown.radii ? circlesAt(visible, resolution) : [],
        points: shown.points ? thinned(visible, resolution * spot_px) : [],
        joined: shown.trail ? lines.joined.map((line) => simplified(line, resolution)) : [],
        gaps: shown.trail ? lines.gaps : [],
        arrows: shown.trail ? arrowsAlong(lines.joined, resolution) : [],
      };
    }
    return made;
  }

  const sheet = movingSheet((pen, screen, resolution, pixelRatio) => draw(pen, screen, at(resolution), resolution, pixelRatio, sprites, trailOf(person)));
  const layer = new Layer({ className: 'emtrack-map__positions', render: (frame) => sheet.at(frame, at(frame.viewState.resolution)) });

  return {
    layer,
    gaps: () => lines.gaps.length,
    show(choice) {
      shown = choice;
      visible = byWeight.filter(choice.passes);
      lines = trailLines(evidence.filter(choice.passes), gap_s);
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

/** A canvas larger than the map. While the map is dragged the canvas is moved, and drawn anew only where it would not reach. */
function movingSheet(drawOn) {
  const canvas = element('canvas');
  const sheet = element('div', { class: 'emtrack-map__positions' }, canvas);
  let drawn = null;

  function redraw({ size: [width, height], pixelRatio, viewState: { center, resolution } }, picture) {
    const room = { width: Math.round(width * ROOM), height: Math.round(height * ROOM) };
    canvas.width = Math.round(room.width * pixelRatio); // empties it
    canvas.height = Math.round(room.height * pixelRatio);
    Object.assign(canvas.style, { width: `${room.width}px`, height: `${room.height}px` });
    const screen = {
      ...room,
      x: (place) => (place[0] - center[0]) / resolution + room.width / 2,
      y: (place) => (center[1] - place[1]) / resolution + room.height / 2,
    };
    const pen = canvas.getContext('2d');
    pen.setTransform(pixelRatio, 0, 0, pixelRatio, 0, 0);
    drawOn(pen, screen, resolution, pixelRatio);
    drawn = { ...room, of: picture, center, resolution, pixelRatio, size: `${width} ${height}` };
  }

  return {
    at(frame, picture) {
      const { size: [width, height], pixelRatio, viewState: { center, resolution } } = frame;
      const isOfNow = drawn?.of === picture && drawn.pixelRatio === pixelRatio && drawn.size === `${width} ${height}`;
      const reaches = isOfNow && Math.abs(drawn.center[0] - center[0]) / resolution <= (drawn.width - width) / 2
        && Math.abs(drawn.center[1] - center[1]) / resolution <= (drawn.height - height) / 2;
      if (!reaches) redraw(frame, picture);
      const x = (drawn.center[0] - center[0]) / resolution - (drawn.width - width) / 2;
      const y = (center[1] - drawn.center[1]) / resolution - (drawn.height - height) / 2;
      canvas.style.transform = `translate(${x}px, ${y}px)`;
      return sheet;
    },
  };
}

function draw(pen, screen, picture, resolution, pixelRatio, sprites, { trail, gap }) {
  drawHeat(pen, screen, picture.heat, resolution);
  drawCircles(pen, screen, picture.circles, resolution);
  drawLines(pen, screen, picture.joined, trail);
  drawLines(pen, screen, picture.gaps, gap);
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
