// One map: its data, what is chosen and what is shown.
import { containsCoordinate, isEmpty } from '../vendor/ol.js';
import { pointCard } from './card.js';
import { layerChoices, mechanismChoices } from './choices.js';
import { element, freshId, replaceContent } from './dom.js';
import { FIT, GREAT_BRITAIN, groundWords, mapButtons, mapOn } from './frame.js';
import { onMap } from './geodesy.js';
import { groundLayers } from './ground.js';
import { chosenLayer, findingsLayer, gridLayer, numbersLayer, stateAt, stopsLayer, wholeExtent, zoneLayers } from './layers.js';
import { legend } from './legend.js';
import { playback } from './playback.js';
import { apartWords, knownWords, lastAt, playheadLayer } from './playhead.js';
import { MANY_POINTS, positionsLayer } from './positions.js';
import { tableRows } from './rows.js';

const REACH_PX = 14;
const MOST_NAMED_ZONES = 6;
const MOST_NUMBERED_AT_FIRST = 60;

/** `viewBefore`: of the map that was here, which is kept. Returns {view, end}.
 * Draws `data` on the ground of `file` into the element `place`, and marks it ready when the first picture is complete. */
export async function positionMap(place, data, file, viewBefore = null) {
  const { zones_left_out = 0, points = [], gap_s, beside } = data;
  const zones = [...(data.zones ?? []), ...(beside?.zones ?? [])];
  const others = beside?.points ?? [];
  for (const point of [...points, ...others]) point.place = onMap(point.lon_deg, point.lat_deg);
  // Of a fortnight the circles would hide the town.
  const shown = { points: true, findings: true, radii: points.length <= MANY_POINTS, trail: true, numbers: points.length <= MOST_NUMBERED_AT_FIRST, notEvidence: true, stops: false, heat: false, hiddenMechanisms: new Set() };
  for (const first of (place.dataset.first ?? '').split(' ').filter(Boolean)) Object.assign(shown, { points: false, radii: false, numbers: false, trail: false, [first]: true });
  const screen = screenOf(place, file);
  const parts = layersOf(zones, points, others, data.findings ?? [], stopsOf(place), gap_s, groundLayers(file, screen.groundFailed));
  const reader = pointReader(points, shown, (point, visible) => {
    parts.chosen.show(point);
    rows.mark(point.n);
    card.show(point, possibleSteps(visible, point));
    bringIntoView(map, point.place);
  }, (point) => player?.show(point.at_ms));
  const card = pointCard(reader, points.length, place.dataset.beside ? `Point of ${place.dataset.name}` : 'Point');
  const rows = tableRows(place.id, (n) => reader.chooseNumber(n));
  const second = secondOf(place, others, parts, shown, (point) => {
    player?.show(point.at_ms);
    parts.chosen.show(point);
    bringIntoView(map, point.place);
  });
  const player = 'still' in place.dataset ? null : playerOf(place, { ...data, zones }, parts, reader, second, (isPlaying) => { card.quiet(isPlaying); second?.card.quiet(isPlaying); });
  const refresh = () => {
    reader.refresh();
    parts.show(shown);
    rows.hide(shown.hiddenMechanisms);
    second?.refresh();
    card.show(null, possibleSteps(reader.visible(), reader.chosen()));
  };
  const cards = second ? element('div', {}, card.section, second.card.section) : card.section;
  const fit = () => map.getView().fit(isEmpty(parts.extent) ? GREAT_BRITAIN : parts.extent, FIT);
  // The place has its size before the map is made: one without width and height draws nothing, and says so in the console.
  screen.fill(mapButtons((steps) => map.getView().setZoom(map.getView().getZoom() + steps), () => fit()), cards,
    [layerChoices(shown, 'stops' in place.dataset, refresh), mechanismChoices(points, shown, refresh), ...leftOut(zones_left_out), legend(player !== null, place.dataset.besideName)], points.length + zones.length > 0, player);
  const map = mapOn(screen.viewport, parts.all);
  if (viewBefore) keepView(map, viewBefore);
  else fit();
  refresh();
  map.on('click', ({ coordinate }) => {
    const reach = map.getView().getResolution() * REACH_PX;
    const [mine, theirs] = [parts.positions.nearest(coordinate, reach), second?.nearest(coordinate, reach)];
    if (theirs && !(mine && distance(mine.place, coordinate) <= distance(theirs.place, coordinate))) second.reader.choose(theirs);
    else reader.choose(mine);
  });
  player?.show(Number(place.dataset.atMs ?? data.begin_ms));
  const ending = new AbortController();
  followLinks(player, ending.signal);
  await new Promise((drawn) => { map.once('rendercomplete', drawn); });
  Object.assign(place.dataset, { points: points.length, others: others.length, zones: zones.length, gaps: parts.positions.gaps(), ground: file?.container ?? 'none', ready: 'true' });
  const end = () => {
    ending.abort();
    map.setTarget(null);
  };
  return { view: points.length > 0 ? map.getView() : null, end };
}

