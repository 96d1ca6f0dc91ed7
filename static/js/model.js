// Only what the chosen model makes is offered, at its price.
function fit() {
  const model = document.querySelector("#models :checked");
  if (!model) return;
  offer("sizes", model.dataset.sizes.split(" "));
  offer("lengths", model.dataset.lengths.split(" "));
  document.getElementById("record").textContent = model.dataset.record.trim();
  price(model);
}

function offer(group, values) {
  const inputs = [...document.querySelectorAll(`#${group} input`)];
  for (const input of inputs) input.parentElement.toggleAttribute("data-unfit", !values.includes(input.value));
  const fitting = inputs.filter((input) => values.includes(input.value));
  if (!fitting.some((input) => input.checked) && fitting.length) fitting[0].checked = true;
}

// The line of the price table that says most about what is chosen; else the model's own price.
function cost(model) {
  const size = document.querySelector("#sizes :checked")?.value;
  const seconds = document.querySelector("#lengths :checked")?.value;
  let best = { weight: 0, credits: Number(model.dataset.price) };
  for (const line of model.dataset.prices.split(" ").filter(Boolean)) {
    const [forSize, forSeconds, credits] = line.split(":");
    if ((forSize && forSize !== size) || (forSeconds !== "0" && forSeconds !== seconds)) continue;
    const weight = 2 * (Boolean(forSize) + (forSeconds !== "0")) + (forSeconds !== "0") + 1;
    if (weight > best.weight) best = { weight, credits: Number(credits) };
  }
  return best.credits;
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
  if (event.target.matches("#models input, #sizes input, #lengths input")) fit();
});

fit();
document.addEventListener("htmx:after:swap", fit);
