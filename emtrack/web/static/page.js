// On every page: what GOV.UK Frontend does for buttons and links, and the clock of the service.
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
