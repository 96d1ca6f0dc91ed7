// Offer only what the selected model supports, at its price. Unsupported fields are disabled and say why.
function fit() {
  const model = document.querySelector("#models :checked");
  if (!model) return;
  const { lengths, qualities, frameRates, takes, record } = model.dataset;
  offerShapes(model);
  offerLengths(lengths.split(" "), model.dataset.other);
  offer("qualities", qualities.split(" "));
  offer("frame-rates", frameRates.split(" "));
  for (const field of document.querySelectorAll("#studio-form [data-needs]")) allow(field, takes.split(" ").includes(field.dataset.needs));
  document.getElementById("record").textContent = record.trim();
  price(model);
}

const shapes = (model) => model.dataset.shapes.split(" ").map((shape) => shape.split(","));
const size = (model) => shapes(model).find(([ratio, lines]) => ratio === chosen("ratios") && lines === chosen("resolutions"))?.[2] ?? "";

function offerShapes(model) {
  const made = shapes(model);
  offer("ratios", made.map(([ratio]) => ratio));
  const here = made.filter(([ratio]) => ratio === chosen("ratios")).map(([, lines]) => lines);
  const all = made.map(([, lines]) => lines);
  offer("resolutions", all, here);
  document.getElementById("pixels").textContent = size(model).replace("x", "×");
  const lack = document.getElementById("resolutions-lack");
  const list = [...new Set(all)].filter((lines) => !here.includes(lines));
  lack.hidden = !list.length;
  lack.textContent = lack.dataset.sentence
    .replace("{ratio}", chosen("ratios"))
    .replace("{list}", new Intl.ListFormat(document.documentElement.lang, { type: "disjunction" }).format(list));
}

const number = () => document.getElementById("other-seconds");
const isOther = () => chosen("lengths") === "other";
const seconds = () => (isOther() ? String(number().valueAsNumber || "") : chosen("lengths"));

function offerLengths(usual, other) {
  const asked = seconds();
  if (number() && other) {
    [number().min, number().max, number().step] = other.split(" ");
    // A length that has a chip only for another model goes into the number field.
    if (!isOther() && !usual.includes(asked)) document.getElementById("other-length").checked = true;
  }
  offer("lengths", other ? [...usual, "other"] : usual, undefined, asked);
  // The number field starts with the selected length.
  if (number() && !isOther()) number().value = chosen("lengths");
}

// Show the values of a group that the model supports, and disable those not in `now`, which the other choices rule out.
// If the value `asked` is not among the enabled ones, select the nearest.
function offer(group, values, now = values, asked = chosen(group)) {
  const field = document.getElementById(group);
  if (!field) return;
  const inputs = [...field.querySelectorAll("[type=radio]")];
  for (const input of inputs) {
    input.parentElement.toggleAttribute("data-unfit", !values.includes(input.value));
    input.disabled = !now.includes(input.value);
  }
  const fitting = inputs.filter((input) => now.includes(input.value));
  const distance = ({ value }) => Math.abs(worth(value) - worth(asked));
  if (fitting.length && !fitting.some((input) => input.checked)) {
    fitting.reduce((best, input) => (distance(input) < distance(best) ? input : best)).checked = true;
  }
  allow(field, fitting.length > 0);
}

// A number to compare values such as 8, 720p, and 16:9 by. For words it is NaN, so the first one is selected.
function worth(value) {
  const [across, down = 1] = value.split(":").map(parseFloat);
  return Math.log(across / down);
}

function allow(field, isTaken) {
  field.disabled = !isTaken;
  const lack = field.querySelector(".lack");
  if (lack) lack.hidden = isTaken;
}

const chosen = (group) => document.querySelector(`#${group}:not(:disabled) :checked`)?.value ?? "";

// The server calculated the price of each choice. Sizes and lengths without a price of their own are listed under an
// empty name. A model without a price list has a flat price.
function cost(model) {
  const prices = JSON.parse(model.dataset.prices);
  const rest = ["qualities", "audio"].map(chosen).join(" ");
  const names = [size(model), ""].flatMap((size) => [seconds(), ""].map((seconds) => `${size} ${seconds} ${rest}`));
  const one = names.map((name) => prices[name]).find((price) => price !== undefined);
  return (one ?? Number(model.dataset.price)) * Number(chosen("variations") || 1);
}

function price(model) {
  const link = document.getElementById("missing");
  if (!link) return;
  const { balance, priceOne, priceMany, missingOne, missingMany } = document.getElementById("generate-box").dataset;
  const credits = cost(model);
  const missing = credits - Number(balance);
  document.getElementById("seen-price").value = credits;
  document.getElementById("price").textContent = credits === 1 ? priceOne : priceMany.replace("{n}", credits);
  document.getElementById("generate").hidden = missing > 0;
  link.hidden = missing <= 0;
  link.textContent = missing === 1 ? missingOne : missingMany.replace("{n}", missing);
}

document.addEventListener("change", ({ target }) => {
  // Keep the typed length, but clamp it to the limits of the new model.
  if (target.matches("#models input") && isOther() && target.dataset.other) {
    const [min, max] = target.dataset.other.split(" ").map(Number);
    number().value = Math.min(max, Math.max(min, number().valueAsNumber || min));
  }
  if (target.matches(":is(#models, #ratios, #resolutions, #lengths, #qualities, #audio, #variations) input")) fit();
});

document.addEventListener("input", ({ target }) => {
  if (target === number()) price(document.querySelector("#models :checked"));
});

// After a click on "Other" the user types a number. Arrow keys must keep moving through the choices.
document.addEventListener("click", ({ target, detail }) => {
  if (target.id === "other-length" && detail) number().select();
});

fit();
document.addEventListener("htmx:after:swap", fit);
