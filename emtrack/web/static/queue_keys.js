// Letters for who works without a mouse. They can be switched off, and never act while somebody writes.
const KEY = 'emtrack-keys';

export function useKeys({ queue, showAll, pause, alarm, acknowledge }) {
  const help = document.getElementById('keys-help');
  const on = document.getElementById('keys-on');
  on.checked = localStorage.getItem(KEY) !== 'off';
  on.addEventListener('change', () => localStorage.setItem(KEY, on.checked ? 'on' : 'off'));
  document.getElementById('keys').addEventListener('click', () => help.showModal());
  document.getElementById('keys-close').addEventListener('click', () => help.close());

  const links = () => [...queue.querySelectorAll('.em-row__what')].filter((link) => link.offsetParent);
  const current = () => document.activeElement?.closest?.('[data-alert]');
  const step = (by) => {
    const all = links();
    const here = all.findIndex((link) => link.closest('[data-alert]') === current());
    all[Math.min(all.length - 1, Math.max(0, here < 0 ? 0 : here + by))]?.focus();
  };
  const does = {
    j: () => step(1),
    k: () => step(-1),
    n: showAll,
    p: () => pause.click(),
    s: () => alarm.quiet(),
    a: () => {
      const form = current()?.querySelector('.em-row__do');
      if (form) acknowledge(form);
    },
    '?': () => help.showModal(),
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.target.matches('input:not([type=checkbox]), select, textarea')) return;
    if (event.key !== '?' && !on.checked) return;
    const what = does[event.key];
    if (!what) return;
    event.preventDefault();
    what();
  });
}
