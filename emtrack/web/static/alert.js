// A page of an alert that is open says at once that a colleague acted; what is typed in it stays.
const told = document.getElementById('colleague');

async function look() {
  const answer = await fetch(`/alerts/${told.dataset.alert}/state`, { credentials: 'same-origin', redirect: 'manual' });
  if (!answer.ok) return;
  const now = await answer.json();
  if (now.actions <= Number(told.dataset.actions)) return;
  told.querySelector('[data-told]').textContent = `${now.told}.`;
  told.hidden = false;
}

if (told) {
  const stream = new EventSource('/v1/alerts/stream');
  stream.addEventListener('changed', (event) => {
    if (String(JSON.parse(event.data).alert_no) === told.dataset.alert) look().catch(() => {});
  });
  stream.addEventListener('open', () => look().catch(() => {}));
  addEventListener('pagehide', () => stream.close());
}

// Whether the person is there now is asked again while the page is looked at. Only another answer is read aloud.
const there = document.getElementById('there');
const ASK_WHERE_MS = 20000;

async function askWhere() {
  if (document.hidden) return;
  const answer = await fetch(`/alerts/${there.dataset.alert}/now`, { credentials: 'same-origin', redirect: 'manual' });
  if (!answer.ok) return;
  const now = await answer.json();
  for (const part of ['lead', 'rest', 'at']) {
    const shown = there.querySelector(`[data-${part}]`);
    if (shown.textContent !== now[part]) shown.textContent = now[part];
  }
}

if (there) {
  setInterval(() => askWhere().catch(() => {}), ASK_WHERE_MS);
  document.addEventListener('visibilitychange', () => askWhere().catch(() => {}));
}

// Letters, as in the queue, for who works without a mouse; what they lead to is on the page whether or not somebody uses them.
const KEYS = 'emtrack-keys';
const leads = {
  o: () => document.querySelector("input[name='outcome']"),
  t: () => document.getElementById('note'),
  c: () => {
    const button = document.querySelector("button[value='called']");
    const folded = button?.closest('details');
    if (folded) folded.open = true;
    return document.getElementById('called');
  },
};

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem(KEYS) === 'off') return;
  if (event.target.matches('input:not([type=checkbox], [type=radio]), select, textarea')) return;
  const place = leads[event.key]?.();
  if (!place) return;
  event.preventDefault();
  place.focus();
});
