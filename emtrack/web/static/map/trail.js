// The line through the points that are evidence, in the order of time, and the arrows on it.
const ARROW_SPACING_PX = 70;
const SHORTEST_WITH_ARROW_PX = 14;
const MOST_ARROWS = 400;

/** {joined, gaps}: lists of lines. A gap is where more than `max_gap_s` is not covered: nobody knows the way taken. */
export function trailLines(points, max_gap_s) {
  const joined = [];
  const gaps = [];
  let line = [];
  points.forEach((point, index) => {
    const before = points[index - 1];
    if (before && (point.at_ms - before.at_ms) / 1000 > max_gap_s) {
      joined.push(line);
      gaps.push([before.place, point.place]);
      line = [];
    }
    line.push(point.place);
  });
  return { joined: [...joined, line].filter((each) => each.length > 1), gaps };
}

/** Where arrows go at this zoom: [{place, rotation}], about every `ARROW_SPACING_PX` along the part that is in view. */
export function arrowsAlong(lines, resolution, isInView) {
  const arrows = [];
  for (const line of lines) {
    let since_px = ARROW_SPACING_PX / 2;
    for (let index = 1; index < line.length && arrows.length < MOST_ARROWS; index += 1) {
      const [[ax, ay], [bx, by]] = [line[index - 1], line[index]];
      const length_px = Math.hypot(bx - ax, by - ay) / resolution;
      since_px += length_px;
      const middle = [(ax + bx) / 2, (ay + by) / 2];
      if (since_px < ARROW_SPACING_PX || length_px < SHORTEST_WITH_ARROW_PX || !isInView(middle)) continue;
      arrows.push({ place: middle, rotation: Math.atan2(bx - ax, by - ay) });
      since_px = 0;
    }
  }
  return arrows;
}
