// The sample carousel: play the visible sample, mark its dot, show its prompt, and advance automatically.
const SECONDS = 6;
const less = matchMedia("(prefers-reduced-motion: reduce)");

let row, watcher, turn;

function start() {
  const found = document.getElementById("samples");
  if (found === row) return;
  clearInterval(turn);
  watcher?.disconnect();
  row = found;
  if (!row) return;
  watcher = new IntersectionObserver(seen, { root: row, threshold: 0.6 });
  for (const sample of row.children) watcher.observe(sample);
  turn = setInterval(() => { if (!busy()) go(current() + 1); }, SECONDS * 1000);
}

function seen(entries) {
  for (const { target, isIntersecting } of entries) {
    const video = target.querySelector("video");
    if (!isIntersecting) video.pause();
    else {
      if (!less.matches) video.play().catch(() => {});
      mark([...row.children].indexOf(target));
    }
  }
}

function mark(index) {
  const dots = document.querySelectorAll("#sample-dots a");
  dots.forEach((dot, number) => {
    if (number === index) dot.setAttribute("aria-current", "true");
    else dot.removeAttribute("aria-current");
  });
  document.getElementById("sample-prompt").textContent = row.children[index].dataset.prompt;
}

const current = () => Math.round(Math.abs(row.scrollLeft) / row.clientWidth);
const busy = () => less.matches || document.hidden || row.closest("#stage").matches(":hover, :focus-within");

function go(index) {
  const sample = row.children[index % row.children.length];
  row.scrollTo({ left: sample.offsetLeft - row.offsetLeft });
}

document.addEventListener("click", (event) => {
  const dot = event.target.closest("#sample-dots a");
  if (!dot) return;
  event.preventDefault();
  go([...document.querySelectorAll("#sample-dots a")].indexOf(dot));
});

start();
document.addEventListener("htmx:after:swap", start);
