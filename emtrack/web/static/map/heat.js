// How long somebody was where: squares of the screen, the darker the longer. The time after a position is spent in its circle, until the
// next position, and for no longer than the gap: what is not known is spent nowhere.
import { mapUnitsPerMetre } from './geodesy.js';

const CELL_PX = 14;
const MOST_CELLS_OF_A_CIRCLE = 400;
const MINUTE_MS = 60_000;
/** From so many minutes on, in this colour. */
export const HEAT_STEPS = [
  [1, 'rgba(252, 211, 121, 0.55)', '1 to 10 minutes'],
  [10, 'rgba(244, 153, 74, 0.6)', '10 to 30 minutes'],
  [30, 'rgba(219, 92, 60, 0.65)', '30 minutes to 2 hours'],
  [120, 'rgba(153, 35, 78, 0.7)', '2 to 8 hours'],
  [480, 'rgba(74, 20, 86, 0.75)', '8 hours or more'],
];

/** [{x, y, side, colour}] in map units; `points` are evidence in order of time. */
export function heatAt(points, gap_s, resolution) {
  const side = resolution * CELL_PX;
  const spent_ms = new Map();
  for (let at = 0; at < points.length - 1; at += 1) {
    const passed_ms = points[at + 1].at_ms - points[at].at_ms;
    if (passed_ms <= gap_s * 1000) spread(spent_ms, points[at], passed_ms, side);
  }
  const squares = [];
  for (const [key, ms] of spent_ms) {
    const step = HEAT_STEPS.findLast(([minutes]) => ms >= minutes * MINUTE_MS);
    if (step) squares.push({ x: (Math.floor(key / 0x4000000) - 0x1000000) * side, y: ((key % 0x4000000) - 0x1000000) * side, side, colour: step[1] });
  }
  return squares;
}

function spread(spent_ms, { place: [x, y], radius_m, lat_deg }, passed_ms, side) {
  const reach = Math.min(Math.floor(((radius_m ?? 0) * mapUnitsPerMetre(lat_deg)) / side), Math.floor(Math.sqrt(MOST_CELLS_OF_A_CIRCLE) / 2));
  const [column, row] = [Math.floor(x / side), Math.floor(y / side)];
  const cells = [];
  for (let across = -reach; across <= reach; across += 1) {
    for (let up = -reach; up <= reach; up += 1) {
      if (across * across + up * up <= reach * reach) cells.push((column + across + 0x1000000) * 0x4000000 + row + up + 0x1000000);
    }
  }
  for (const key of cells) spent_ms.set(key, (spent_ms.get(key) ?? 0) + passed_ms / cells.length);
}

export function drawHeat(pen, screen, squares, resolution) {
  for (const { x, y, side, colour } of squares) {
    const [left, top] = [screen.x([x, 0]), screen.y([0, y + side])];
    const side_px = side / resolution;
    if (left < -side_px || top < -side_px || left > screen.width || top > screen.height) continue;
    pen.fillStyle = colour;
    pen.fillRect(left, top, side_px, side_px);
  }
}
