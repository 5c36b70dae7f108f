// Which file the ground of the map is drawn from.
/** What the server has; null where it cannot say: positions are drawn all the same. */
export async function groundFile() {
  try {
    const answer = await fetch('/basemap', { credentials: 'same-origin', headers: { Accept: 'application/json' } });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}