function keepView(map, before) {
  map.getView().setResolution(before.getResolution());
  map.getView().setCenter(before.getCenter());
}


/** Playback of a history: what has a time that it is of. */
function playerOf(place, data, { playhead, zonesAt }, reader, second, running) {
  const { begin_ms, end_ms, points = [], moment, zones } = data;
  if (begin_ms === undefined || points.length === 0) return null;
  const evidence = () => reader.visible().filter(({ is_evidence }) => is_evidence);
  let [of, trail] = [null, []];
  const shownTrail = () => {
    if (of !== reader.visible()) [of, trail] = [reader.visible(), evidence()];
    return trail;
  };
  return playback({ begin_ms, end_ms, findings: findingsOf(place, data), moment }, {
    moved(at_ms) {
      const known = playhead.show(shownTrail(), at_ms);
      if (known.point) reader.follow(known.point);
      zonesAt(at_ms);
      const other = second?.at(at_ms);
      const said = other
        ? [`${place.dataset.name}: ${knownWords(known, points.length)}`, other.words, apartWords(known, other.known)]
        : [knownWords(known, points.length)];
      return [...said, zoneWords(zones, at_ms)].filter(Boolean).join(' ');
    },
    beside(at_ms, direction) {
      const last = lastAt(shownTrail(), at_ms);
      const at = direction > 0 ? last + 1 : shownTrail()[last]?.at_ms < at_ms ? last : last - 1;
      return shownTrail()[at]?.at_ms;
    },
    running,
  });
}

/** Of two people with their names, in order of time. */
function findingsOf(place, { findings = [], beside }) {
  if (!beside) return findings;
  const named = (name) => (finding) => ({ ...finding, title: `${name}: ${finding.title}` });
  return [...findings.map(named(place.dataset.name)), ...beside.findings.map(named(place.dataset.besideName))]
    .sort((one, other) => one.begin_ms - other.begin_ms);
}

/** The second of two people: a symbol of its own on the map, and a table of its own, in step with the first. */
function secondOf(place, others, { playheadOfOther, ofOthers }, shown, onChosen) {
  if (!playheadOfOther) return null;
  const reader = pointReader(others, shown, (point, visible) => {
    rows.mark(point.n);
    card.show(point, possibleSteps(visible, point));
  }, onChosen);
  const card = pointCard(reader, others.length, `Point of ${place.dataset.besideName}`);
  const rows = tableRows(place.id, (n) => reader.chooseNumber(n), 1);
  let trail = [];
  return {
    card,
    reader,
    nearest: ofOthers.nearest,
    refresh() {
      reader.refresh();
      trail = others.filter((point) => point.is_evidence && isShown(point, shown));
      rows.hide(shown.hiddenMechanisms);
      card.show(null, possibleSteps(reader.visible(), reader.chosen()));
    },
    at(at_ms) {
      const known = playheadOfOther.show(trail, at_ms);
      if (known.point) reader.follow(known.point);
      return { known, words: `${place.dataset.besideName}: ${knownWords(known, others.length)}` };
    },
  };
}

/** Which zones oblige at an instant, in words. */
function zoneWords(zones, at_ms) {
  const names = new Set(zones.filter((zone) => zone.periods && stateAt(zone, at_ms) === 'obliges').map(({ label }) => label));
  return names.size ? `In force now: ${[...names].slice(0, MOST_NAMED_ZONES).join(', ')}${names.size > MOST_NAMED_ZONES ? ' and others' : ''}.` : '';
}

