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

function price(model) {
  const link = document.getElementById("missing");
  if (!link) return;
  const { balance, missingOne, missingMany } = document.getElementById("generate-box").dataset;
  const missing = Number(model.dataset.price) - Number(balance);
  document.getElementById("price").textContent = model.dataset.priceText;
  document.getElementById("generate").hidden = missing > 0;
  link.hidden = missing <= 0;
  link.textContent = missing === 1 ? missingOne : missingMany.replace("{n}", missing);
}

document.addEventListener("change", (event) => {
  if (event.target.matches("#models input")) fit();
});

fit();
document.addEventListener("htmx:after:swap", fit);
