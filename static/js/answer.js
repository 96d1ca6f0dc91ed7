// After "Generate": scroll the stage into view on a phone, or focus the first invalid field.
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

// No response: show a message. The form can be sent again; its nonce prevents a second order.
document.addEventListener("htmx:error", (event) => failed(event));
document.addEventListener("htmx:response:error", (event) => {
  const { response, sourceElement, text } = event.detail.ctx;
  // Our own 503 is the studio page with an error message, so swap it in; a proxy's 5xx page would replace the studio.
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
