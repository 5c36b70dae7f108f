// The wall follows the service: the stream says that something changed, and the numbers are asked for again; at most once in two seconds,
// and every 30 in any case, because ages grow by themselves. Who works in it with the keyboard keeps the place.
const wall = document.getElementById('wall');
const live = document.getElementById('wall-live');
const AT_MOST_EVERY_MS = 2000;
const ASK_AGAIN_MS = 30000;
let asked = 0;
let waiting = null;
let last = live.hidden ? null : live.textContent;

function tell(isLive) {
  live.hidden = false;
  live.classList.toggle('em-live__state--stale', !isLive);
  if (isLive) last = document.getElementById('service-clock').textContent.match(/\d\d:\d\d/)?.[0] ?? '';
  live.textContent = isLive ? 'Live' : `Not live since ${last ?? 'it was loaded'}. Trying again.`;
}

function focused() {
  const link = document.activeElement?.closest?.('#wall a');
  return link ? link.getAttribute('href') : null;
}

async function ask() {
  waiting = null;
  asked = performance.now();
  const answer = await fetch('/wall/parts', { credentials: 'same-origin', redirect: 'manual' }).catch(() => null);
  if (!answer?.ok) {
    tell(false);
    return;
  }
  const held = focused();
  wall.innerHTML = await answer.text();
  if (held) wall.querySelector(`a[href="${CSS.escape(held)}"], a[href="${held}"]`)?.focus({ preventScroll: true });
  tell(true);
}

function soon() {
  waiting ??= setTimeout(ask, Math.max(0, asked + AT_MOST_EVERY_MS - performance.now()));
}

const stream = new EventSource('/v1/alerts/stream');
stream.addEventListener('changed', soon);
stream.addEventListener('open', soon);
stream.addEventListener('error', () => tell(false));
setInterval(soon, ASK_AGAIN_MS);
addEventListener('pagehide', () => stream.close());
