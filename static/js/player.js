// A player whose signed link has run out, in a long pause or deep in a long video, fetches a new one and goes on.
// Browsers keep to the address that their first request was led to, and ask there again and again.
const FRESH = 280; // seconds; a link opens its file for 300 (LINK_SECONDS in videos/media/object_store.py)
const LEAST = 20; // seconds between two tries: a video that is really gone fails again at once

const fetched = new WeakMap(); // when each player asked for its link; before this script ran, as good as 0
const age = (player) => (performance.now() - (fetched.get(player) ?? 0)) / 1000;

on(["loadstart"], (player) => fetched.set(player, performance.now()));
on(["play", "seeking", "waiting"], (player) => { if (age(player) > FRESH && !hasTheRest(player)) renew(player); });
on(["error"], (player) => { if (age(player) > LEAST) renew(player); });

// These events do not bubble, but they can be caught on their way down.
function on(names, act) {
  for (const name of names) {
    document.addEventListener(name, ({ target }) => { if (target instanceof HTMLVideoElement) act(target); }, true);
  }
}

function hasTheRest({ buffered, currentTime, duration }) {
  for (let n = 0; n < buffered.length; n++) {
    if (buffered.start(n) <= currentTime && buffered.end(n) >= duration - 0.2) return true;
  }
  return false;
}

function renew(player) {
  const { currentTime, paused } = player;
  if (paused) player.autoplay = false;
  player.load();
  player.currentTime = currentTime;
  if (!paused) player.play().catch(() => {});
}
