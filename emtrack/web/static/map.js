// Maps of positions and zones: one for each `<div class="emtrack-map" data-source="…" data-label="…">` on the page.
//
// A map asks its own server for what it draws; nothing on it comes from anywhere else. A tile request to a third
// party would tell that party where a wearer is. What is drawn can be read without the picture too: in the point card,
// which follows the buttons, the map and the table `<table data-map="id of the map">`.
import { element, replaceContent } from './map/dom.js';
import { groundFile } from './map/ground_file.js';
import { unpacked } from './map/packed.js';

// The drawing is fetched beside what is drawn: both take their time.
const drawing = import('./map/position_map.js');

async function fetched(source) {
  let answer;
  try {
    answer = await fetch(source); // as the page asked for it beforehand
  } catch {
    throw new Error('The map could not be loaded: the service does not answer. Check the connection and reload the page.');
  }
  if (!answer.ok) throw new Error(refusal(answer.status));
  try {
    return unpacked(await answer.arrayBuffer());
  } catch {
    throw new Error('The map could not be loaded: the answer of the service cannot be read. Reload the page; if it stays so, tell the people who run the service.');
  }
}

function refusal(status) {
  if (status === 401) return 'The map could not be loaded: you are signed out. Sign in and open the page again.';
  if (status === 403) return 'The map could not be loaded: you may not see these positions.';
  if (status === 404) return 'The map could not be loaded: there is no such record.';
  return `The map could not be loaded: the service answered with an error (${status}). Reload the page; if it stays so, tell the people who run the service.`;
}

function fail(place, sentence) {
  place.dataset.failed = 'true';
  replaceContent(place, element('p', { class: 'govuk-body emtrack-map__failure', role: 'alert' }, sentence));
}

const drawn = new Map(); // by id: what was drawn there last

async function load(place, ground) {
  let data;
  try {
    data = await fetched(place.dataset.source);
    if (place.dataset.beside) data.beside = await fetched(place.dataset.beside);
  } catch (failure) {
    fail(place, failure.message);
    return;
  }
  try {
    const { positionMap } = await drawing;
    const before = drawn.get(place.id);
    before?.end();
    drawn.set(place.id, await positionMap(place, data, await ground, before?.view));
  } catch {
    fail(place, 'The map could not be drawn: its data is not in the form that the map knows. Tell the people who run the service; the table has the same points.');
  }
}

let ground = null;

/** Draws the map of a place; where there was one before, in the same view. */
export function drawMap(place) {
  ground ??= groundFile();
  return load(place, ground);
}

for (const place of document.querySelectorAll('.emtrack-map[data-source]')) drawMap(place);
