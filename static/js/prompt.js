// The prompt counts its characters, and takes words from elsewhere when asked to; what was typed can come back.
const prompt = () => document.getElementById("id_prompt");

let typed = ""; // what words from elsewhere took the place of
let taken = ""; // those words

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

// Of a template its first [blank] is selected, so that the next key fills it in.
function take(words) {
  // Who looks at one template after the other gets back what they wrote themselves.
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
  // Deprecated, and the one way that the browser's own undo knows of.
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
  const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey; // a link, in a tab of its own
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
  // The form still holds what failed: no need to load it again.
  if (event.target.closest("#change-prompt") && prompt()?.value.trim()) {
    event.preventDefault();
    prompt().focus();
    prompt().scrollIntoView({ block: "center" });
  }
});

count();
document.addEventListener("htmx:after:swap", (event) => {
  const { ctx } = event.detail;
  if (ctx.sourceElement?.id === "studio-form" && ctx.response.status < 400) typed = taken = ""; // it is a video now
  count();
  offerToPutBack();
});
