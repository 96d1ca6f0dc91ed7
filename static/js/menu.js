// An opened menu scrolls into view. It closes on an outside click, on Escape, and when the focus leaves it.
const open = () => document.querySelector(":is(.menu, .templates)[open]");

document.addEventListener("click", (event) => {
  const menu = open();
  if (menu && !menu.contains(event.target)) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  const menu = open();
  if (event.key !== "Escape" || !menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

document.addEventListener("focusout", (event) => {
  const menu = open();
  if (menu?.contains(event.target) && event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
});

// `toggle` does not bubble, so listen in the capture phase.
document.addEventListener("toggle", (event) => {
  if (event.target === open()) event.target.lastElementChild.scrollIntoView({ block: "nearest" });
}, { capture: true });
