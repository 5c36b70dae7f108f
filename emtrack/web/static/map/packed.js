// A map as it comes over the wire: a head of JSON, and a column for each field of the positions. emtrack/web/packed.py writes it.
const TYPES = { f8: Float64Array, f4: Float32Array, u1: Uint8Array };
const NONE = 255;
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** {zones, gap_s, …, points}: as one would write it in JSON. Throws where the answer is not in this form. */
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
  return { ...head, moment, points: Array.from({ length: count }, (_, row) => new Position(column, words, moment, row)) };
}

const number = (value) => (Number.isNaN(value) ? null : value);
const word = (words, index) => (index === NONE ? null : words[index]);

class Position {
  constructor(column, words, moment, row) {
    this.n = column.n[row];
    this.at_ms = column.at_ms[row];
    this.lat_deg = column.lat_deg[row];
    this.lon_deg = column.lon_deg[row];
    this.radius_m = number(column.radius_m[row]);
    this.speed_kmh = number(column.speed_kmh[row]);
    this.direction_deg = number(column.direction_deg[row]);
    this.margin_m = number(column.margin_m[row]);
    this.mechanism = word(words.mechanism, column.mechanism[row]);
    this.verdict = word(words.verdict, column.verdict[row]);
    this.use = word(words.use, column.use[row]);
    this.is_evidence = column.is_evidence[row] === 1;
    this.in_finding = column.in_finding[row] === 1;
    this.moment = moment;
    this.place = null; // on the map; set where that is known
  }

  get at() {
    return new Date(this.at_ms).toISOString().replace('.000Z', 'Z');
  }

  get at_local() {
    return this.moment(this.at_ms);
  }
}

/** "Mon 2 Mar 2026 21:02:10 GMT", as the table beside the map has it; made when somebody reads it. */
export function momentIn(timeZone) {
  const parts = { year: 'numeric', month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23', timeZoneName: 'short' };
  const clock = new Intl.DateTimeFormat('en-GB', { ...parts, timeZone });
  return (at_ms) => {
    const p = Object.fromEntries(clock.formatToParts(at_ms).map(({ type, value }) => [type, value]));
    const weekday = DAYS[new Date(Date.UTC(p.year, p.month - 1, p.day)).getUTCDay()];
    return `${weekday} ${Number(p.day)} ${MONTHS[p.month - 1]} ${p.year} ${p.hour}:${p.minute}:${p.second} ${p.timeZoneName}`;
  };
}
