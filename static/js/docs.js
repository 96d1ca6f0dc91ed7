// The API documentation: open the call that a link names, and mark the section that is read.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let details = target.closest("details"); details; details = details.parentElement.closest("details")) details.open = true;
  target.scrollIntoView();
}

addEventListener("hashchange", reveal);
reveal();

const menu = document.querySelector(".docs-menu");
// On a phone the menu lies over the page.
menu.addEventListener("click", (event) => {
  if (event.target.closest("a")) menu.open = false;
});

const links = new Map([...menu.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
const sections = [...document.querySelectorAll("section.doc[id]")];

function mark() {
  const read = sections.findLast((section) => section.getBoundingClientRect().top < innerHeight / 3) ?? sections[0];
  // In the reference it is the call that was asked for.
  const current = links.has(read.id) ? read.id : location.hash.slice(1);
  for (const [name, link] of links) {
    if (name === current) link.setAttribute("aria-current", "location");
    else link.removeAttribute("aria-current");
  }
}

let isWaiting = false;
addEventListener("scroll", () => {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => { isWaiting = false; mark(); });
}, { passive: true });
mark();
