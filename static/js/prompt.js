// The prompt field: character counter, inserting a template or another suggestion, and undoing that.
const prompt = () => document.getElementById("id_prompt");

let typed = ""; // what the user had typed before a suggestion replaced it
let taken = ""; // the inserted suggestion

function count() {
  const counter = document.getElementById("prompt-count");
  if (!counter) return;
  const model = document.querySelector("#models :checked");
  const max = Number(model?.dataset.promptLimit ?? counter.dataset.max);
  // Count code points like the server does; String.length would count some of them twice.
  const length = [...prompt().value].length;
  const number = new Intl.NumberFormat(document.documentElement.lang);
  counter.textContent = `${number.format(length)} / ${number.format(max)}`;
  counter.toggleAttribute("data-over", length > max);
}

// Select the first [blank] of a template, so that typing fills it in.
function take(words) {
  // After several templates in a row, undo brings back the user's own text.
  if (prompt().value !== taken) typed = prompt().value;
  taken = words;
  write(words);
  const blank = /\[[^\]]+\]/.exec(words);
  if (blank) prompt().setSelectionRange(blank.index, blank.index + blank[0].length);
  offerToPutBack();
}

function write(words) {
  prompt().focus();
  prompt().select();
  // Deprecated, but the only way to keep the browser's own undo history.
  if (document.execCommand(words ? "insertText" : "delete", false, words)) return;
  prompt().value = words;
  prompt().dispatchEvent(new Event("input", { bubbles: true }));
}

function offerToPutBack() {
  const offer = document.getElementById("put-back");
  if (offer) offer.hidden = !typed.trim();
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
  const source = event.target.closest("[data-words]");
  const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey; // opens the link in a new tab
  if (source && !elsewhere) {
    event.preventDefault();
    const menu = source.closest("details");
    if (menu) menu.open = false;
    take(source.dataset.words);
  }
  if (event.target.closest("#use-prompt")) take(document.getElementById("sample-prompt").textContent.trim());
  if (event.target.closest("#put-back button")) {
    write(typed);
    typed = taken = "";
    offerToPutBack();
  }
  // The form still holds the failed prompt: no need to load it again.
  if (event.target.closest("#change-prompt") && prompt()?.value.trim()) {
    event.preventDefault();
    prompt().focus();
    prompt().scrollIntoView({ block: "center" });
  }
});

count();
document.addEventListener("htmx:after:swap", (event) => {
  const { ctx } = event.detail;
  if (ctx.sourceElement?.id === "studio-form" && ctx.response.status < 400) typed = taken = ""; // the prompt became a video
  count();
  offerToPutBack();
});
