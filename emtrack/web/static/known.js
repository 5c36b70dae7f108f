// What we knew at each moment, replayed: the list of moments becomes a clock that goes from one to the next. What was known is asked of
// the service for each moment, so that it is judged there and nowhere else; parts of the page (`data-known`) are put in the place of
// their likes.
import { momentIn } from './map/packed.js';
import { playback } from './map/playback.js';
import { drawMap } from './map.js';

const OF_MOMENTS = { heading: 'Replay', slider: 'Moment', stops: 'Pause when something is found or raised', step: 'moment', met: 'Now it became known' };
const controls = document.getElementById('replay-controls');
const list = [...document.querySelectorAll('[data-moments] > [data-moment-ms]')];
const moments = list.map((row) => ({
  row, begin_ms: Number(row.dataset.momentMs), end_ms: Number(row.dataset.momentMs), title: row.querySelector('[data-told]').textContent,
}));
const marked = moments.filter(({ row }) => 'marked' in row.dataset);
const lastAt = (at_ms) => moments.findLastIndex(({ begin_ms }) => begin_ms <= at_ms);
let shown = moments.findIndex(({ row }) => row.hasAttribute('aria-current'));
let wanted = null;
let isAsking = false;

function mark(index) {
  for (const { row } of moments) row.removeAttribute('aria-current');
  const { row } = moments[index];
  row.setAttribute('aria-current', 'true');
  const room = row.closest('.em-scroll');
  const [seen, place] = [room.getBoundingClientRect(), row.getBoundingClientRect()];
  if (place.top < seen.top) room.scrollTop -= seen.top - place.top;
  else if (place.bottom > seen.bottom) room.scrollTop += place.bottom - seen.bottom;
}

/** One question at a time, and then the one that is wanted by that time: what lies between is over. */
async function ask(index) {
  wanted = index;
  if (isAsking) return;
  isAsking = true;
  try {
    while (wanted !== null) {
      const next = wanted;
      wanted = null;
      await showPart(moments[next].row.dataset.instant);
    }
  } catch {
    controls.dataset.failed = 'true'; // the page keeps what it has; its links lead on
  } finally {
    isAsking = false;
  }
}

async function showPart(instant) {
  const address = new URL(controls.dataset.base, location.href);
  address.searchParams.set('known_at', instant);
  const answer = await fetch(address, { credentials: 'same-origin' });
  if (!answer.ok) throw new Error(String(answer.status));
  await replace(new DOMParser().parseFromString(await answer.text(), 'text/html'));
  history.replaceState(null, '', address);
}

async function replace(fresh) {
  for (const part of fresh.querySelectorAll('[data-known]')) {
    document.querySelector(`[data-known="${part.dataset.known}"]`)?.replaceChildren(...document.adoptNode(part).childNodes);
  }
  const place = document.getElementById('map');
  if (place) await drawMap(place);
}

if (moments.length > 1) {
  const moment = momentIn(controls.dataset.timezone);
  const player = playback({ begin_ms: moments[0].begin_ms, end_ms: moments.at(-1).begin_ms, findings: marked, moment, words: OF_MOMENTS }, {
    moved(at_ms) {
      const index = lastAt(at_ms);
      if (index < 0) return '';
      if (index !== shown) {
        shown = index;
        mark(index);
        ask(index);
      }
      return `Moment ${index + 1} of ${moments.length}: ${moments[index].title}`;
    },
    beside: (at_ms, direction) => (direction > 0 ? moments[lastAt(at_ms) + 1] : moments.findLast(({ begin_ms }) => begin_ms < at_ms))?.begin_ms,
    running() {},
  });
  controls.append(player.section);
  player.show(moments[Math.max(shown, 0)].begin_ms);
  if (shown >= 0) mark(shown);
}
