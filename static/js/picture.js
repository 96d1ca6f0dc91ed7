// The first frame: a click on the chosen picture un-chooses it, and a new file shows itself in its tile.
const KINDS = ["image/jpeg", "image/png", "image/webp"];

const file = () => document.getElementById("id_file");
const none = () => document.getElementById("no-picture");
const tile = () => document.getElementById("upload");
const radios = () => [...document.querySelectorAll("#pictures [name=image]")];
const chosen = () => radios().find((radio) => radio.checked);

let before = chosen();
let sent = false;

document.addEventListener("click", (event) => {
  if (!event.target.matches("#pictures .thumb [name=image]") || event.target !== before) return;
  // After the click has run its course, or the browser would check it again.
  setTimeout(() => choose(none()));
});

document.addEventListener("change", (event) => {
  if (event.target.matches("#pictures [name=image]")) {
    forgetFile();
    noted();
  }
  if (event.target === file()) takeFile();
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (event.target === file()) tile().toggleAttribute("data-over", kind === "dragover");
  });
}

// The answer to an upload lists the picture among the others: from here on it is that tile that counts.
document.addEventListener("htmx:config:request", (event) => {
  if (event.target.id === "studio-form") sent = Boolean(file()?.files.length);
});
document.addEventListener("htmx:after:swap", (event) => {
  if (event.detail.ctx.sourceElement?.id !== "studio-form") return;
  const kept = document.querySelector("#pictures [name=image][checked]");
  if (sent && kept && kept !== none()) choose(kept);
  before = chosen();
  sent = false;
});

function choose(radio) {
  radio.checked = true;
  radio.dispatchEvent(new Event("change", { bubbles: true }));
}

function noted() {
  before = chosen();
  const prompt = document.getElementById("id_prompt");
  prompt.dataset.placeholder ??= prompt.placeholder;
  prompt.placeholder = before?.dataset.prompt || prompt.dataset.placeholder;
}

function takeFile() {
  const input = file();
  const [picture] = input.files;
  const problem = !picture ? "" : picture.size > Number(input.dataset.most) ? input.dataset.tooLarge : KINDS.includes(picture.type) ? "" : input.dataset.wrongKind;
  if (problem) input.value = "";
  if (!picture || problem) {
    forgetFile();
    say(problem);
    return;
  }
  say("");
  none().checked = true;
  noted();
  show(picture);
}

function show(picture) {
  const image = tile().querySelector("img") ?? document.createElement("img");
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(picture);
  image.alt = "";
  image.title = picture.name;
  tile().prepend(image);
  tile().toggleAttribute("data-chosen", true);
}

function forgetFile() {
  const image = tile().querySelector("img");
  if (image) URL.revokeObjectURL(image.src);
  image?.remove();
  file().value = "";
  tile().removeAttribute("data-chosen");
  say("");
}

function say(sentence) {
  const place = document.getElementById("picture-error");
  place.replaceChildren();
  if (!sentence) return;
  const line = document.createElement("p");
  line.className = "error";
  line.textContent = sentence;
  place.append(line);
}
