// The queue follows the service. The stream says that something changed, and the rows are asked for again; a row that is there is
// changed in its place, and what is new is told in a line that is always in view. Nothing moves under a pointer or the focus.
//
// A list that is old must not look new: the bar at the top says since when it is not live.
import { Alarm } from './alarm.js';
import { useKeys } from './queue_keys.js';

const queue = document.getElementById('queue');
const bar = document.getElementById('live-bar');
const live = document.getElementById('live');
const showNew = document.getElementById('show-new');
const news = document.getElementById('news');
const ASK_AGAIN_MS = 20_000;
const SILENT_MS = 5_000;
const title = document.title;
const SEVERITIES = ['critical', 'serious', 'warning', 'message'];

let paused = false;
let asking = false;
let askedAgain = false;
let latest = null;
let heardAt = 0;
let problem = null;

const rowsIn = (root) => [...root.querySelectorAll('[data-alert]')];
const row = (number, root = queue) => root.querySelector(`[data-alert="${number}"]`);
const isHeld = (element) => element.matches(':hover');

function newIn(root) {
  return rowsIn(root).filter((one) => !row(one.dataset.alert));
}

function tellNews() {
  const fresh = latest ? newIn(latest) : [];
  showNew.hidden = !fresh.length;
  document.title = fresh.length ? `(${fresh.length} new) ${title}` : title;
  if (!fresh.length) return;
  fresh.sort((a, b) => SEVERITIES.indexOf(a.dataset.severity) - SEVERITIES.indexOf(b.dataset.severity));
  const [first] = fresh;
  const same = fresh.filter((one) => one.dataset.severity === first.dataset.severity).length;
  const others = fresh.length - same;
  const name = first.dataset.severity === 'message' ? 'information' : first.dataset.severity;
  const what = `${same} new ${name}${others ? `, ${others} other` : ''}`;
  showNew.textContent = `${what}: ${first.dataset.title}. Show`;
  showNew.className = `em-news em-news--${first.dataset.severity}`;
  if (news.textContent !== what) news.textContent = what;
}

function keepOpen(from, to) {
  for (const burst of from.querySelectorAll('details[open]')) {
    const twin = to.querySelector(`#${burst.parentElement.id} > details`);
    if (twin) twin.open = true;
  }
}

function showAll() {
  if (!latest) return;
  const fresh = newIn(latest).map((one) => one.dataset.alert);
  keepOpen(queue, latest);
  queue.replaceChildren(...latest.cloneNode(true).childNodes);
  scrollTo({ top: 0 });
  const [first] = fresh.map((number) => document.getElementById(`alert-${number}`)).filter(Boolean);
  first?.focus({ preventScroll: true });
  for (const number of fresh) row(number)?.classList.add('em-row--fresh');
  tellNews();
}

// Rows that are there take on what is new of them, in their place; one that is held waits until it is let go.
function refresh() {
  for (const old of rowsIn(queue)) {
    const next = row(old.dataset.alert, latest);
    if (!next) {
      if (!isHeld(old)) old.classList.add('em-row--gone');
    } else if (next.innerHTML !== old.innerHTML && !isHeld(old)) {
      const copy = next.cloneNode(true);
      if (old.classList.contains('em-row--fresh')) copy.classList.add('em-row--fresh');
      const focused = old.contains(document.activeElement);
      old.replaceWith(copy);
      if (focused) copy.querySelector('a').focus({ preventScroll: true });
    }
  }
  const [counts, now] = [queue, latest].map((root) => root.querySelector('.em-counts'));
  if (counts && now) counts.replaceWith(now.cloneNode(true));
}

function take(html) {
  latest = document.createElement('div');
  latest.innerHTML = html;
  alarm.follow(rowsIn(latest));
  if (paused) return;
  if (!rowsIn(queue).length) {
    queue.replaceChildren(...latest.cloneNode(true).childNodes);
    if (rowsIn(queue).length) news.textContent = `${rowsIn(queue).length} new`;
  } else refresh();
  tellNews();
}

