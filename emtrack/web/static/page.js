// On every page: what GOV.UK Frontend does for buttons and links, the clock of the service, and whether it watches.
import { initAll } from './vendor/govuk-frontend.js';

document.body.classList.add('js-enabled', 'govuk-frontend-supported');
initAll();

const shown = document.getElementById('service-clock');
const startMs = Number(shown.dataset.nowMs);
const rate = Number(shown.dataset.rate);
const began = performance.now();
const words = new Intl.DateTimeFormat('en-GB', {
  timeZone: shown.dataset.zone, weekday: 'short', day: 'numeric', month: 'short', year: 'numeric',
  hour: '2-digit', minute: '2-digit', second: '2-digit', timeZoneName: 'short',
});

setInterval(() => {
  shown.textContent = words.format(new Date(startMs + (performance.now() - began) * rate)).replaceAll(',', '');
}, 1000);

// A page that stays open says within seconds that nobody is watched, and why. Where nobody answers, the list of alerts says so.
const warning = document.getElementById('not-watching');
const why = document.getElementById('not-watching-why');
const behind = document.getElementById('behind');
const behindWhy = document.getElementById('behind-why');
const ASK_WHETHER_IT_WATCHES_MS = 5000;

const withoutNumbers = (text) => text.replaceAll(/\d+/g, '');

async function askWhetherItWatches() {
  const answer = await fetch('/readyz').catch(() => null);
  if (!answer) return;
  const { what, late } = await answer.json().catch(() => ({}));
  // Who has it read aloud hears it again only when it is about something else, and not for every second that passes.
  if (what && withoutNumbers(what) !== withoutNumbers(why.textContent)) why.textContent = what;
  warning.hidden = answer.ok;
  if (late && withoutNumbers(late) !== withoutNumbers(behindWhy.textContent)) behindWhy.textContent = late;
  behind.hidden = !late;
}

if (warning) setInterval(askWhetherItWatches, ASK_WHETHER_IT_WATCHES_MS);

// A table of facts opens where the finding begins, with a line of what was before it.
for (const row of document.querySelectorAll('.em-scroll tr.em-row--within:not(.em-row--within ~ tr)')) {
  const box = row.closest('.em-scroll');
  const above_px = (row.closest('table').tHead?.offsetHeight ?? 0) + row.offsetHeight;
  box.scrollTop += row.getBoundingClientRect().top - box.getBoundingClientRect().top - above_px;
}
