// After "Generate": on a phone the stage comes into sight; what is wrong in the form gets the focus.
document.addEventListener("htmx:after:swap", (event) => {
  const { ctx } = event.detail;
  if (ctx.sourceElement?.id !== "studio-form") return;
  if (ctx.response.status >= 400) {
    const error = document.querySelector("#studio-form .error, #form-error");
    const field = error?.closest(".field")?.querySelector("textarea, input:checked, input");
    if (field && field.type !== "file") field.focus({ preventScroll: true });
    error?.scrollIntoView({ block: "nearest" });
    return;
  }
  const stage = document.getElementById("stage");
  if (stage.getBoundingClientRect().top < 0) stage.scrollIntoView({ block: "start" });
});

// No answer at all: the page says so, and the order can be sent again without being made twice.
document.addEventListener("htmx:error", (event) => failed(event));
document.addEventListener("htmx:response:error", (event) => {
  const { response, sourceElement, text } = event.detail.ctx;
  // Our own "not now" is the studio with a sentence in it, and is shown; what a proxy says would only empty the page.
  if (response.status === 503 && text.includes('id="studio-form"')) {
    sourceElement.setAttribute("hx-status:503", "swap:outerMorph");
  } else if (response.status >= 500) {
    failed(event);
  }
});

function failed(event) {
  if (event.detail.ctx?.sourceElement?.id !== "studio-form") return;
  document.getElementById("no-answer").hidden = false;
}