function clock(ms) {
  return new Date(ms).toLocaleTimeString('en-GB', { timeZone: document.getElementById('service-clock').dataset.zone });
}

function tellLive() {
  const stale = Date.now() - heardAt > SILENT_MS || problem !== null;
  live.classList.toggle('em-live__state--stale', stale);
  if (paused) live.textContent = 'Paused: the list stands still';
  else if (!stale) live.textContent = `Live, ${live.dataset.at}`;
  else live.textContent = `Not live${live.dataset.at ? ` since ${live.dataset.at}` : ''}. ${problem ?? 'Trying again.'}`;
}

function heard(event) {
  heardAt = Date.now();
  if (event.data) live.dataset.at = clock(Date.parse(JSON.parse(event.data).now));
  tellLive();
}

async function ask() {
  if (asking) {
    askedAgain = true;
    return;
  }
  asking = true;
  try {
    const answer = await fetch(`/alerts/rows${location.search}`, { credentials: 'same-origin', redirect: 'manual' });
    if (answer.type === 'opaqueredirect' || answer.status === 401) problem = 'You are logged out. Log in again.';
    else if (!answer.ok) problem = 'The service has a problem. Trying again.';
    else {
      problem = null;
      take(await answer.text());
    }
  } catch {
    problem = 'The service does not answer. Trying again.';
  }
  asking = false;
  tellLive();
  if (askedAgain) {
    askedAgain = false;
    setTimeout(ask, 250);
  }
}

async function acknowledge(form) {
  const item = form.closest('[data-alert]');
  const button = form.querySelector('button');
  button.disabled = true;
  const answer = await fetch(form.getAttribute('action'), { method: 'POST', body: new URLSearchParams(new FormData(form)), redirect: 'manual' });
  if (answer.type === 'opaqueredirect') {
    news.textContent = 'Acknowledged';
    item?.querySelector('a')?.focus({ preventScroll: true });
    form.remove();
    alarm.quiet();
    ask();
  } else {
    form.submit(); // the page says what is wrong
  }
}

const alarm = new Alarm(document.getElementById('sound'), document.getElementById('sound-test'));

if (queue.dataset.live === 'true') {
  live.hidden = false;
  document.getElementById('live-controls').hidden = false;
  let stream;
  const follow = () => {
    stream?.close();
    stream = new EventSource('/v1/alerts/stream?here=yes');
    stream.addEventListener('changed', () => {
      heardAt = Date.now();
      ask();
    });
    stream.addEventListener('open', ask);
    stream.addEventListener('here', heard);
    // Without a stream nobody tells of a change, and only the rows tell why: logged out, or the service is gone. One question an
    // error, and none while the list is said to be old: a service in trouble is asked by the interval alone.
    stream.addEventListener('error', () => {
      heardAt = 0;
      tellLive();
      if (problem === null) ask();
    });
  };
  follow();
  setInterval(tellLive, 1000);
  setInterval(() => {
    ask();
    if (stream.readyState === EventSource.CLOSED) follow();
  }, ASK_AGAIN_MS);
  showNew.addEventListener('click', showAll);
  const pause = document.getElementById('pause');
  pause.addEventListener('click', () => {
    paused = !paused;
    pause.setAttribute('aria-pressed', String(paused));
    pause.textContent = paused ? 'Go on' : 'Pause';
    if (!paused && latest) {
      refresh();
      tellNews();
    }
    tellLive();
  });
  queue.addEventListener('submit', (event) => {
    if (!event.target.matches('.em-row__do')) return;
    event.preventDefault();
    acknowledge(event.target);
  });
  const letGo = () => latest && !paused && refresh();
  queue.addEventListener('mouseleave', letGo, true);
  queue.addEventListener('focusout', () => setTimeout(letGo));
  useKeys({ queue, showAll, pause, alarm, acknowledge });
  if (location.hash.startsWith('#row-')) document.querySelector(`${location.hash} a`)?.focus();
}
