// The table of the same points: `<table data-map="id of the map">` with a `<tr data-n="…">` for each point. Of a long table the page has
// a part; `data-rows` is where other parts come from, `data-step` how many rows each has.
const CHOSEN = 'emtrack-map-row--chosen';

export function tableRows(mapId, onChoose, person = 0) {
  const isOurs = ({ dataset }) => dataset.map === mapId && Number(dataset.person ?? 0) === person;
  const tables = mapId ? [...document.querySelectorAll('table[data-map]')].filter(isOurs) : [];
  let hidden = new Set();
  let rows = new Map();
  let chosen = null;
  let wanted = null;
  let isAsking = false;

  function read() {
    rows = new Map();
    for (const table of tables) {
      for (const row of table.querySelectorAll('tr[data-n]')) {
        rows.set(Number(row.dataset.n), row);
        row.hidden = hidden.has(row.dataset.mechanism);
      }
      if (rows.size > 0) table.classList.add('emtrack-map-table');
    }
  }

  for (const table of tables) table.addEventListener('click', (event) => chooseFrom(event, onChoose));
  read();

  function mark(n) {
    wanted = n;
    unmark(chosen);
    chosen = rows.get(n) ?? null;
    if (chosen) {
      chosen.classList.add(CHOSEN);
      chosen.setAttribute('aria-current', 'true');
      bringIntoView(chosen);
    } else if (!isAsking) {
      ask(n);
    }
  }

  /** The part of the table that has a point; only one at a time is asked for, and then for the one that is wanted by that time. */
  async function ask(n) {
    const [table] = tables.filter(({ dataset }) => dataset.rows);
    if (!table) return;
    isAsking = true;
    const step = Number(table.dataset.step);
    const source = new URL(table.dataset.rows, location.href);
    source.searchParams.set('from', Math.floor((n - 1) / step) * step + 1);
    try {
      const answer = await fetch(source, { credentials: 'same-origin' });
      if (answer.ok) replaceParts(table, new DOMParser().parseFromString(await answer.text(), 'text/html'));
    } catch {
      return; // the table keeps what it has; its links lead on
    } finally {
      isAsking = false;
    }
    read();
    if (rows.has(wanted)) mark(wanted);
  }

  /** Rows of signal types that are hidden on the map are hidden here, too. */
  function hide(mechanisms) {
    hidden = mechanisms;
    for (const row of rows.values()) row.hidden = hidden.has(row.dataset.mechanism);
  }

  return { mark, hide };
}

function unmark(row) {
  row?.classList.remove(CHOSEN);
  row?.removeAttribute('aria-current');
}

/** Heading, links and rows; what scrolls stays, and keeps the focus. */
function replaceParts(table, fresh) {
  const room = table.closest('section') ?? document;
  for (const part of fresh.querySelectorAll('[data-part]')) {
    room.querySelector(`[data-part="${part.dataset.part}"]`)?.replaceChildren(...document.adoptNode(part).childNodes);
  }
}

/** A link or a control in the row keeps its own meaning. */
function chooseFrom(event, onChoose) {
  const row = event.target.closest('tr[data-n]');
  if (row && !event.target.closest('a, button, input, select, label')) onChoose(Number(row.dataset.n));
}

/** Only the table's own container scrolls: the page stays where the reader is. */
function bringIntoView(row) {
  const container = scrollContainerOf(row);
  if (!container) return;
  const [seen, place] = [container.getBoundingClientRect(), row.getBoundingClientRect()];
  const head_px = row.closest('table').tHead?.offsetHeight ?? 0;
  if (place.top < seen.top + head_px) container.scrollTop -= seen.top + head_px - place.top;
  else if (place.bottom > seen.top + container.clientHeight) container.scrollTop += place.bottom - seen.top - container.clientHeight;
}

function scrollContainerOf(row) {
  for (let node = row.parentElement; node && node !== document.body; node = node.parentElement) {
    if (/auto|scroll/.test(getComputedStyle(node).overflowY) && node.scrollHeight > node.clientHeight) return node;
  }
  return null;
}
