// Samples of code: copy one, and show the same language everywhere.
const LANGUAGE = "code-language";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const box = button.closest(".code-box");
  const code = [...box.querySelectorAll(".code, .secret")].find((one) => one.checkVisibility());
  await copy(code);
  const label = button.querySelector("span");
  const before = label.dataset.label ??= label.textContent;
  label.textContent = button.dataset.copied;
  clearTimeout(button.timer);
  button.timer = setTimeout(() => { label.textContent = before; }, 2000);
});

async function copy(element) {
  if (navigator.clipboard) return navigator.clipboard.writeText(element.textContent);
  // Without https, browsers have only this.
  getSelection().selectAllChildren(element);
  document.execCommand("copy");
}

document.addEventListener("change", ({ target }) => {
  if (!target.closest(".code-tabs")) return;
  const top = target.getBoundingClientRect().top;
  choose(target.value);
  // Samples above this one may have become longer or shorter.
  scrollBy({ top: target.getBoundingClientRect().top - top, behavior: "instant" });
  try { localStorage.setItem(LANGUAGE, target.value); } catch { /* not allowed here */ }
});

function choose(language) {
  for (const input of document.querySelectorAll(".code-tabs input")) {
    if (input.value === language) input.checked = true;
  }
}

try { choose(localStorage.getItem(LANGUAGE)); } catch { /* not allowed here */ }
