// A history played back in the time of a clock, from a second a second to ten minutes a second. Nothing is drawn between two positions:
// what is shown at an instant is what was known of it.
import { drawing, element, freshId, replaceContent } from './dom.js';

const SPEEDS = [1, 2, 5, 10, 30, 60, 120, 300, 600];
const USUAL_SPEED = 60;
const LONGEST_STEP_MS = 250; // a page that was hidden, or a machine that was busy, leaps over nothing
const STILL_STEP_MS = 1_000;
const STEPS_S = { ArrowUp: 600, ArrowDown: -600, PageUp: 3_600, PageDown: -3_600 };
const MARKS = 1_000;
const OF_POSITIONS = { heading: 'Playback', slider: 'Time', stops: 'Pause at findings', step: 'position', met: 'A finding begins' };
const KEYS = 'up and down ten minutes, Page Up and Page Down an hour, comma and full stop make it slower and faster.';

/**
 * `moved(at_ms)`: shows what was known at an instant, and says it in words. `beside(at_ms, direction)`: when the position before (-1) or
 * after (1) is, if there is one. `running(isPlaying)` is told when playback begins and ends.
 */
export function playback({ begin_ms, end_ms, findings, moment, words = OF_POSITIONS }, { moved, beside, running }) {
  const isStill = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const soon = isStill ? (next) => setTimeout(() => next(performance.now()), STILL_STEP_MS) : requestAnimationFrame;
  const longest_ms = isStill ? STILL_STEP_MS : LONGEST_STEP_MS;
  const screen = screenOf(begin_ms, end_ms, findings, words);
  let at_ms = begin_ms;
  let run = null; // another for each time that it is played

  function show(to_ms) {
    at_ms = Math.min(Math.max(to_ms, begin_ms), end_ms);
    const now = moment(at_ms);
    screen.clock.textContent = now;
    screen.scrubber.value = Math.round((at_ms - begin_ms) / 1000);
    screen.scrubber.setAttribute('aria-valuetext', now);
    screen.known.textContent = moved(at_ms);
  }

  function play() {
    if (at_ms >= end_ms) show(begin_ms);
    const [mine, speed] = [{}, () => Number(screen.speed.value)];
    let before = performance.now();
    run = mine;
    told('');
    const step = (now) => {
      if (run !== mine) return;
      const next_ms = at_ms + Math.min(Math.max(now - before, 0), longest_ms) * speed();
      const met = screen.stops.checked ? findings.find((finding) => finding.begin_ms > at_ms && finding.begin_ms <= next_ms) : null;
      before = now;
      show(met ? met.begin_ms : next_ms);
      if (met) pause(`Paused. ${words.met}: ${met.title}, ${moment(met.begin_ms)}.`);
      else if (at_ms >= end_ms) pause('Paused. This is the end of the time that was asked for.');
      else soon(step);
    };
    soon(step);
    named('Pause');
    running(true);
  }

  function pause(why) {
    run = null;
    named('Play');
    running(false);
    told(why);
  }

  const told = (words) => { screen.status.textContent = words; };
  const named = (name) => { screen.toggle.textContent = name; };
  const toggle = () => (run ? pause(`Paused at ${moment(at_ms)}.`) : play());

  function faster(by) {
    const at = SPEEDS.indexOf(Number(screen.speed.value)) + by;
    screen.speed.value = String(SPEEDS[Math.min(Math.max(at, 0), SPEEDS.length - 1)]);
    told(`Speed ${screen.speed.value} times.`);
  }

  /** Whether the key was one of playback's. `arrows`: also those that move. */
  function keyed({ key, ctrlKey, altKey, metaKey }, arrows) {
    if (ctrlKey || altKey || metaKey) return false;
    if (key === ' ') toggle();
    else if (key === ',' || key === '<') faster(-1);
    else if (key === '.' || key === '>') faster(1);
    else if (arrows && (key === 'ArrowLeft' || key === 'ArrowRight')) show(beside(at_ms, key === 'ArrowLeft' ? -1 : 1) ?? at_ms);
    else if (arrows && key in STEPS_S) show(at_ms + STEPS_S[key] * 1000);
    else if (arrows && (key === 'Home' || key === 'End')) show(key === 'Home' ? begin_ms : end_ms);
    else return false;
    return true;
  }

  const onKey = (arrows) => (event) => {
    if (event.target.matches('button, select, input[type=checkbox], a') && (event.key === ' ' || event.target.matches('select'))) return;
    if (!keyed(event, arrows)) return;
    event.preventDefault();
    event.stopPropagation();
  };

  screen.toggle.addEventListener('click', toggle);
  screen.scrubber.addEventListener('input', () => show(begin_ms + Number(screen.scrubber.value) * 1000));
  screen.section.addEventListener('keydown', onKey(true));
  return { section: screen.section, show, keysOfMap: onKey(false), isPlaying: () => run !== null };
}