/** Links of the page that lead to a time: `<a data-at-ms="…">`. */
function followLinks(player, signal) {
  if (!player) return;
  document.addEventListener('click', (event) => {
    const link = event.target.closest('a[data-at-ms]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    player.show(Number(link.dataset.atMs));
    player.section.scrollIntoView({ block: 'nearest' });
  }, { signal });
}

function leftOut(zones_left_out) {
  if (zones_left_out === 0) return [];
  return [element('p', { class: 'govuk-body-s emtrack-map__left-out' }, `${zones_left_out} more zones lie near and are not drawn.`)];
}

function layersOf(zones, points, others, findings, fetchStops, gap_s, ground) {
  const zoned = zoneLayers(zones);
  const positions = positionsLayer(points, gap_s);
  const begun = findingsLayer(findings, points.filter(({ is_evidence }) => is_evidence));
  const stayed = stopsLayer();
  const [numbers, chosen, playhead] = [numbersLayer(points), chosenLayer(), playheadLayer(gap_s, 0)];
  const [ofOthers, playheadOfOther] = others.length ? [positionsLayer(others, gap_s, 1), playheadLayer(gap_s, 1)] : [null, null];
  return {
    all: [...ground, gridLayer(), zoned.areas, zoned.buffers, positions.layer, ...(ofOthers ? [ofOthers.layer] : []), stayed.layer, begun, numbers.layer, zoned.labels, chosen.layer, ...(playheadOfOther ? [playheadOfOther.layer] : []), playhead.layer],
    extent: wholeExtent(zoned, [...points, ...others]),
    positions,
    ofOthers,
    chosen,
    playhead,
    playheadOfOther,
    zonesAt: zoned.at,
    show(shown) {
      const passes = (point) => isShown(point, shown);
      positions.show({ ...shown, passes });
      ofOthers?.show({ ...shown, heat: false, passes });
      begun.setVisible(shown.findings);
      stayed.layer.setVisible(shown.stops);
      if (shown.stops) fetchStops(stayed.show);
      numbers.layer.setVisible(shown.numbers);
      if (shown.numbers) numbers.show(passes);
    },
  };
}

/** Stops are asked for once, when somebody wants to see them. */
function stopsOf(place) {
  let asked = false;
  return async (show) => {
    if (asked) return;
    asked = true;
    try {
      const answer = await fetch(place.dataset.stops, { credentials: 'same-origin' });
      const stops = answer.ok ? await answer.json() : [];
      show(stops);
      place.dataset.stopsDrawn = stops.length;
    } catch {
      asked = false; // the table has them; the next time that they are chosen, they are asked for again
    }
  };
}

function isShown({ is_evidence, mechanism }, shown) {
  return (is_evidence || shown.notEvidence) && !shown.hiddenMechanisms.has(mechanism);
}

// ---- the screen

function screenOf(place, file) {
  const keys = freshId('keys');
  const name = place.dataset.label ?? 'Map';
  const viewport = element('div', { class: 'emtrack-map__viewport', tabindex: 0, role: 'application', 'aria-label': name, 'aria-describedby': keys });
  const help = element('p', { class: 'govuk-visually-hidden', id: keys },
    'The arrow keys move the map, plus and minus zoom. The buttons under “Point” read the points one by one.');
  const ground = element('p', { class: 'emtrack-map__attribution' }, groundWords(file));
  place.removeAttribute('tabindex'); // the viewport inside is what takes the keys
  place.setAttribute('role', 'region');
  place.setAttribute('aria-label', name);

  function fill(buttons, card, choices, isAnythingDrawn, player) {
    if (player) viewport.addEventListener('keydown', player.keysOfMap);
    const nothing = element('p', { class: 'govuk-body emtrack-map__nothing', role: 'status' }, 'There is nothing to draw here: no points and no zones.');
    replaceContent(place, element('div', { class: 'emtrack-map__layout' },
      element('div', {}, element('div', { class: 'emtrack-map__frame' }, help, buttons, viewport, ...(isAnythingDrawn ? [] : [nothing]), ground),
        ...(player ? [player.section] : [])),
      card,
      element('div', { class: 'emtrack-map__choices' }, ...choices)));
  }

  const groundFailed = () => { ground.textContent = 'The map under the positions could not be loaded.'; };
  return { viewport, fill, groundFailed };
}

const distance = ([x, y], [otherX, otherY]) => Math.hypot(x - otherX, y - otherY);

function bringIntoView(map, place) {
  const view = map.getView();
  const [width, height] = map.getSize();
  const inner = view.calculateExtent([Math.max(1, width - 80), Math.max(1, height - 80)]);
  if (!containsCoordinate(inner, place)) view.setCenter(place);
}

// ---- the choice

/** Which point is read, and the steps from it: over the points that are shown, in the order of the record. */
/** `onChosen`: of what a person chose, not of what playback came to. */
function pointReader(points, shown, onChoose, onChosen) {
  let chosen = null;
  let seen = points;
  let isChoosing = false; // what a person chose is not changed by where playback is then
  const visible = () => seen;

  function follow(point) {
    if (isChoosing || point === chosen) return;
    chosen = point;
    onChoose(point, visible());
  }

  function choose(point) {
    if (!point) return;
    chosen = point;
    onChoose(point, visible());
    isChoosing = true;
    onChosen(point);
    isChoosing = false;
  }

  return {
    chosen: () => chosen,
    visible,
    choose,
    follow,
    refresh() { seen = points.filter((point) => isShown(point, shown)); },
    step: (to) => choose(stepped(visible(), chosen, to)),
    chooseNumber: (n) => choose(points.find((point) => point.n === n)),
  };
}

function stepped(visible, chosen, to) {
  if (to === 'first' || (to === 'next' && !chosen)) return visible[0];
  if (to === 'last') return visible.at(-1);
  if (to === 'next') return visible.find(({ n }) => n > chosen.n);
  return chosen && visible.findLast(({ n }) => n < chosen.n);
}

function possibleSteps(visible, chosen) {
  return ['first', 'previous', 'next', 'last'].filter((to) => (stepped(visible, chosen, to) ?? chosen) !== chosen);
}
