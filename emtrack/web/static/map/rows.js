// The table of the same points: `<table data-map="id of the map">` with a `<tr data-n="…">` for each point.
const CHOSEN = 'emtrack-map-row--chosen';

export function tableRows(mapId, onChoose) {
  const tables = mapId ? [...document.querySelectorAll('table[data-map]')].filter(({ dataset }) => dataset.map === mapId) : [];
  const rows = new Map();
  for (const table of tables) {
    for (const row of table.querySelectorAll('tr[data-n]')) rows.set(Number(row.dataset.n), row);
    table.addEventListener('click', (event) => chooseFrom(event, onChoose));
    if (rows.size > 0) table.classList.add('emtrack-map-table');
  }
  let chosen = null;

  return function mark(n) {
    chosen?.classList.remove(CHOSEN);
    chosen?.removeAttribute('aria-current');
    chosen = rows.get(n) ?? null;
    chosen?.classList.add(CHOSEN);
    chosen?.setAttribute('aria-current', 'true');
    if (chosen) bringIntoView(chosen);
  };
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
