// The prompt counts its characters, and takes the words of a sample when asked to.
const prompt = () => document.getElementById("id_prompt");

function count() {
  const counter = document.getElementById("prompt-count");
  if (!counter) return;
  const model = document.querySelector("#models :checked");
  const most = Number(model?.dataset.promptLimit ?? counter.dataset.most);
  // The server counts characters; JavaScript's own length would count some of them twice.
  const has = [...prompt().value].length;
  const number = new Intl.NumberFormat(document.documentElement.lang);
  counter.textContent = `${number.format(has)} / ${number.format(most)}`;
  counter.toggleAttribute("data-over", has > most);
}

document.addEventListener("input", (event) => {
  if (event.target !== prompt()) return;
  prompt().removeAttribute("aria-invalid");
  document.getElementById("prompt-error").replaceChildren();
  count();
});

document.addEventListener("change", (event) => {
  if (event.target.matches("#models input")) count();
});

document.addEventListener("click", (event) => {
  if (event.target.closest("#use-prompt")) {
    prompt().value = document.getElementById("sample-prompt").textContent.trim();
    prompt().dispatchEvent(new Event("input", { bubbles: true }));
    prompt().focus();
  }
  // The form still holds what failed: no need to load it again.
  if (event.target.closest("#change-prompt") && prompt()?.value.trim()) {
    event.preventDefault();
    prompt().focus();
    prompt().scrollIntoView({ block: "center" });
  }
});

count();
document.addEventListener("htmx:after:swap", count);
