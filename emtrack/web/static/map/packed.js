// A map as it comes over the wire: a head of JSON, and a column for each field of the positions. emtrack/web/packed.py writes it.
const TYPES = { f8: Float64Array, f4: Float32Array, u1: Uint8Array };
const NONE = 255;
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** {zones, max_gap_s, …, points}: as one would write it in JSON. Throws where the answer is not in this form. */
export function unpacked(buffer) {
  const headLength = new DataView(buffer).getUint32(0, true);
  const { count, columns, words, ...head } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, headLength)));
  const column = {};
  let at = 4 + headLength;
  for (const [name, type] of columns) {
    column[name] = new TYPES[type](buffer, at, count);
    at += Math.ceil(column[name].byteLength / 8) * 8;
  }
  const moment = momentIn(head.timezone);
  return { ...head, points: Array.from({ length: count }, (_, row) => pointAt(column, words, moment, row)) };
}

function pointAt(column, words, moment, row) {
  const number = (name) => (Number.isNaN(column[name][row]) ? null : column[name][row]);
  const word = (name) => (column[name][row] === NONE ? null : words[name][column[name][row]]);
  const at_ms = column.at_ms[row];
  return {
    n: column.n[row],
    at_ms,
    lat_deg: column.lat_deg[row],
    lon_deg: column.lon_deg[row],
    radius_m: number('radius_m'),
    speed_kmh: number('speed_kmh'),
    direction_deg: number('direction_deg'),
    margin_m: number('margin_m'),
    mechanism: word('mechanism'),
    verdict: word('verdict'),
    use: word('use'),
    is_evidence: column.is_evidence[row] === 1,
    in_finding: column.in_finding[row] === 1,
    get at() { return new Date(at_ms).toISOString().replace('.000Z', 'Z'); },
    get at_local() { return moment(at_ms); },
  };
}

/** "Mon 2 Mar 2026 21:02:10 GMT", as the table beside the map has it; made when somebody reads it. */
function momentIn(timeZone) {
  const parts = { year: 'numeric', month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23', timeZoneName: 'short' };
  const clock = new Intl.DateTimeFormat('en-GB', { ...parts, timeZone });
  return (at_ms) => {
    const p = Object.fromEntries(clock.formatToParts(at_ms).map(({ type, value }) => [type, value]));
    const weekday = DAYS[new Date(Date.UTC(p.year, p.month - 1, p.day)).getUTCDay()];
    return `${weekday} ${Number(p.day)} ${MONTHS[p.month - 1]} ${p.year} ${p.hour}:${p.minute}:${p.second} ${p.timeZoneName}`;
  };
}
