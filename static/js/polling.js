// A page that nobody sees stops asking, and asks at once when it is seen again.
document.addEventListener("htmx:config:request", (event) => {
  const cause = event.detail.ctx.sourceEvent?.type;
  if (document.hidden && (cause === "every" || cause === "visibilitychange")) event.preventDefault();
});
