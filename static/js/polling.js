// A hidden page does not poll; it polls immediately when it becomes visible again.
document.addEventListener("htmx:config:request", (event) => {
  const cause = event.detail.ctx.sourceEvent?.type;
  if (document.hidden && (cause === "every" || cause === "visibilitychange")) event.preventDefault();
});
