// The line through the points that are evidence, in the order of time, and the arrows on it.
const ARROW_SPACING_PX = 70;
const ARROW_ROOM_PX = 34;
const SHORTEST_WITH_ARROW_PX = 14;
const LEAST_STEP_PX = 1.5;

/** {joined, gaps}: lists of lines. A gap is where more than `gap_s` is not covered: nobody knows the way taken. */
export function trailLines(points, gap_s) {
  const joined = [];
  const gaps = [];
  let line = [];
  points.forEach((point, index) => {
    const before = points[index - 1];
    if (before && (point.at_ms - before.at_ms) / 1000 > gap_s) {
      joined.push(line);
      gaps.push([before.place, point.place]);
      line = [];
    }
    line.push(point.place);
  });
  return { joined: [...joined, line].filter((each) => each.length > 1), gaps };
}

/** The line without corners that nobody can see at this zoom. Its ends stay. */
export function simplified(line, resolution) {
  const least = resolution * LEAST_STEP_PX;
  const kept = [line[0]];
  for (let index = 1; index < line.length - 1; index += 1) {
    const [[ax, ay], [bx, by]] = [kept[kept.length - 1], line[index]];
    if (Math.abs(bx - ax) >= least || Math.abs(by - ay) >= least) kept.push(line[index]);
  }
  kept.push(line[line.length - 1]);
  return kept;
}

/** Where arrows go at this zoom: [{place, rotation}], about every `ARROW_SPACING_PX`, and none on another. */
export function arrowsAlong(lines, resolution) {
  const arrows = [];
  const taken = new Set();
  const room = resolution * ARROW_ROOM_PX;
  for (const line of lines) {
    let since_px = ARROW_SPACING_PX / 2;
    for (let index = 1; index < line.length; index += 1) {
      const [[ax, ay], [bx, by]] = [line[index - 1], line[index]];
      const length_px = Math.hypot(bx - ax, by - ay) / resolution;
      since_px += length_px;
      if (since_px < ARROW_SPACING_PX || length_px < SHORTEST_WITH_ARROW_PX) continue;
      const middle = [(ax + bx) / 2, (ay + by) / 2];
      const key = Math.floor(middle[0] / room) * 0x8000000 + Math.floor(middle[1] / room);
      if (taken.has(key)) continue;
      taken.add(key);
      arrows.push({ place: middle, rotation: Math.atan2(bx - ax, by - ay) });
      since_px = 0;
    }
  }
  return arrows;
}
