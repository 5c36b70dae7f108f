// A page of the programme that stays open says when something was entered since it was made. It does not change under the hand: who
// reads it decides when to see the new one.
const news = document.getElementById('iom-news');
const ASK_EVERY_MS = 10_000;
const { after, person } = news.dataset;
const address = `/iom/news?after=${after}${person ? `&person=${encodeURIComponent(person)}` : ''}`;

function told(people) {
  if (person) return 'Something changed since this page was made.';
  return `Something changed about ${people === 1 ? 'one person' : `${people} people`} since this page was made.`;
}

async function ask() {
  if (document.hidden) return;
  const answer = await fetch(address, { credentials: 'same-origin', redirect: 'manual' }).catch(() => null);
  if (!answer?.ok) return;
  const { people } = await answer.json();
  const words = told(people);
  const place = news.querySelector('[data-words]');
  if (people && place.textContent !== words) place.textContent = words;
  news.hidden = !people;
}

setInterval(ask, ASK_EVERY_MS);
document.addEventListener('visibilitychange', ask);
