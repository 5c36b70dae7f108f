// The queue follows the service: the stream says that something changed, and the rows are asked for again.
//
// A list that is old must not look new: if the rows cannot be had, the page says so at its top until they can.
const queue = document.getElementById('queue');
const stale = document.getElementById('stale');
const news = document.getElementById('news');
const ASK_AGAIN_MS = 20_000;
const FRESH_MS = 60_000;
const title = document.title;
const fresh = new Map();
let asking = false;
let askedAgain = false;

function numbers() {
  return new Set([...queue.querySelectorAll('[data-alert]')].map((row) => row.dataset.alert));
}

function markFresh(before) {
  const now = Date.now();
  for (const number of numbers()) if (!before.has(number)) fresh.set(number, now);
  for (const [number, since] of fresh) {
    const row = queue.querySelector(`[data-alert="${number}"]`);
    if (!row || now - since > FRESH_MS) fresh.delete(number);
    else row.classList.add('em-alert--fresh');
  }
  const added = [...numbers()].filter((number) => !before.has(number));
  if (added.length) news.textContent = added.length === 1 ? 'A new alert' : `${added.length} new alerts`;
  document.title = fresh.size ? `(${fresh.size} new) ${title}` : title;
}

function replaceRows(html) {
  const before = numbers();
  const focused = document.activeElement?.id;
  const scrolled = queue.querySelector('.em-scroll')?.scrollTop ?? 0;
  queue.innerHTML = html;
  const scroller = queue.querySelector('.em-scroll');
  if (scroller) scroller.scrollTop = scrolled;
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  markFresh(before);
}

function say(problem) {
  stale.hidden = !problem;
  stale.firstElementChild.textContent = problem ?? '';
}

async function ask() {
  if (asking) {
    askedAgain = true;
    return;
  }
  asking = true;
  try {
    const answer = await fetch(`/alerts/rows${location.search}`, { credentials: 'same-origin', redirect: 'manual' });
    if (answer.type === 'opaqueredirect' || answer.status === 401) say('You are logged out, and this list is old. Log in again.');
    else if (!answer.ok) say('The service has a problem, and this list may be old. It is asked again by itself.');
    else {
      replaceRows(await answer.text());
      say(null);
    }
  } catch {
    say('The service does not answer, and this list may be old. It is asked again by itself.');
  }
  asking = false;
  if (askedAgain) {
    askedAgain = false;
    setTimeout(ask, 250);
  }
}

if (queue.dataset.live === 'true') {
  let stream;
  const follow = () => {
    stream?.close();
    stream = new EventSource('/v1/alerts/stream');
    stream.addEventListener('changed', ask);
    stream.addEventListener('open', ask);
    // Without a stream nobody tells of a change, and only the rows tell why: logged out, or the service is gone. One question
    // an error, and none while the list is said to be old: a service in trouble is asked by the interval alone.
    stream.addEventListener('error', () => {
      if (stale.hidden) ask();
    });
  };
  follow();
  setInterval(() => {
    ask();
    if (stream.readyState === EventSource.CLOSED) follow();
  }, ASK_AGAIN_MS);
}
