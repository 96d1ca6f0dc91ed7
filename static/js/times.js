// Times arrive in UTC and are shown in the user's time zone and format.
function localize() {
  const language = document.documentElement.lang;
  for (const time of document.querySelectorAll("time[datetime]:not([data-local])")) {
    const { seconds } = time.dataset;
    const form = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: seconds === undefined ? "short" : "medium" });
    time.textContent = form.format(new Date(time.dateTime));
    time.dataset.local = "";
  }
}

localize();
document.addEventListener("htmx:after:swap", localize);
