// The page of a guided shift: where it stands is looked up again, and only the list changes, so that nobody's focus is lost.
const EVERY_MS = 10_000;

async function lookAgain() {
  const answer = await fetch(location.href, { headers: { accept: 'text/html' } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('.em-guide');
  const list = document.querySelector('.em-guide');
  if (fresh && list && !list.contains(document.activeElement)) list.replaceWith(fresh);
}

setInterval(() => lookAgain().catch(() => {}), EVERY_MS);
