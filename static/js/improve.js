// "Improve my prompt": the answer goes when the person has chosen, and no answer at all is told as well.
const place = () => document.getElementById("improved");

// Enter in a field of the form presses its first submit button: that must be Generate, not a request for help.
function stepBack() {
  for (const button of document.querySelectorAll("#improve, #improved button")) button.type = "button";
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("#improved button")) return;
  place().replaceChildren();
  document.getElementById("id_prompt").focus();
});

document.addEventListener("input", (event) => {
  if (event.target.id === "id_prompt") document.querySelector("#improved .alert")?.remove();
});

document.addEventListener("htmx:before:request", (event) => {
  if (event.target.id === "improve") place().replaceChildren();
});

document.addEventListener("htmx:finally:request", (event) => {
  if (event.target.id !== "improve") return;
  if (!place().firstElementChild) {
    const line = document.createElement("p");
    line.className = "alert";
    line.textContent = place().dataset.noAnswer;
    place().append(line);
  }
  place().scrollIntoView({ block: "nearest" });
});

stepBack();
document.addEventListener("htmx:after:swap", stepBack);
