// What is shown: small checkboxes for the layers and for the mechanisms.
import { element, freshId } from './dom.js';
import { MECHANISMS } from './words.js';

/** `hasStops`: of a history, in which there are stops and times spent. */
export function layerChoices(shown, hasStops, onChange) {
  const ofHistory = hasStops ? { points: 'Points', findings: 'Findings', stops: 'Stops', heat: 'Time spent' } : {};
  const names = { radii: 'Accuracy circles', trail: 'Trail', numbers: 'Numbers', notEvidence: 'Points that are not evidence', ...ofHistory };
  return checkboxes('Show', Object.entries(names), (key) => shown[key], (key, isShown) => {
    shown[key] = isShown;
    onChange();
  });
}

export function mechanismChoices(points, shown, onChange) {
  const counts = new Map();
  for (const { mechanism } of points) counts.set(mechanism, (counts.get(mechanism) ?? 0) + 1);
  const names = [...counts].sort().map(([key, count]) => [key, `${MECHANISMS[key] ?? key}: ${count.toLocaleString('en-GB')}`]);
  if (names.length === 0) return '';
  return checkboxes('Signal type', names, () => true, (key, isShown) => {
    if (isShown) shown.hiddenMechanisms.delete(key);
    else shown.hiddenMechanisms.add(key);
    onChange();
  });
}

function checkboxes(legend, names, isChecked, onChange) {
  return element('fieldset', { class: 'govuk-fieldset emtrack-map__choice' },
    element('legend', { class: 'govuk-fieldset__legend govuk-fieldset__legend--s' }, legend),
    element('div', { class: 'govuk-checkboxes govuk-checkboxes--small' },
      ...names.map(([key, name]) => checkbox(key, name, isChecked(key), onChange))));
}

function checkbox(key, name, isChecked, onChange) {
  const id = freshId('choice');
  const input = element('input', { class: 'govuk-checkboxes__input', type: 'checkbox', id, 'data-shows': key, checked: isChecked, autocomplete: 'off' });
  input.addEventListener('change', () => onChange(key, input.checked));
  return element('div', { class: 'govuk-checkboxes__item' }, input,
    element('label', { class: 'govuk-label govuk-checkboxes__label', for: id }, name));
}
