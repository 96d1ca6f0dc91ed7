// When a signed link has expired (after a long pause, or far into a long video), fetch a new one and continue.
// Browsers keep requesting the URL that the first request was redirected to.
const FRESH = 280; // seconds; a link is valid for 300 (SIGNED_SECONDS in videos/media/object_store.py)
const MIN_INTERVAL = 20; // seconds between attempts: a video that is really gone fails again immediately

const fetched = new WeakMap(); // when each player requested its link; 0 if that was before this script ran
const age = (player) => (performance.now() - (fetched.get(player) ?? 0)) / 1000;

on(["loadstart"], (player) => fetched.set(player, performance.now()));
on(["play", "seeking", "waiting"], (player) => { if (age(player) > FRESH && !hasTheRest(player)) renew(player); });
on(["error"], (player) => { if (age(player) > MIN_INTERVAL) renew(player); });

// These events do not bubble, so listen in the capture phase.
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