function screenOf(begin_ms, end_ms, findings, words) {
  const [title, keys] = [freshId('playback'), freshId('playback-keys')];
  const clock = element('p', { class: 'emtrack-map__clock', 'data-shows': 'clock' });
  const known = element('p', { class: 'emtrack-map__known', 'data-shows': 'known' });
  const status = element('p', { class: 'govuk-body-s', role: 'status', 'data-shows': 'playback' });
  const scrubber = element('input', {
    type: 'range', class: 'emtrack-map__scrubber', min: 0, max: Math.ceil((end_ms - begin_ms) / 1000), step: 1, value: 0,
    'aria-label': words.slider, 'aria-describedby': keys, autocomplete: 'off',
  });
  const toggle = element('button', { type: 'button', class: 'govuk-button', 'data-does': 'play' }, 'Play');
  const speed = element('select', { class: 'govuk-select', id: freshId('speed'), autocomplete: 'off', 'data-does': 'speed' },
    ...SPEEDS.map((times) => element('option', { value: times, selected: times === USUAL_SPEED }, `${times} times`)));
  const stops = element('input', { class: 'govuk-checkboxes__input', type: 'checkbox', id: freshId('stops'), checked: true, autocomplete: 'off', 'data-does': 'stops' });
  const section = element('section', { class: 'emtrack-map__playback', 'aria-labelledby': title },
    element('h3', { class: 'govuk-heading-s govuk-!-margin-bottom-1', id: title }, words.heading),
    clock, known, marksOf(begin_ms, end_ms, findings), scrubber,
    element('div', { class: 'emtrack-map__controls' }, toggle,
      element('div', { class: 'govuk-form-group' }, element('label', { class: 'govuk-label', for: speed.id }, 'Speed'), speed),
      element('div', { class: 'govuk-checkboxes govuk-checkboxes--small' }, element('div', { class: 'govuk-checkboxes__item' }, stops,
        element('label', { class: 'govuk-label govuk-checkboxes__label', for: stops.id }, words.stops)))),
    status,
    element('p', { class: 'emtrack-map__keys', id: keys }, `Keys: space plays and pauses, left and right arrow go to the ${words.step} before and after, ${KEYS}`));
  return { section, clock, known, status, scrubber, toggle, speed, stops };
}

/** Where findings lie on the way of the scrubber. The list of findings on the page says the same. */
function marksOf(begin_ms, end_ms, findings) {
  const scale = MARKS / (end_ms - begin_ms);
  const place = (ms) => Math.min(Math.max((ms - begin_ms) * scale, 0), MARKS);
  const svg = drawing('svg', { viewBox: `0 0 ${MARKS} 8`, preserveAspectRatio: 'none', 'aria-hidden': 'true', focusable: 'false' });
  replaceContent(svg, ...findings.map((finding) => drawing('rect', {
    x: place(finding.begin_ms), y: 0, height: 8, width: Math.max(3, place(finding.end_ms ?? end_ms) - place(finding.begin_ms)), fill: '#f47738',
  })));
  return element('div', { class: 'emtrack-map__marks' }, svg);
}
