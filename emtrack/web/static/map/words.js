// The field's words on the map and in the point card; the pages beside it use the same.
export const MECHANISMS = { GPS: 'GPS', WIFI: 'Wi-Fi', LBS: 'Cellular (LBS)', RF: 'RF' };
export const KINDS = { EXCLUSION: 'exclusion zone', INCLUSION: 'inclusion zone', CURFEW: 'curfew place' };

const WINDS = ['north', 'north-east', 'east', 'south-east', 'south', 'south-west', 'west', 'north-west'];

export const mechanismOf = (point) => MECHANISMS[point.mechanism] ?? point.mechanism;

export const positionOf = (point) => `${point.lat_deg.toFixed(6)}, ${point.lon_deg.toFixed(6)}`;

export function speedOf({ speed_kmh, direction_deg }) {
  const speed = speed_kmh === null ? 'not known' : `${rounded(speed_kmh)} km/h`;
  if (direction_deg === null) return speed;
  return `${speed}, towards ${WINDS[Math.round(direction_deg / 45) % 8]} (${Math.round(direction_deg)}°)`;
}

export function verdictOf({ verdict, margin_m }) {
  if (verdict === null) return 'none';
  if (margin_m === null) return verdict;
  return `${verdict}, ${distanceOf(Math.abs(margin_m))} ${margin_m < 0 ? 'outside' : 'inside'}`;
}

export function distanceOf(distance_m) {
  return distance_m < 1000 ? `${Math.round(distance_m)} m` : `${(distance_m / 1000).toFixed(1)} km`;
}

/** "2 h 5 min", "4 min 10 s", as the pages beside the map say it. */
export function lengthOf(duration_ms) {
  const whole_s = Math.max(0, Math.floor(duration_ms / 1000));
  const [days, hours, minutes, seconds] = [Math.floor(whole_s / 86_400), Math.floor(whole_s / 3600) % 24, Math.floor(whole_s / 60) % 60, whole_s % 60];
  const parts = [[days, days === 1 ? 'day' : 'days'], [hours, 'h'], [minutes, 'min'], [seconds, 's']];
  const first = parts.findIndex(([count]) => count > 0);
  return parts.slice(first < 0 ? 3 : first, (first < 0 ? 3 : first) + 2).filter(([count]) => count > 0).map(([count, unit]) => `${count} ${unit}`).join(' ') || '0 s';
}

export const accuracyOf = ({ radius_m }) => (radius_m === null ? 'not known' : `within ${rounded(radius_m)} m`);

function rounded(value) {
  return String(Math.round(value * 10) / 10);
}
