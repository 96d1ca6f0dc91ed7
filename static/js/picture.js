// First and last frame: clicking the selected picture deselects it, and a new file is previewed in its tile.
const KINDS = ["image/jpeg", "image/png", "image/webp"];

const fields = () => [...document.querySelectorAll(".pictures")];
const fieldOf = (element) => element.closest?.(".pictures");
const file = (field) => field.querySelector("[type=file]");
const none = (field) => field.querySelector(".clear input");
const tile = (field) => field.querySelector(".upload");
const chosen = (field) => field.querySelector("[type=radio]:checked");

// The selected radio and whether a file was sent, by field id, because a response may replace the field.
const before = new Map(fields().map((field) => [field.id, chosen(field)]));
const sent = new Map();

document.addEventListener("click", (event) => {
  const field = fieldOf(event.target);
  if (!field || !event.target.matches(".thumb [type=radio]") || event.target !== before.get(field.id)) return;
  // After the click has been handled, or the browser would check it again.
  setTimeout(() => choose(none(field)));
});

document.addEventListener("change", (event) => {
  const field = fieldOf(event.target);
  if (!field) return;
  if (event.target === file(field)) return takeFile(field);
  forgetFile(field);
  noted(field);
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    const field = fieldOf(event.target);
    if (field && event.target === file(field)) tile(field).toggleAttribute("data-over", kind === "dragover");
  });
}

// The response to an upload includes the picture as a tile: select that tile instead of the file.
document.addEventListener("htmx:config:request", (event) => {
  if (event.target.id === "studio-form") for (const field of fields()) sent.set(field.id, Boolean(file(field).files.length));
});
document.addEventListener("htmx:after:swap", (event) => {
  if (event.detail.ctx.sourceElement?.id !== "studio-form") return;
  for (const field of fields()) {
    const kept = field.querySelector("[type=radio][checked]");
    if (sent.get(field.id) && kept && kept !== none(field)) choose(kept);
    before.set(field.id, chosen(field));
  }
  sent.clear();
});

function choose(radio) {
  radio.checked = true;
  radio.dispatchEvent(new Event("change", { bubbles: true }));
}

function noted(field) {
  const radio = chosen(field);
  before.set(field.id, radio);
  if (radio?.name !== "image") return;
  const prompt = document.getElementById("id_prompt");
  prompt.dataset.placeholder ??= prompt.placeholder;
  prompt.placeholder = radio.dataset.prompt || prompt.dataset.placeholder;
}

function takeFile(field) {
  const input = file(field);
  const [picture] = input.files;
  const problem = !picture ? "" : picture.size > Number(input.dataset.max) ? input.dataset.tooLarge : KINDS.includes(picture.type) ? "" : input.dataset.wrongKind;
  if (problem) input.value = "";
  if (!picture || problem) {
    forgetFile(field);
    say(field, problem);
    return;
  }
  say(field, "");
  none(field).checked = true;
  noted(field);
  show(field, picture);
}

function show(field, picture) {
  const image = tile(field).querySelector("img") ?? document.createElement("img");
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(picture);
  image.alt = "";
  image.title = picture.name;
  tile(field).prepend(image);
  tile(field).toggleAttribute("data-chosen", true);
}

function forgetFile(field) {
  const image = tile(field).querySelector("img");
  if (image) URL.revokeObjectURL(image.src);
  image?.remove();
  file(field).value = "";
  tile(field).removeAttribute("data-chosen");
  say(field, "");
}

function say(field, sentence) {
  const place = field.querySelector("[role=alert]");
  place.replaceChildren();
  if (!sentence) return;
  const line = document.createElement("p");
  line.className = "error";
  line.textContent = sentence;
  place.append(line);
}
