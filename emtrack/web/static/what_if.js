// The page of a trial that is being judged: how far it is each second, and the whole page again when it is over.
const EVERY_MS = 1_000;
const trial = document.getElementById('trial');

async function lookAgain() {
  const answer = await fetch(`/what-if/${trial.dataset.run}/state`);
  if (!answer.ok) return;
  const { state, percent } = await answer.json();
  if (state !== 'running') location.reload();
  trial.querySelector('[data-percent]').textContent = percent;
  trial.querySelector('progress').value = percent;
}

if (trial) setInterval(() => lookAgain().catch(() => {}), EVERY_MS);
