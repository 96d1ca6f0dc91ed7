// With prefers-reduced-motion, videos do not autoplay; the user starts them with the controls.
const less = matchMedia("(prefers-reduced-motion: reduce)");

function calm() {
  if (!less.matches) return;
  for (const video of document.querySelectorAll("video[autoplay]")) {
    video.autoplay = false;
    video.controls = true;
    video.pause();
  }
}

calm();
document.addEventListener("htmx:after:swap", calm);
