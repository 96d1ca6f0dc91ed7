// Only what the chosen model makes is offered, at its price; what it does not take is disabled and says so.
function fit() {
  const model = document.querySelector("#models :checked");
  if (!model) return;
  const { sizes, lengths, qualities, frameRates, takes, record } = model.dataset;
  offer("sizes", sizes);
  offer("lengths", lengths);
  offer("qualities", qualities);
  offer("frame-rates", frameRates);
  for (const field of document.querySelectorAll("#studio-form [data-needs]")) allow(field, takes.split(" ").includes(field.dataset.needs));
  document.getElementById("record").textContent = record.trim();
  price(model);
}

function offer(group, list) {
  const field = document.getElementById(group);
  if (!field) return;
  const values = list.split(" ").filter(Boolean);
  const inputs = [...field.querySelectorAll("input")];
  for (const input of inputs) input.parentElement.toggleAttribute("data-unfit", !values.includes(input.value));
  const fitting = inputs.filter((input) => values.includes(input.value));
  if (!fitting.some((input) => input.checked) && fitting.length) fitting[0].checked = true;
  allow(field, fitting.length > 0);
}

function allow(field, isTaken) {
  field.disabled = !isTaken;
  const lack = field.querySelector(".lack");
  if (lack) lack.hidden = isTaken;
}

const chosen = (group) => document.querySelector(`#${group}:not(:disabled) :checked`)?.value ?? "";

// The server reckoned what each choice costs; a model without a table costs the same whatever is chosen.
function cost(model) {
  const one = JSON.parse(model.dataset.prices)[["sizes", "lengths", "qualities", "audio"].map(chosen).join(" ")];
  return (one ?? Number(model.dataset.price)) * Number(chosen("variations") || 1);
}

function price(model) {
  const link = document.getElementById("missing");
  if (!link) return;
  const { balance, priceOne, priceMany, missingOne, missingMany } = document.getElementById("generate-box").dataset;
  const credits = cost(model);
  const missing = credits - Number(balance);
  document.getElementById("price").textContent = credits === 1 ? priceOne : priceMany.replace("{n}", credits);
  document.getElementById("generate").hidden = missing > 0;
  link.hidden = missing <= 0;
  link.textContent = missing === 1 ? missingOne : missingMany.replace("{n}", missing);
}

document.addEventListener("change", (event) => {
  if (event.target.matches(":is(#models, #sizes, #lengths, #qualities, #audio, #variations) input")) fit();
});

fit();
document.addEventListener("htmx:after:swap", fit);
