// "Improve my prompt": clear the result once the user has chosen, and show a message if there was no response.
const place = () => document.getElementById("improved");

// Enter in a field activates the form's first submit button, which must be Generate and not "Improve my prompt".
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
