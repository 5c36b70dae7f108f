// The point card: what is known of one point, and the way from point to point without a mouse.
import { element, freshId, replaceContent } from './dom.js';
import { accuracyOf, mechanismOf, positionOf, speedOf, verdictOf } from './words.js';

const NOTHING_CHOSEN = 'Choose a point: on the map, in the table or with the buttons.';
const NO_POINTS = 'There are no points.';

/** `name`: above the card. @param {{step: (to: 'first'|'previous'|'next'|'last') => void}} reader */
export function pointCard(reader, count, name = 'Point') {
  const title = freshId('card');
  const content = element('div', { 'aria-live': 'polite', 'aria-atomic': 'true' }, element('p', { class: 'govuk-body' }, count ? NOTHING_CHOSEN : NO_POINTS));
  const copied = element('p', { class: 'govuk-body-s emtrack-map__copied', role: 'status' });
  const buttons = stepButtons(reader);
  const section = element('section', { class: 'emtrack-map__card', 'aria-labelledby': title },
    element('h3', { class: 'govuk-heading-s', id: title }, name),
    element('div', { class: 'emtrack-map__steps', role: 'group', 'aria-label': name === 'Point' ? 'Point to point' : `${name}: point to point` }, ...Object.values(buttons)),
    content,
    copied);

  function show(point, possibleSteps) {
    copied.textContent = '';
    for (const [to, button] of Object.entries(buttons)) allow(button, possibleSteps.includes(to));
    if (point) replaceContent(content, facts(point, count, () => copy(point, copied)));
  }

  /** While points go by, nobody is read each of them. */
  const quiet = (isQuiet) => content.setAttribute('aria-live', isQuiet ? 'off' : 'polite');

  return { section, show, quiet };
}

function stepButtons(reader) {
  const steps = { first: 'First', previous: 'Previous', next: 'Next', last: 'Last' };
  return Object.fromEntries(Object.entries(steps).map(([to, name]) => {
    const button = element('button', { type: 'button', class: 'govuk-button govuk-button--secondary', 'data-step': to },
      name, element('span', { class: 'govuk-visually-hidden' }, ' point'));
    button.addEventListener('click', () => { if (button.getAttribute('aria-disabled') !== 'true') reader.step(to); });
    return [to, button];
  }));
}

/** `aria-disabled`, not `disabled`: a button that vanishes under the finger takes the focus with it. */
function allow(button, isAllowed) {
  button.setAttribute('aria-disabled', String(!isAllowed));
}

function facts(point, count, onCopy) {
  const copyButton = element('button', { type: 'button', class: 'govuk-button govuk-button--secondary emtrack-map__copy' },
    'Copy', element('span', { class: 'govuk-visually-hidden' }, ' latitude and longitude'));
  copyButton.addEventListener('click', onCopy);
  const rows = [
    ['Point', `${point.n} of ${count}`],
    ['Accuracy', accuracyOf(point)],
    ['Date and time', element('time', { datetime: point.at }, point.at_local)],
    ['Latitude and longitude', element('span', { class: 'emtrack-map__position' }, positionOf(point)), ' ', copyButton],
    ['Speed', speedOf(point)],
    ['Signal type', mechanismOf(point)],
    ['Verdict', verdictOf(point)],
    ['Use', point.in_finding ? `${point.use}; in the finding` : point.use],
  ];
  return element('dl', { class: 'govuk-summary-list emtrack-map__facts' }, ...rows.map(([name, ...value]) =>
    element('div', { class: 'govuk-summary-list__row' },
      element('dt', { class: 'govuk-summary-list__key' }, name),
      element('dd', { class: 'govuk-summary-list__value' }, ...value))));
}

async function copy(point, copied) {
  try {
    await navigator.clipboard.writeText(positionOf(point));
    copied.textContent = 'Copied.';
  } catch {
    copied.textContent = 'The browser does not let this page copy. Select the numbers and copy them.';
  }
}
